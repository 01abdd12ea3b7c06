"""LangServe's `/stream`: `data` events with the chunks of the chain's output, then `end`, or `error`.

Source: `langserve.api_handler`. An upstream failure comes as an `error` event after a 200. The input is the
prompt itself; for a chain that takes a dict: [target] body = { input = { question = "{prompt}" } }.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from langchain_prodtest.load.framing import Event
from langchain_prodtest.load.protocols.posted import Posted, unreadable
from langchain_prodtest.load.reading import Reading

__all__ = ["LangServe", "text_of"]


class LangServe(Posted):
    """See the module."""

    path = "/stream"
    template = {"input": "{prompt}", "config": {}}  # noqa: RUF012 - read only

    carrier = "data"  # the event with a chunk

    def read(self, event: Event) -> Reading:
        """Return what an event says."""
        if event.name == "end":
            return Reading(ending="complete")
        if event.name not in (self.carrier, "error"):
            return Reading()
        try:
            data = msgspec.json.decode(event.data)
        except msgspec.MsgspecError:
            return unreadable(event)
        if event.name == "error":
            return Reading(ending="error_event", detail=_reason(data))
        return self.chunk(data, event)

    def chunk(self, data: Any, event: Event) -> Reading:
        """Return what a chunk says."""
        return Reading(text=text_of(data))

    def speak(self, pieces: Sequence[str]) -> bytes:
        """Return the body of a complete answer."""
        chunks = [b"event: data\ndata: %b\n\n" % msgspec.json.encode(piece) for piece in pieces]
        return b"".join([*chunks, b"event: end\n\n"])


def text_of(output: Any) -> str:
    """Return the text of a chunk: a string, a message, content blocks, or the `output` of a chain."""
    if isinstance(output, str):
        return output
    if isinstance(output, list):
        return "".join(map(text_of, output))
    if isinstance(output, dict):
        return text_of(next((output[key] for key in ("content", "text", "output") if key in output), ""))
    return ""


def _reason(data: Any) -> str:
    return str(data.get("message") or data.get("error") or data) if isinstance(data, dict) else str(data)
