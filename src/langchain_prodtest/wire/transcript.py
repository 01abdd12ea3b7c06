"""Read the copy of an answer while it passes, and tell it as a recording has it."""

import binascii
import re
import zlib
from base64 import b64decode
from typing import Literal

import httptools

from langchain_prodtest.steps import Framing
from langchain_prodtest.wire.cassette import Answered, chunk, json_of
from langchain_prodtest.wire.redaction import Redaction
from langchain_prodtest.wire.upstream import HOP_BY_HOP

__all__ = ["Transcript", "answered"]

_LEFT_OUT = HOP_BY_HOP | {"content-encoding", "date"}
_COMPRESSED = ("gzip", "x-gzip", "deflate")
_AT_ONCE = 0.1  # seconds; a JSON body whose pieces come within them is one piece
_PRECISION = 4  # decimals of a second
_HIDDEN = re.compile(rb'"bytes":"([A-Za-z0-9+/=]+)"')  # JSON in an event of AWS's

Ends = Literal["whole", "cut", "reset"]
Parts = list[tuple[float, bytes]]


class Unrecordable(Exception):  # noqa: N818 - says why, and harms nobody
    """An answer that cannot be written down."""


class Transcript:
    """One answer as it comes in; `whole` once its end was seen."""

    def __init__(self, method: str) -> None:
        self.whole = False
        self._bodiless = method == "HEAD"
        self._status = 0
        self._headers: dict[str, str] = {}
        self._parts: Parts = []
        self._at = 0.0
        self._broken = ""
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes, at: float) -> None:
        """Read what came `at` seconds after the request; at the end that is nothing."""
        self._at = round(at, _PRECISION)
        if self._broken:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._broken = "the protocol was changed"
        except httptools.HttpParserError as error:
            self._broken = f"the answer is not HTTP: {error}"

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        """Note the status; an answer that comes before the answer (1xx) is forgotten."""
        status = self._parser.get_status_code()
        if status < 200:
            self._headers.clear()
        else:
            self._status = status
            self.whole = self._bodiless

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body."""
        self._parts.append((self._at, data))

    def on_message_complete(self) -> None:
        """Note the end."""
        self.whole = self._status > 0

    def told(self, reset: bool, redaction: Redaction) -> Answered:
        """Return the answer, ended with what was fed last; Unrecordable says why it cannot be recorded."""
        if self._broken or not self._status:
            raise Unrecordable(self._broken or "the provider closed the connection before it answered")
        framing = self._framing()
        ends: Ends = "whole"
        if not self.whole and (reset or framing != "close"):
            ends = "reset" if reset else "cut"
        length = self._headers.get("content-length", "")
        return answered(
            self._status, self._headers, self._parts, redaction, framing=framing, ends=ends,
            seconds=self._at, length=int(length) if ends != "whole" and length else None,
        )  # fmt: skip

    def _framing(self) -> Framing:
        if "chunked" in self._headers.get("transfer-encoding", ""):
            return "chunked"
        return "length" if "content-length" in self._headers or self.whole else "close"


def answered(
    status: int,
    headers: dict[str, str],
    parts: Parts,
    redaction: Redaction,
    *,
    framing: Framing,
    ends: Ends = "whole",
    seconds: float = 0.0,
    length: int | None = None,
) -> Answered:
    """Return an answer as it is recorded; Unrecordable if it may hold a credential that cannot be cut out."""
    parts = _plain(parts, headers.get("content-encoding", ""), ends)
    kept = redaction.headers(
        {name: value for name, value in headers.items() if name not in _LEFT_OUT and _fits_a_line(value)}
    )
    kind = headers.get("content-type", "")
    at_once = framing == "length" or not parts or parts[-1][0] - parts[0][0] <= _AT_ONCE
    if ends == "whole" and "json" in kind and "ndjson" not in kind and at_once:
        body = json_of(b"".join(data for _, data in parts))
        if not isinstance(body, str):
            return Answered(status=status, headers=kept, seconds=seconds, body=redaction.json(body))
    chunks = tuple(chunk(at, data) for at, data in _clean(parts, redaction))
    usual = "chunked" if chunks else "length"
    return Answered(
        status=status, headers=kept, seconds=seconds, chunks=chunks, ends=ends,
        framing=None if framing == usual else framing, length=length if framing == "length" else None,
    )  # fmt: skip


def _fits_a_line(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _plain(parts: Parts, encoding: str, ends: Ends) -> Parts:
    """Return the pieces as they were before compression."""
    if encoding in ("", "identity"):
        return parts
    if encoding not in _COMPRESSED:
        raise Unrecordable(f"it is compressed as {encoding}, though it was asked not to be")
    unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        plain = [(at, unpack.decompress(data)) for at, data in parts]
    except zlib.error as error:
        raise Unrecordable(f"its compression is broken: {error}") from None
    if ends == "whole" and not unpack.eof:
        raise Unrecordable("its compression is broken: the end is missing")
    return plain


def _clean(parts: Parts, redaction: Redaction) -> Parts:
    pieces = [data for _, data in parts]
    cleaned = redaction.parts(pieces)
    whole = b"".join(pieces)
    try:
        whole.decode()
    except UnicodeDecodeError:  # lengths and checksums of a binary body would be wrong
        hidden = b"\n".join(map(_decoded, _HIDDEN.findall(whole)))
        if cleaned != pieces or redaction.parts([hidden]) != [hidden]:
            raise Unrecordable("it is binary, and holds what looks like a key") from None
    return [(at, data) for (at, _), data in zip(parts, cleaned, strict=True) if data]


def _decoded(text: bytes) -> bytes:
    try:
        return b64decode(text)
    except binascii.Error:
        return text
