"""Spoil a healthy response the way a Fault says. Pure: a Response goes in, another comes out.

A fault always strikes: where the answer is shorter than `after`, it strikes before the last event or byte.
"""

from typing import Any

from msgspec.structs import replace

from langchain_prodtest.script import Fault
from langchain_prodtest.wire.response import Part, Response

__all__ = ["spoil"]

_NOT_JSON = b"\x00{not json"  # a control character is not JSON anywhere, not even inside a string


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
                if fault.after
                else _silent(response, fault, ending=ending)
            )
        case "stall":
            return _cut(response, fault, ending="hang")
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
    """Keep `after` events or bytes; the promised length stays that of the whole answer."""
    if response.streamed:
        parts = response.parts[: min(fault.after, len(response.parts) - 1)]
        return replace(response, parts=parts, pause=fault.delay, spoiled=True, **changes)
    at, body = response.parts[0]
    parts = [(at, body[: min(fault.after, len(body) - 1)])]
    return replace(response, parts=parts, length=len(body), pause=fault.delay, spoiled=True, **changes)


def _clean_end(response: Response, fault: Fault) -> Response:
    """Cut before what tells that the answer is complete, and end the body as HTTP wants it."""
    if response.streamed:
        parts = response.parts[: min(fault.after, response.closing)]
        return replace(response, parts=parts, pause=fault.delay, spoiled=True)
    at, body = response.parts[0]
    return replace(
        response, parts=[(at + fault.delay, body[: min(fault.after, len(body) - 1)])], spoiled=True
    )


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
