"""What is sent for one request, before it is framed: status, headers, timed parts, and how it ends."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Literal

import msgspec

from langchain_prodtest.script import Fault, Reply, Request
from langchain_prodtest.steps import Framing, What
from langchain_prodtest.wire.codec import Codec, Event

__all__ = ["Ending", "Part", "Response", "answer", "refuse", "scripted_error"]

Part = tuple[float, bytes]
"""Seconds after the request at which it is due, and bytes of the body (one event, when streamed)."""

Ending = Literal["end", "eof", "reset", "hang"]


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of one response in order of time, and its ending.

    `closing` is the index of the first part that tells the client the answer is complete. `length` is the
    Content-Length when it is not the length of what is sent. Without `head` no byte is sent. `pause` is the
    time between the last part and the ending; `spoiled` says that the ending is the work of a Fault. Without
    `framing` a stream is chunked, and another answer carries its length.
    """

    status: int
    headers: dict[str, str]
    parts: list[Part]
    streamed: bool = False
    closing: int = 0
    length: int | None = None
    head: bool = True
    ending: Ending = "end"
    pause: float = 0.0
    spoiled: bool = False
    framing: Framing | None = None


def answer(codec: Codec, reply: Reply, request: Request, without: What | None = None) -> Response:
    """Return the healthy response that says `reply`, streamed if the request wants that.

    A stream opens at once, and its pieces are due as the Reply says. An answer that is not streamed comes
    when its last piece would have come. A stream lacks what `without` names, and nothing else.
    """
    headers = {**codec.headers(), **codec.answer_headers(reply, request)}
    if request.stream:
        headers["content-type"] = codec.stream_type
        events = codec.events(reply, request)
        if without is not None:
            events = list(_lacking(events, without))
        closing = sum(event.kind != "end" for event in events)
        parts = _paced(events, reply) if reply.paced else [(0.0, event.data) for event in events]
        return Response(status=200, headers=headers, parts=parts, streamed=True, closing=closing)
    headers["content-type"] = "application/json"
    at = _paced(codec.events(reply, request), reply)[-1][0] if reply.paced else 0.0
    return Response(status=200, headers=headers, parts=[(at, codec.whole(reply, request))])


def _lacking(events: list[Event], what: What) -> Iterator[Event]:
    for event in events:
        left = event.without.get(what, event.data)
        if left:
            yield msgspec.structs.replace(event, data=left)


def _paced(events: list[Event], reply: Reply) -> list[Part]:
    parts: list[Part] = []
    at, count = 0.0, 0
    for event in events:
        if event.kind == "piece":
            at = reply.due(count)
            count += 1
        parts.append((at, event.data))
    return parts


def refuse(codec: Codec, status: int, message: str) -> Response:
    """Return an error in the provider's own shape."""
    headers = _error_headers(codec, status)
    return Response(status=status, headers=headers, parts=[(0.0, codec.error(status, message, headers))])


def scripted_error(codec: Codec, fault: Fault) -> Response:
    """Return the error that a Fault with a status asks for; what the Fault gives wins over the shape."""
    status = fault.status or 500
    headers = _error_headers(codec, status)
    if fault.retry_after is not None:
        headers["retry-after"] = _as_given(fault.retry_after)
    headers.update({name.lower(): value for name, value in fault.headers.items()})
    body = codec.error(status, _phrase(status), headers) if fault.body is None else fault.body.encode()
    return Response(status=status, headers=headers, parts=[(fault.delay, body)])


def _error_headers(codec: Codec, status: int) -> dict[str, str]:
    return {**codec.headers(), **codec.error_headers(status), "content-type": "application/json"}


def _as_given(retry_after: float | str) -> str:
    if isinstance(retry_after, float) and retry_after.is_integer():
        return str(int(retry_after))
    return str(retry_after)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Overloaded" if status == 529 else f"Error {status}"
