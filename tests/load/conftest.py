"""A streamed service on loopback whose every answer is scripted, and which writes down when it sent what."""

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest

from langchain_prodtest.measure import now
from langchain_prodtest.script import answer_for, find_nonce

CUT = 10  # words sent before something goes wrong


class Truth(msgspec.Struct):
    """When the service sent the first word and the end, and its longest silence in between."""

    first: float = 0.0
    last: float = 0.0
    gap: float = 0.0
    headers: dict[str, str] = {}

    def stamp(self) -> None:
        at = now()
        self.gap = max(self.gap, at - self.last) if self.last else 0.0
        self.first, self.last = self.first or at, at


class Service:
    """Answers request `number` (the end of its nonce) in the way that `behave` names."""

    def __init__(self) -> None:
        self.behave: Callable[[int], str] = lambda number: "ok"
        self.truth: dict[str, Truth] = {}
        self.stalled_until = 0.0
        self.connections = 0
        self.requests = 0
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/chat"
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._socket.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                conn, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(conn,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, conn: socket.socket) -> None:
        with conn:
            try:
                head, body = _read_request(conn)
                if head:
                    self.requests += 1
                    self._answer(conn, head, find_nonce(body))
            except OSError:
                pass  # the client left

    def _answer(self, conn: socket.socket, head: str, nonce: str) -> None:
        truth = self.truth[nonce] = Truth(headers=_headers(head))
        how = self.behave(int(nonce[-8:], 16))
        if how == "stall_all":
            self.stalled_until = now() + 2.0
        time.sleep(max(0.0, self.stalled_until - now()))
        if how == "hangup":
            return
        if how == "hang":
            conn.recv(1)
            return
        if how == "500":
            conn.sendall(b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops")
            return
        chunked = how != "close_delimited"
        framing = "Transfer-Encoding: chunked" if chunked else "Connection: close"
        conn.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{framing}\r\n\r\n".encode())
        time.sleep(0.03)
        held = b""
        for name, data in _events(how, nonce):
            if how == "stall" and data.get("text", "").strip() == f"w{CUT:02d}":
                time.sleep(1.3)
            event = f"event: {name}\ndata: {msgspec.json.encode(data).decode()}\n\n"
            payload = event.encode() if chunked else event.replace("\n", "\r\n").encode()
            truth.stamp()
            if how == "buffered":  # by a proxy: it goes out with the end of the answer
                held += b"%x\r\n%s\r\n" % (len(payload), payload)
                continue
            conn.sendall(b"%x\r\n%s\r\n" % (len(payload), payload) if chunked else payload)
            time.sleep(0.003)
        if how == "reset":
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif chunked and how != "eof":
            conn.sendall(held + b"0\r\n\r\n")


def _read_request(conn: socket.socket) -> tuple[str, str]:
    data = b""
    while b"\r\n\r\n" not in data:
        received = conn.recv(65_536)
        if not received:
            return "", ""
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", head, re.I)[1])  # type: ignore[index]
    while len(body) < length:
        body += conn.recv(65_536)
    return head.decode(), body.decode()


def _headers(head: str) -> dict[str, str]:
    return {k.lower(): v for k, _, v in (line.partition(": ") for line in head.split("\r\n")[1:])}


def _events(how: str, nonce: str) -> Iterator[tuple[str, dict[str, str]]]:
    words = re.findall(r"\s*\S+", answer_for(nonce))
    text = {
        "duplicate": words[:CUT] + words,
        "soft": ["Sorry,", " something went wrong."],
        **dict.fromkeys(("truncated", "clean_cut", "eof", "reset", "error_event"), words[:CUT]),
    }.get(how, words)
    for word in text:
        yield "token", {"text": word}
    if how == "error_event":
        yield "error", {"message": "the model failed"}
    elif how not in ("clean_cut", "eof", "reset"):
        yield "done", {}


@pytest.fixture
def service() -> Iterator[Service]:
    """A scripted service; set `behave` before the first request."""
    service = Service()
    yield service
    service.close()
