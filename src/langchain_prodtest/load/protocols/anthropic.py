"""Anthropic's messages. Source: https://docs.anthropic.com/en/api/messages-streaming.

`message_stop` is the terminal marker; `error` events may come at any place.
"""

from collections.abc import Sequence

import msgspec

from langchain_prodtest.load.framing import Event
from langchain_prodtest.load.protocols.posted import Posted, unreadable
from langchain_prodtest.load.reading import Reading

__all__ = ["Anthropic"]


class _Delta(msgspec.Struct, frozen=True):
    text: str = ""


class _Failure(msgspec.Struct, frozen=True):
    message: str = ""


class _Event(msgspec.Struct, frozen=True):
    type: str
    delta: _Delta = _Delta()
    error: _Failure = _Failure()


_event = msgspec.json.Decoder(_Event)


class Anthropic(Posted):
    """See the module."""

    path = "/v1/messages"
    headers = {"anthropic-version": "2023-06-01"}  # noqa: RUF012 - read only
    template = {  # noqa: RUF012 - read only
        "model": "{model}",
        "max_tokens": 1024,
        "stream": True,
        "messages": [{"role": "user", "content": "{prompt}"}],
    }

    def read(self, event: Event) -> Reading:
        """Return what an event says."""
        try:
            said = _event.decode(event.data)
        except msgspec.MsgspecError:
            return unreadable(event)
        if said.type == "error":
            return Reading(ending="error_event", detail=said.error.message)
        if said.type == "message_stop":
            return Reading(ending="complete")
        return Reading(text=said.delta.text if said.type == "content_block_delta" else "")

    def speak(self, pieces: Sequence[str]) -> bytes:
        """Return the body of a complete answer."""
        deltas = [{"delta": {"type": "text_delta", "text": piece}, "index": 0} for piece in pieces]
        said = [_framed("content_block_delta", delta) for delta in deltas]
        return b"".join([*said, _framed("message_stop", {})])


def _framed(name: str, fields: dict[str, object]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode({"type": name, **fields}))
