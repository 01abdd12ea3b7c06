"""Plain server-sent events: `token` with text, then `done`, or `error`.

Asked by POST of {"message": prompt}. Events: `token` {"text": "..."}, `done` {...} as the terminal marker,
`error` {"message": "..."}; all others are ignored.
"""

from collections.abc import Sequence

import msgspec

from langchain_prodtest.load.framing import Event
from langchain_prodtest.load.protocols.posted import Posted, unreadable
from langchain_prodtest.load.reading import Reading

__all__ = ["Sse"]


class _Token(msgspec.Struct):
    text: str


class _Error(msgspec.Struct):
    message: str = ""


_token, _error = msgspec.json.Decoder(_Token), msgspec.json.Decoder(_Error)


class Sse(Posted):
    """See the module."""

    path = "/chat"
    template = {"message": "{prompt}"}  # noqa: RUF012 - read only

    def read(self, event: Event) -> Reading:
        """Return what an event says; data that is not the JSON it should be counts as an in-band error."""
        try:
            if event.name == "token":
                return Reading(text=_token.decode(event.data).text)
            if event.name == "error":
                return Reading(ending="error_event", detail=_error.decode(event.data).message)
        except msgspec.MsgspecError:
            return unreadable(event)
        return Reading(ending="complete") if event.name == "done" else Reading()

    def speak(self, pieces: Sequence[str]) -> bytes:
        """Return the body of a complete answer."""
        tokens = [b"event: token\ndata: %b\n\n" % msgspec.json.encode({"text": piece}) for piece in pieces]
        return b"".join([*tokens, b"event: done\ndata: {}\n\n"])
