"""One question to a service and its streamed answer, timed at the socket.

Times are taken once per receive, before anything is parsed, and never per line: a reader that waits for a
full buffer reports tokens late and their gaps as zero. Each question has a connection of its own, as each
arrival is a new visitor; nothing is retried or reused, so that no failure is hidden.
"""

import functools
import ipaddress
import socket
import ssl
from urllib.parse import urlsplit

import httptools
import msgspec

from langchain_prodtest.load.framing import Event, FramingError
from langchain_prodtest.load.protocols.posted import Posted
from langchain_prodtest.measure import now
from langchain_prodtest.outcome import Answer, Ending

__all__ = ["Client", "Exchange", "connect"]

RECEIVE = 65_536  # bytes
MAX_HEAD = 65_536  # bytes
MAX_ANSWER = 1 << 20  # characters
STALL = 1.0  # seconds
LINGER = 1.0  # seconds to wait for the end of the body after the terminal marker


class Exchange(msgspec.Struct, kw_only=True):
    """What one exchange showed; fields as in Sample. `size` is bytes received."""

    sent: float
    headers: float | None = None
    first_event: float | None = None
    first_answer: float | None = None
    ended: float | None = None
    longest_gap: float = 0.0
    stalls: int = 0
    tokens: int = 0
    reads: int = 0
    size: int = 0
    answer: Answer = Answer(status=0, text="", ending="refused")


class Client:
    """Asks one URL by one protocol."""

    def __init__(self, url: str, protocol: Posted) -> None:
        self._protocol = protocol
        self._url = url
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {
            "Host": parts.netloc.rpartition("@")[2],
            "Connection": "close",
            "Accept": "text/event-stream, application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": "langchain-prodtest",
            **protocol.headers,
        }
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._head = f"POST {target} HTTP/1.1\r\n{fields}"

    def ask(self, prompt: str, nonce: str, deadline: float) -> Exchange:
        """Ask, and read the answer until it ends or `deadline` (as of `now()`) passes.

        Whatever goes wrong on the way is told by the answer's `ending`; nothing is raised for it.
        """
        body = self._protocol.body(prompt)
        head = f"{self._head}traceparent: {traceparent(nonce)}\r\nContent-Length: {len(body)}\r\n\r\n"
        answer = _AnswerReader(self._protocol, Exchange(sent=now()))
        try:
            with connect(self._url, deadline) as sock:
                sock.settimeout(_left(deadline))
                sock.sendall(head.encode("latin-1") + body)
                while not answer.finished:
                    sock.settimeout(_left(answer.wait_until(deadline)))
                    answer.receive(sock.recv(RECEIVE), now())
        except TimeoutError as error:
            if error.errno is None:
                answer.end("timeout", "the client's patience ended")
            else:  # ETIMEDOUT: the peer's kernel is gone, the client would have waited on
                answer.end("broken", str(error))
        except (OSError, httptools.HttpParserError, httptools.HttpParserUpgrade, FramingError) as error:
            answer.end("broken", f"{type(error).__name__}: {error}")
        return answer.exchange


def connect(url: str, deadline: float) -> socket.socket:
    """Return a connected socket to the host of `url`, by TLS for https; OSError if there is none in time."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    if _is_address(host):  # a look-up of what needs none costs as much as the connection, under gevent
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            sock.settimeout(_left(deadline))
            sock.connect((host, port))
        except BaseException:
            sock.close()
            raise
    else:
        sock = socket.create_connection((host, port), timeout=_left(deadline))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not secure:
        return sock
    try:
        return _trust().wrap_socket(sock, server_hostname=parts.hostname)
    except BaseException:
        sock.close()
        raise


@functools.cache
def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@functools.cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()


def traceparent(nonce: str) -> str:
    """Return the W3C trace context header whose trace and span id end in the nonce's digits."""
    digits = nonce.removeprefix("pt-")
    return f"00-{b'prodtest'.hex()}{digits}-{digits}-01"


def _left(deadline: float) -> float:
    """Return the seconds left, as a socket timeout."""
    left = deadline - now()
    if left <= 0:
        raise TimeoutError
    return left


class _AnswerReader:
    """Follows one response: bytes in, an Exchange out. Its on_ methods are httptools callbacks."""

    def __init__(self, protocol: Posted, exchange: Exchange) -> None:
        self.exchange = exchange
        self.finished = False
        self._protocol = protocol
        self._parser = httptools.HttpResponseParser(self)
        self._events = protocol.parser()
        self._head_done = self._body_done = self._framed = False
        self._status = 0
        self._body: list[bytes] = []
        self._text: list[str] = []
        self._length = 0
        self._last_event = 0.0
        self._ending: Ending | None = None
        self._detail = ""
        self._at = 0.0

    def wait_until(self, deadline: float) -> float:
        """Return until when to wait for more: after the terminal marker only a short while."""
        return deadline if self._ending is None else min(deadline, self._at + LINGER)

    def receive(self, data: bytes, at: float) -> None:
        """Take what one receive gave at time `at`; no bytes mean the server closed."""
        self._at = at
        if not data:
            self._close()
            return
        self.exchange.size += len(data)
        try:
            self._parser.feed_data(data)
        finally:
            self._read_body()
        if not self._head_done and self.exchange.size > MAX_HEAD:
            raise FramingError(f"the response head is larger than {MAX_HEAD} bytes")
        if self._body_done:
            self._finish("the body ended without a terminal marker")

    def end(self, ending: Ending, detail: str) -> None:
        """Finish the exchange, unless the answer said before how it ended."""
        if self.finished:
            return
        self.finished = True
        if self._ending is None:
            if not self._head_done and ending != "timeout":
                ending = "refused"
            self._mark_end(ending, detail, now())
        text, failed = "".join(self._text), self._status >= 400
        self.exchange.answer = Answer(
            status=self._status,
            text="" if failed else text,
            ending=self._ending or ending,
            detail=f"HTTP {self._status}: {text}" if failed else self._detail,
        )

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self._status, self._head_done, self.exchange.headers = status, True, self._at

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._body_done = self._head_done

    def _close(self) -> None:
        if self._head_done and not self._framed:
            self._finish("the connection closed without a terminal marker")
        else:
            self.end("broken", "the connection closed before the response was whole")

    def _finish(self, detail: str) -> None:
        """Take the clean end of the body for what it means in this protocol."""
        if self._status < 400:
            self._take(self._events.close())
        self.end(self._protocol.at_end, detail if self._protocol.at_end == "closed" else "")

    def _read_body(self) -> None:
        body, self._body = b"".join(self._body), []
        if self._status >= 400:
            self._keep_error(body)
            return
        self._take(self._events.feed(body))

    def _take(self, events: list[Event]) -> None:
        if events:
            self._note_event()
        before = self.exchange.tokens
        for event in events:
            self._read_event(event)
        self.exchange.reads += self.exchange.tokens > before

    def _keep_error(self, body: bytes) -> None:
        if self._length < 200:
            self._text.append(body[: 200 - self._length].decode("utf-8", "replace"))
            self._length += len(body)

    def _note_event(self) -> None:
        if self.exchange.first_event is None:
            self.exchange.first_event = self._at
        else:
            self._note_gap(self._at)
        self._last_event = self._at

    def _note_gap(self, at: float) -> None:
        gap = at - self._last_event
        self.exchange.longest_gap = max(self.exchange.longest_gap, gap)
        self.exchange.stalls += gap > STALL

    def _read_event(self, event: Event) -> None:
        reading = self._protocol.read(event)
        if reading.text:
            if self.exchange.first_answer is None:
                self.exchange.first_answer = self._at
            self.exchange.tokens += 1
            self._length += len(reading.text)
            if self._length > MAX_ANSWER:
                raise FramingError(f"the answer is longer than {MAX_ANSWER} characters")
            self._text.append(reading.text)
        if reading.ending and self._ending is None:
            self._mark_end(reading.ending, reading.detail, self._at)

    def _mark_end(self, ending: Ending, detail: str, at: float) -> None:
        self._ending, self._detail, self.exchange.ended = ending, detail, at
        if self._last_event:
            self._note_gap(at)
