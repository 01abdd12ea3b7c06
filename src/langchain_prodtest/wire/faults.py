"""Spoil a healthy response the way a Fault says. Pure: a Response goes in, another comes out.

A fault always strikes: where the answer is shorter than `after`, it strikes before the last event or byte.
"""

from typing import Any

from msgspec.structs import replace

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.script import Fault, Reply, Request
from langchain_prodtest.wire.codec import Codec
from langchain_prodtest.wire.response import Part, Response, answer

__all__ = ["faulty", "spoil"]

_NOT_JSON = b"\x00{not json"  # a control character is not JSON anywhere, not even inside a string
_PAGE = b"<!doctype html>\n<html><head><title>Welcome</title></head><body>It works!</body></html>\n"


def faulty(codec: Codec, fault: Fault, reply: Reply, request: Request) -> Response:
    """Return what `fault` makes of the answer that says `reply`.

    ScriptError: a fault of streams where none was asked for, or without the event that it is about.
    """
    match fault.how:
        case "html":
            return _instead(codec, fault, "text/html", _PAGE)
        case "empty":
            return _instead(codec, fault, "application/json", b"{}")
        case "error_event" if request.stream:
            return _error_event(codec, fault, reply, request)
        case "error_body" | "error_event":
            return _instead(codec, fault, "application/json")
        case "missing":
            return _missing(codec, fault, reply, request)
        case _:
            return spoil(answer(codec, reply, request), fault, codec.garbage)


_MESSAGE = "The server had an error while processing your request."


def _instead(codec: Codec, fault: Fault, kind: str, body: bytes | None = None) -> Response:
    """Return an answer with status 200 and this body, or else the provider's error object."""
    headers = {**codec.headers(), "content-type": kind}
    if body is None:
        body = codec.error(500, _MESSAGE, headers)
    return Response(status=200, headers=headers, parts=[(fault.delay, body)])


def _error_event(codec: Codec, fault: Fault, reply: Reply, request: Request) -> Response:
    """End the stream with the error, before what tells that the answer is complete."""
    response = answer(codec, reply, request)
    parts = response.parts[: min(fault.after, response.closing)]
    at = (parts[-1][0] if parts else 0.0) + fault.delay
    event = codec.error_event(500, _MESSAGE, request, len(parts))
    return replace(response, parts=[*parts, (at, event)], spoiled=True)


def _missing(codec: Codec, fault: Fault, reply: Reply, request: Request) -> Response:
    """Return the answer without what carries `what`; the rest is the same."""
    if not request.stream:
        raise _only_streams(fault)
    if not any(fault.what in event.without for event in codec.events(reply, request)):
        raise ScriptError(f'Fault(how="missing"): this stream has no {fault.what} that could be missing')
    return answer(codec, reply, request, without=fault.what)


def _only_streams(fault: Fault) -> ScriptError:
    return ScriptError(f'Fault(how="{fault.how}") is about streams, and this request did not ask for one')


def spoil(response: Response, fault: Fault, garbage: bytes) -> Response:
    """Return `response` as `fault.how` leaves it; `garbage` is the event that is not JSON.

    A `refuse` that was not known when the connection was accepted resets it, as `reset` with after=0 does.
    """
    match fault.how:
        case "hang":
            return _silent(response, fault, ending="hang")
        case "refuse":
            return _silent(response, fault, ending="reset")
        case "reset" | "eof" as ending:
            return (
                _cut(response, fault, ending=ending)
                if fault.after or fault.after_bytes
                else _silent(response, fault, ending=ending)
            )
        case "stall":
            return _cut(response, fault, ending="hang")
        case "duplicate" | "reorder":
            return _rearranged(response, fault)
        case "clean_end":
            return _clean_end(response, fault)
        case "garbage":
            return _garbage(response, fault, garbage)
        case "drip":
            return _drip(response, fault)
        case _:
            raise ValueError(f"a fault with status {fault.status} spoils no answer")


def _silent(response: Response, fault: Fault, **changes: Any) -> Response:
    return replace(response, head=False, parts=[], pause=fault.delay, spoiled=True, **changes)


def _cut(response: Response, fault: Fault, **changes: Any) -> Response:
    """Keep what comes before the fault; the promised length stays that of the whole answer."""
    size = sum(len(data) for _, data in response.parts)
    return replace(
        response,
        parts=_before(response.parts, fault, streamed=response.streamed, most=len(response.parts) - 1),
        length=size,
        pause=fault.delay,
        spoiled=True,
        framing=fault.framing,
        **changes,
    )


def _clean_end(response: Response, fault: Fault) -> Response:
    """Cut before what tells that the answer is complete, and end the body as HTTP wants it."""
    closing = response.closing if response.streamed else len(response.parts) - 1
    parts = _before(response.parts, fault, streamed=response.streamed, most=closing)
    chunked = fault.framing == "chunked" or (response.streamed and fault.framing is None)
    if not chunked and fault.framing != "close":  # the last byte ends it, so that one is late
        parts[-1] = (parts[-1][0] + fault.delay, parts[-1][1])
    return replace(
        response,
        parts=parts,
        pause=fault.delay,
        spoiled=True,
        framing=fault.framing,
        ending="eof" if fault.framing == "close" else "end",
    )


def _before(parts: list[Part], fault: Fault, *, streamed: bool, most: int) -> list[Part]:
    """Return the first parts, at most `most` of them, or as many bytes as the fault says; never all."""
    if streamed and not fault.after_bytes:
        return parts[: min(fault.after, most)]
    limit = sum(len(data) for _, data in parts[:most]) if streamed else len(parts[0][1]) - 1
    left, kept = min(fault.after_bytes or fault.after, limit), []
    for at, data in parts:
        if left > 0:
            kept.append((at, data[:left]))
            left -= len(data)
    return kept


def _rearranged(response: Response, fault: Fault) -> Response:
    """Send the event at `after` twice, or swap it with the one behind it; the times stay in order."""
    if not response.streamed:
        raise _only_streams(fault)
    parts = response.parts
    if fault.how == "duplicate":
        place = min(fault.after, len(parts)) - 1
        return replace(response, parts=[*parts[: place + 1], *parts[place:]])
    place = min(fault.after, len(parts) - 1) - 1
    (first, one), (second, other) = parts[place : place + 2]
    return replace(response, parts=[*parts[:place], (first, other), (second, one), *parts[place + 2 :]])


def _garbage(response: Response, fault: Fault, garbage: bytes) -> Response:
    if response.streamed:
        place = min(fault.after, len(response.parts) - 1)
        at = response.parts[place][0] + fault.delay
        late: list[Part] = [(when + fault.delay, data) for when, data in response.parts[place:]]
        return replace(response, parts=[*response.parts[:place], (at, garbage), *late])
    at, body = response.parts[0]
    return replace(
        response, parts=[(at + fault.delay, body[: fault.after] + _NOT_JSON + body[fault.after :])]
    )


def _drip(response: Response, fault: Fault) -> Response:
    """Send the head at once and then the body, one byte every `delay` seconds."""
    start = response.parts[0][0]
    body = b"".join(data for _, data in response.parts)
    parts = [(start + i * fault.delay, body[i : i + 1]) for i in range(len(body))]
    return replace(response, parts=parts, length=None if response.streamed else len(body))
