"""LangGraph's Agent Server (LangGraph Platform, `langgraph dev`, Aegra): a stateless run, streamed.

Source: https://langchain-ai.github.io/langgraph/cloud/reference/api. Asked at `/runs/stream` in the mode
`messages-tuple`; `messages` events carry [chunk, metadata]. `error` comes after a 200. The server sends no
terminal marker (Aegra does): the end of the body ends the answer, and a clean cut shows in the text alone.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from langchain_prodtest.load.framing import Event
from langchain_prodtest.load.protocols.langserve import LangServe, text_of
from langchain_prodtest.load.protocols.posted import unreadable
from langchain_prodtest.load.reading import Reading

__all__ = ["AgentServer"]

CHUNKS = ("AIMessageChunk", "ai")


class AgentServer(LangServe):
    """See the module; [target] model names the assistant."""

    path = "/runs/stream"
    at_end = "complete"
    template = {  # noqa: RUF012 - read only
        "assistant_id": "{model}",
        "input": {"messages": [{"role": "user", "content": "{prompt}"}]},
        "stream_mode": ["messages-tuple"],
        "on_disconnect": "cancel",
    }

    carrier = "messages"

    def chunk(self, data: Any, event: Event) -> Reading:
        """Return what a chunk of a message says; only the model's own are the answer."""
        if not isinstance(data, list) or not data or not isinstance(data[0], dict):
            return unreadable(event)
        return Reading(text=text_of(data[0]) if data[0].get("type") in CHUNKS else "")

    def speak(self, pieces: Sequence[str]) -> bytes:
        """Return the body of a complete answer."""
        chunks = [[{"type": "AIMessageChunk", "content": piece}, {}] for piece in pieces]
        return b"".join(b"event: messages\ndata: %b\n\n" % msgspec.json.encode(chunk) for chunk in chunks)
