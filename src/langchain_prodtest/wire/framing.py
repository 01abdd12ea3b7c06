"""Turn a Response into HTTP/1.1 bytes (RFC 9112), part by part."""

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from itertools import groupby
from operator import itemgetter

import msgspec

from langchain_prodtest.wire.response import Response

__all__ = ["CONTINUE", "Write", "chunk", "frame"]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Write(msgspec.Struct, frozen=True, gc=False):
    """Bytes for the socket, due `at` seconds after the request; `body` of them are bytes of the body."""

    at: float
    data: bytes
    body: int


def frame(response: Response, *, keep_alive: bool, chunks: bool) -> list[Write]:
    """Return the writes that send `response`: its head, its parts, and where it ends well the last chunk.

    A stream is chunked, one chunk an event; what is due at the same time is one write. Where the client
    cannot read chunks (HTTP/1.0), and so cannot keep the connection either, the close ends the stream.
    """
    if not response.head:
        return []
    framing = response.framing or ("chunked" if response.streamed else "length")
    if framing == "chunked" and chunks:
        return _chunks(response, keep_alive)
    if framing == "length":
        length = sum(len(data) for _, data in response.parts) if response.length is None else response.length
        head = _head(response, f"content-length: {length}", keep_alive)
    else:
        head = _head(response, "", keep_alive=False)
    body = [Write(at, data, len(data)) for at, data in response.parts]
    if response.streamed or not body:
        return [Write(0.0, head, 0), *body]
    return [Write(body[0].at, head + body[0].data, body[0].body), *body[1:]]


def _chunks(response: Response, keep_alive: bool) -> list[Write]:
    writes = [Write(0.0, _head(response, "transfer-encoding: chunked", keep_alive), 0)]
    for at, parts in groupby(response.parts, key=itemgetter(0)):
        events = [data for _, data in parts]
        writes.append(Write(at, b"".join(map(chunk, events)), sum(map(len, events))))
    if response.ending == "end":
        writes.append(Write(writes[-1].at + response.pause, _LAST_CHUNK, 0))
    return writes


def chunk(data: bytes) -> bytes:
    """Return `data`, which must not be empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _head(response: Response, framing: str, keep_alive: bool) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {_PHRASES.get(response.status, '')}"]
    lines.extend(f"{name}: {value}" for name, value in response.headers.items())
    lines.append(_date(int(time.time())))
    if framing:
        lines.append(framing)
    lines.append("connection: keep-alive\r\n\r\n" if keep_alive else "connection: close\r\n\r\n")
    return "\r\n".join(lines).encode()


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return f"date: {formatdate(second, usegmt=True)}"
