"""OpenAI's chat completions, and every gateway and server that speaks them.

Source: https://platform.openai.com/docs/api-reference/chat/streaming. `[DONE]` is the terminal marker; an
error inside a stream is an event with the key `error`.
"""

from collections.abc import Sequence

import msgspec

from langchain_prodtest.load.framing import Event
from langchain_prodtest.load.protocols.posted import Posted, unreadable
from langchain_prodtest.load.reading import Reading

__all__ = ["OpenAI"]

DONE = "[DONE]"


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    delta: _Delta = _Delta()


class _Failure(msgspec.Struct, frozen=True):
    message: str = ""


class _Chunk(msgspec.Struct, frozen=True):
    choices: list[_Choice] = []
    error: _Failure | str | None = None


_chunk = msgspec.json.Decoder(_Chunk)


class OpenAI(Posted):
    """See the module."""

    path = "/v1/chat/completions"
    template = {  # noqa: RUF012 - read only
        "model": "{model}",
        "stream": True,
        "messages": [{"role": "user", "content": "{prompt}"}],
    }

    def read(self, event: Event) -> Reading:
        """Return what a chunk says."""
        if event.data == DONE:
            return Reading(ending="complete")
        try:
            chunk = _chunk.decode(event.data)
        except msgspec.MsgspecError:
            return unreadable(event)
        if chunk.error is not None:
            detail = chunk.error if isinstance(chunk.error, str) else chunk.error.message
            return Reading(ending="error_event", detail=detail)
        return Reading(text="".join(choice.delta.content or "" for choice in chunk.choices[:1]))

    def speak(self, pieces: Sequence[str]) -> bytes:
        """Return the body of a complete answer."""
        chunks = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
        events = [*map(msgspec.json.encode, chunks), DONE.encode()]
        return b"".join(b"data: %b\n\n" % event for event in events)
