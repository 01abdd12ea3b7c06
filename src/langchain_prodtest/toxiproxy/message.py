"""Requests and answers of the HTTP API, and JSON as the original reads and writes it."""

import json
import math
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_prodtest.errors import ToxiproxyError

__all__ = [
    "LEASE_HEADER", "MAX_LEASE", "PLAIN", "Answer", "Request", "answer_error", "answer_json", "decode",
    "fields", "read_lease", "read_toxicity", "text", "typed",
]  # fmt: skip

T = TypeVar("T")

LEASE_HEADER = "x-prodtest-lease"
MAX_LEASE = 30.0
PLAIN = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request; header names are lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `routed` says that the path and method exist, `nosniff` that it is an error text.

    `stream` follows the body, in chunks of unknown number.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    routed: bool = True
    nosniff: bool = False
    location: str = ""
    stream: AsyncIterator[bytes] | None = None


def answer_json(status: int, value: Any) -> Answer:
    """Return an answer whose body is compact JSON."""
    return Answer(status, _dump(value))


def answer_error(error: ToxiproxyError) -> Answer:
    """Return an error as the original does: JSON that calls itself plain text."""
    body = _dump({"error": str(error), "status": error.status}) + b"\n"
    return Answer(error.status, body, PLAIN, nosniff=True)


def _dump(value: Any) -> bytes:
    shown = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return shown.translate(_ESCAPES).encode("utf-8", "replace")


_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def decode(body: bytes) -> Any:
    """Return the first JSON value of a body; what follows it is ignored, as the original does."""
    start = body.decode("utf-8", "replace").lstrip(" \t\r\n")
    if not start:
        raise ToxiproxyError("bad request body: EOF", 400)
    try:
        return _DECODER.raw_decode(start)[0]
    except (ValueError, RecursionError) as error:
        raise ToxiproxyError(f"bad request body: {error}", 400) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def fields(value: Any) -> dict[str, Any]:
    """Return an object's fields with lower-case keys, without those that are null."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ToxiproxyError("bad request body: not an object", 400)
    return {key.lower(): each for key, each in value.items() if each is not None}


def typed(table: dict[str, Any], key: str, kind: type[T], default: T) -> T:
    """Return a field, or the default; ToxiproxyError 400 if it is of another type."""
    value = table.get(key, default)
    if not isinstance(value, kind):
        raise ToxiproxyError(f"bad request body: {key} must be a {kind.__name__}, not {value!r:.80}", 400)
    return value


def text(table: dict[str, Any], key: str, default: str) -> str:
    """Return a field that is a text, or the default."""
    # A lone surrogate has no UTF-8 form, so nobody could ever ask for it again.
    return typed(table, key, str, default).encode("utf-8", "replace").decode()


def read_toxicity(table: dict[str, Any], before: float, strict: bool) -> float:
    """Return the toxicity in single precision; it must lie in 0 to 1 unless `strict`."""
    value = table.get("toxicity", before)
    if type(value) not in (int, float) or not -_LARGEST_SINGLE <= value <= _LARGEST_SINGLE:
        raise ToxiproxyError(f"bad request body: toxicity must be a number, not {value!r:.80}", 400)
    if not strict and not 0 <= value <= 1:
        raise ToxiproxyError(f"toxicity must be from 0 to 1, not {value!r:.80}", 400)
    return _shorten(float(value))


_LARGEST_SINGLE = 3.4028234663852886e38


def _shorten(value: float) -> float:
    """Return the shortest number that is the same in single precision, as the original shows it."""
    (single,) = struct.unpack("f", struct.pack("f", value))
    shown = (float(f"{single:.{digits}g}") for digits in range(1, 10))
    return next(each for each in shown if abs(each) <= _LARGEST_SINGLE and _same_single(each, single))


def _same_single(one: float, other: float) -> bool:
    return struct.pack("f", one) == struct.pack("f", other)


def read_lease(request: Request) -> float | None:
    """Return the seconds of the lease header, None without one."""
    given = request.headers.get(LEASE_HEADER)
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MAX_LEASE:
        raise ToxiproxyError(f'a lease is seconds, above 0 and at most {MAX_LEASE:g}, not "{given}"', 400)
    return seconds
