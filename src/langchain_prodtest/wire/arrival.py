"""Read requests from the bytes of one connection, within limits. No socket is touched here."""

from collections import deque
from typing import NamedTuple

import httptools
import msgspec

from langchain_prodtest.measure import now
from langchain_prodtest.wire.codec import Rejected

__all__ = ["Arrival", "Limits", "Reader"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one request may cost: bytes of its head, bytes of its body, seconds until it is whole."""

    head_bytes: int = 64 * 1024
    body_bytes: int = 10 * 1024 * 1024
    seconds: float = 30.0


class Arrival(NamedTuple):
    """A whole request, or as much of one as showed that it must be `rejected`.

    `keep`: the connection may carry another one; `chunks`: the client can read a chunked answer.
    """

    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    received: float
    keep: bool = False
    chunks: bool = True
    rejected: Rejected | None = None


class Reader:
    """Collects requests in `arrived`; once `finished` it takes no more bytes.

    `expects` is True while a client waits for "100 Continue" before it sends the body.
    """

    def __init__(self, limits: Limits, keep_alive: bool) -> None:
        self.arrived: deque[Arrival] = deque()
        self.finished = False
        self.expects = False
        self._limits, self._keep_alive = limits, keep_alive
        self._parser = httptools.HttpRequestParser(_Callbacks(self))
        self._rejected: Rejected | None = None
        self._fed = self._fed_now = 0
        self._clear()

    def _clear(self) -> None:
        self._in_head = True
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._body_size = 0

    def feed(self, data: bytes) -> None:
        """Parse `data`; whatever it is, nothing is raised."""
        if self.finished:
            return
        self._fed_now = len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.finished = True  # answered as if no upgrade had been asked for
        except httptools.HttpParserError as error:
            self._reject(400, f"Not HTTP: {error}")
        self._fed += len(data)
        if self._in_head and self._fed > self._limits.head_bytes:
            self._reject_head()
        if self._rejected is not None and not self.finished:
            self.finished = True
            self.arrived.append(self._arrival(rejected=self._rejected))

    # -- the parser's calls; none may raise -----------------------------------------------------------

    def _url(self, url: bytes) -> None:
        self._target += url

    def _header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def _headers_complete(self) -> None:
        self._in_head = False
        length = 0
        for name, value in self._headers:
            match name.lower():
                case b"content-length":
                    length = int(value)
                case b"expect":
                    self.expects = value.lower() == b"100-continue"
        if (
            self._fed + self._fed_now > self._limits.head_bytes
            and self._head_size() > self._limits.head_bytes
        ):
            self._reject_head()
        elif length > self._limits.body_bytes:
            self._reject_body()

    def _head_size(self) -> int:
        return len(self._target) + sum(len(name) + len(value) + 4 for name, value in self._headers)

    def _body_data(self, data: bytes) -> None:
        self.expects = False
        self._body_size += len(data)
        if self._body_size > self._limits.body_bytes:
            self._reject_body()
        else:
            self._body.append(data)

    def _message_complete(self) -> None:
        self.expects = False
        self._fed = -self._fed_now  # what follows this request in the same read is not counted
        if self._rejected is None and not self.finished:
            keep = self._keep_alive and self._parser.should_keep_alive()
            self.arrived.append(self._arrival(keep=keep, chunks=self._parser.get_http_version() != "1.0"))
            self.finished = not keep
            self._clear()

    def _arrival(self, keep: bool = False, chunks: bool = True, rejected: Rejected | None = None) -> Arrival:
        method = self._parser.get_method().decode("latin-1") if self._target else ""
        target = self._target.decode("latin-1")
        return Arrival(method, target, self._headers, b"".join(self._body), now(), keep, chunks, rejected)

    def _reject_head(self) -> None:
        self._reject(431, f"The request line and headers are larger than {self._limits.head_bytes} bytes.")

    def _reject_body(self) -> None:
        self._reject(413, f"The request body is larger than {self._limits.body_bytes} bytes.")

    def _reject(self, status: int, message: str) -> None:
        self.expects = False
        self._rejected = self._rejected or Rejected(status, message)


class _Callbacks:
    """The names under which httptools calls a Reader."""

    def __init__(self, reader: Reader) -> None:
        self.on_url = reader._url
        self.on_header = reader._header
        self.on_headers_complete = reader._headers_complete
        self.on_body = reader._body_data
        self.on_message_complete = reader._message_complete
