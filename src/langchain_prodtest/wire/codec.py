"""What one provider's API looks like on the wire: the only thing a new provider has to bring."""

from hashlib import blake2b
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from langchain_prodtest.script import Reply, Request

__all__ = ["Codec", "Event", "Head", "Rejected", "digest_of", "read_object"]


class Head(NamedTuple):
    """The request line and headers: `path` begins after the mount, `query` after `?`; names in lower case.

    Values of headers that carry credentials are replaced before a codec sees them.
    """

    provider: str
    method: str
    path: str
    headers: dict[str, str]
    received: float
    query: str = ""


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event of a stream, encoded.

    `open` events come before the model has said anything, a `piece` carries a part of the answer and is
    paced, `end` events tell the client that the answer is complete. `marks` names what an event is the
    carrier of, so that a Fault can leave just that out.
    """

    data: bytes
    kind: Literal["open", "piece", "end"]
    marks: Literal["", "finish", "usage", "terminal"] = ""


class Rejected(Exception):  # noqa: N818 - an answer, not a mistake
    """The provider refuses the request with this HTTP status; the text is the error message it sends."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Codec(Protocol):
    """Translates between one provider's bytes and Request, Reply and error.

    `base` is the path of the API that clients get as their base URL. Operations in `unscripted` (a model
    list) are answered without asking the Script. `garbage` is a well framed event that is not JSON.
    """

    base: str
    unscripted: frozenset[str]
    stream_type: str
    garbage: bytes

    def decode(self, head: Head, body: bytes) -> Request:
        """Return the Request; Rejected if the provider has no such route or refuses the body.

        `attempt` is set from the client's retry mark, with `attempt_source` "header", where there is one.
        """

    def events(self, reply: Reply, request: Request) -> list[Event]:
        """Return the events of the streamed answer."""

    def whole(self, reply: Reply, request: Request) -> bytes:
        """Return the JSON body of the answer that is not streamed."""

    def error(self, status: int, message: str) -> bytes:
        """Return the JSON body of an error."""

    def error_event(self, status: int, message: str) -> bytes:
        """Return the error as an event of a stream that has begun, framed."""

    def headers(self) -> dict[str, str]:
        """Return the headers of its own that the provider adds to every answer."""

    def answer_headers(self, reply: Reply, request: Request) -> dict[str, str]:
        """Return the headers that it adds to a healthy answer besides."""

    def error_headers(self, status: int) -> dict[str, str]:
        """Return the headers that it adds to an error of this status besides."""


def read_object(body: bytes) -> dict[str, Any]:
    """Return the fields of a JSON object; Rejected (400) for anything else."""
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Rejected(400, f"We could not parse the JSON body of your request: {error}") from None
    if not isinstance(fields, dict):
        raise Rejected(400, "The JSON body of your request must be an object.")
    return fields


def digest_of(messages: object) -> str:
    """Return what tells one conversation state from another: a hash of its JSON, in any order of keys."""
    return blake2b(msgspec.json.encode(messages, order="deterministic"), digest_size=16).hexdigest()
