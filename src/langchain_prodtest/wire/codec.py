"""What one provider's API looks like on the wire: the only thing a new provider has to bring."""

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from hashlib import blake2b
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from langchain_prodtest.script import Reply, Request, find_nonce, text_of
from langchain_prodtest.steps import What

__all__ = [
    "Codec",
    "Event",
    "Head",
    "Rejected",
    "asked",
    "cut_arguments",
    "digest_of",
    "lacking",
    "nearest_route",
    "read_object",
]

_PIECE = 4  # characters of a piece of streamed tool-call arguments
_VARIES = re.compile(r"\{.*?\}")
_RETRIES = re.compile(r"[0-9]{1,9}")  # the whole header of the SDKs that Stainless makes
_ATTEMPT = re.compile(r"\battempt=([1-9][0-9]{0,8})\b")  # in the header of AWS's SDKs


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
    paced, `end` events tell the client that the answer is complete. `without` tells, for each of finish
    reason, usage and terminal marker that the event carries, the bytes that are left when a Fault leaves
    just that out; none if nothing is left.
    """

    data: bytes
    kind: Literal["open", "piece", "end"]
    without: Mapping[What, bytes] = {}


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

    @property
    def routes(self) -> tuple[str, ...]:
        """All routes, as method and path, with `{}` around what varies."""

    def decode(self, head: Head, body: bytes) -> Request:
        """Return the Request; Rejected if the provider has no such route or refuses the body.

        `attempt` is set from the client's retry mark, with `attempt_source` "header", where there is one.
        """

    def events(self, reply: Reply, request: Request) -> list[Event]:
        """Return the events of the streamed answer."""

    def whole(self, reply: Reply, request: Request) -> bytes:
        """Return the JSON body of the answer that is not streamed."""

    def error(self, status: int, message: str, headers: Mapping[str, str]) -> bytes:
        """Return the JSON body of an error that is sent with these headers."""

    def error_event(self, status: int, message: str, request: Request, number: int) -> bytes:
        """Return the error as event number `number` (from 0) of the stream that `request` asked for."""

    def headers(self) -> dict[str, str]:
        """Return the headers of its own that the provider adds to every answer."""

    def answer_headers(self, reply: Reply, request: Request) -> dict[str, str]:
        """Return the headers that it adds to a healthy answer besides."""

    def error_headers(self, status: int) -> dict[str, str]:
        """Return the headers that it adds to an error of this status besides."""


def nearest_route(head: Head, codec: Codec) -> str:
    """Return that there is no such route, and which is the nearest; "" if there is one."""
    wanted = f"{head.method} {head.path}"
    nearest = max(codec.routes, key=lambda route: _likeness(wanted, route))
    return "" if nearest == wanted else f"no route {wanted}; the nearest is {nearest}"


def _likeness(wanted: str, route: str) -> float:
    fixed = _VARIES.sub("", route.partition("?")[0])
    return SequenceMatcher(None, wanted, fixed).ratio()


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


def asked(
    head: Head,
    operation: str,
    fields: dict[str, Any],
    messages: list[dict[str, Any]],
    *,
    model: str,
    tools: list[dict[str, Any]],
    stream: bool = False,
) -> Request:
    """Return the Request; its attempt is told by the retry mark of the client's SDK, if there is one."""
    attempt = _attempt(head.headers)
    return Request(
        provider=head.provider,
        operation=operation,
        model=model,
        messages=messages,
        tools=tools,
        stream=stream,
        headers=head.headers,
        body=fields,
        nonce=find_nonce(text_of(messages)),
        digest=digest_of([operation, messages]),
        attempt=attempt or 1,
        attempt_source="header" if attempt else "digest",
        received=head.received,
    )


def _attempt(headers: dict[str, str]) -> int:
    """Return the how-manieth attempt this is by the client's own account, 0 if it gives none."""
    if retries := _RETRIES.fullmatch(headers.get("x-stainless-retry-count", "")):
        return int(retries[0]) + 1
    mark = _ATTEMPT.search(headers.get("amz-sdk-request", ""))
    return int(mark[1]) if mark else 0


def cut_arguments(arguments: str) -> list[str]:
    """Cut the JSON of a tool call's arguments into the pieces in which it is streamed."""
    return [arguments[at : at + _PIECE] for at in range(0, len(arguments), _PIECE)]


def lacking(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the fields without those that are named."""
    return {key: value for key, value in fields.items() if key not in names}
