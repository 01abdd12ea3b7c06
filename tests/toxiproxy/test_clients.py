"""What an HTTP or SSE client sees of each toxic; the table of the documentation is made of these rows."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.toxics import TOXICS

PAGE = Path(__file__).parents[2] / "docs" / "toxiproxy.md"
EVENTS = [f"data: wörd {number}\n\n" for number in range(5)]


@pytest.fixture(scope="module")
def service() -> Iterator[Any]:
    """An HTTP service: /sse streams five events, /endless one, /close ends its body by its connection."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def answer(client: socket.socket) -> None:
    with client, contextlib.suppress(OSError):
        request = b""
        while b"\r\n\r\n" not in request:
            part = client.recv(4096)
            if not part:
                return
            request += part
        if request.startswith(b"GET /close"):
            client.sendall(b"HTTP/1.0 200 OK\r\n\r\nbody")
            return
        client.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for event in EVENTS:
            data = event.encode()
            client.sendall(b"%x\r\n%b\r\n" % (len(data), data))
            time.sleep(0.02)
            if request.startswith(b"GET /endless"):
                client.recv(1)
        client.sendall(b"0\r\n\r\n")
        client.recv(1)


class Seen(NamedTuple):
    """What a client got: text, reads, seconds to the first and to the last byte."""

    text: str
    reads: int
    first: float
    last: float


def ask(
    listen: str, path: str = "/sse", between: Callable[[], object] = lambda: None, patience: float = 10.0
) -> Seen:
    """Read a stream with httpx; `between` is called after the first part of the body."""
    begun, first = time.monotonic(), 0.0
    parts: list[bytes] = []
    with (
        httpx.Client(timeout=patience, trust_env=False) as client,
        client.stream("GET", f"http://{listen}{path}") as got,
    ):
        for part in got.iter_raw():
            if not parts:
                first = time.monotonic() - begun
                between()
            parts.append(part)
    return Seen(b"".join(parts).decode(), len(parts), first, time.monotonic() - begun)


def whole(seen: Seen) -> bool:
    return seen.text == "".join(EVENTS)


def latency(proxy: Any) -> Any:
    proxy.add_toxic(type="latency", attributes={"latency": 1000})
    seen = ask(proxy.listen)
    return whole(seen) and seen.first > 0.95 > seen.last - seen.first


def bandwidth(proxy: Any) -> Any:
    proxy.add_toxic(type="bandwidth", attributes={"rate": 1})
    # Some 80 bytes of head, then five events of 15 bytes at 1000 bytes a second.
    seen = ask(proxy.listen)
    return whole(seen) and seen.last > 0.15


def slow_close(proxy: Any) -> Any:
    proxy.add_toxic(type="slow_close", attributes={"delay": 1000})
    seen = ask(proxy.listen, "/close")
    return seen.text == "body" and seen.last - seen.first > 0.9 > ask(proxy.listen).last


def timeout_of_zero(proxy: Any) -> Any:
    proxy.add_toxic(type="timeout")
    with pytest.raises(httpx.ReadTimeout):
        ask(proxy.listen, patience=0.5)
    return True


def timeout(proxy: Any) -> Any:
    proxy.add_toxic(type="timeout", attributes={"timeout": 150})
    with pytest.raises(httpx.RemoteProtocolError, match="Server disconnected without sending a response"):
        ask(proxy.listen)
    return True


def reset_peer(proxy: Any) -> Any:
    proxy.add_toxic(type="reset_peer")
    with pytest.raises(httpx.ReadError, match="Connection reset by peer"):
        ask(proxy.listen)
    return True


def limit_data(proxy: Any) -> Any:
    proxy.add_toxic(type="limit_data", attributes={"bytes": 120})
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        ask(proxy.listen)
    return True


def slicer(proxy: Any) -> Any:
    proxy.add_toxic(type="slicer", attributes={"average_size": 3, "size_variation": 1, "delay": 2000})
    seen = ask(proxy.listen)
    return whole(seen) and seen.reads > len(EVENTS)


def noop(proxy: Any) -> Any:
    proxy.add_toxic(type="noop")
    return whole(ask(proxy.listen))


def packet_loss(proxy: Any) -> Any:
    proxy.add_toxic(type="packet_loss", attributes={"loss_rate": 0.5, "correlation": 0.2})
    for _ in range(12):
        with contextlib.suppress(httpx.HTTPError):
            if not whole(ask(proxy.listen, patience=0.5)):
                return True
            continue
        return True
    return False


def prodtest_close(proxy: Any) -> Any:
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        ask(proxy.listen, "/endless", between=lambda: proxy.add_toxic(type="prodtest_close"))
    return True


def prodtest_connect_of_0(proxy: Any) -> Any:
    seen = ask(proxy.listen, between=lambda: proxy.add_toxic(type="prodtest_connect"))
    with pytest.raises(httpx.ConnectTimeout):
        ask(proxy.listen, patience=0.5)
    return whole(seen)


def prodtest_connect_of_1(proxy: Any) -> Any:
    refuse = {"type": "prodtest_connect", "attributes": {"refuse": 1}}
    seen = ask(proxy.listen, between=lambda: proxy.add_toxic(**refuse))
    with pytest.raises(httpx.ConnectError, match="refused"):
        ask(proxy.listen)
    return whole(seen)


def disabled(proxy: Any) -> Any:
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        ask(proxy.listen, "/endless", between=proxy.disable)
    with pytest.raises(httpx.ConnectError, match="refused"):
        ask(proxy.listen)
    return True


LATER, OURS = "since 2.13", "embedded server only"
SEEN = [
    # toxic, what it does (downstream), what the client sees, observation, which servers have it
    ("`latency` {latency, jitter} ms", "delays every chunk, keeps the order",
     "the first token comes that much later, the pace stays", latency, ""),
    ("`bandwidth` {rate} KB/s", "lets 1000 × rate bytes a second pass",
     "slow tokens, nothing is lost", bandwidth, ""),
    ("`slow_close` {delay} ms", "holds the end of the connection back",
     "a body without a length ends that much later; a chunked one does not notice", slow_close, ""),
    ("`timeout` {timeout: 0}", "swallows all data, never closes", "a read time-out", timeout_of_zero, ""),
    ("`timeout` {timeout} ms", "swallows all data, closes after that long without any",
     "“server disconnected without sending a response”", timeout, ""),
    ("`reset_peer` {timeout} ms", "resets both sides that long after the first data",
     "“connection reset by peer”", reset_peer, ""),
    ("`limit_data` {bytes}", "closes after that many bytes",
     "in mid-stream “incomplete chunked read”", limit_data, ""),
    ("`slicer` {average_size, size_variation, delay µs}", "cuts data into small pieces, a pause after each",
     "events arrive split inside lines and UTF-8 characters, nothing is lost", slicer, ""),
    ("`noop` {}", "passes everything", "nothing", noop, ""),
    ("`packet_loss` {loss_rate, correlation} 0 to 1", "drops chunks without a retransmission",
     "broken framing, missing events or a read time-out: it corrupts the byte stream", packet_loss, LATER),
    ("`prodtest_close` {after} ms", "closes that long after it began, while data flows",
     "in mid-stream “incomplete chunked read”", prodtest_close, OURS),
    ("`prodtest_connect` {refuse: 0}", "leaves attempts to connect unanswered; open connections go on",
     "a connect time-out; open streams arrive whole", prodtest_connect_of_0, OURS),
    ("`prodtest_connect` {refuse: 1}", "refuses new connections; open ones go on",
     "“connection refused”; open streams arrive whole", prodtest_connect_of_1, OURS),
    ("no toxic: `enabled: false`", "refuses new connections, closes open ones",
     "“connection refused”; open streams break with “incomplete chunked read”", disabled, ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("toxic", "does", "sees", "observe", "only"), SEEN, ids=[row[3].__name__ for row in SEEN]
)
def test_client_sees(
    toxi: Any, kind: str, service: str, toxic: str, does: str, sees: str, observe: Any, only: str
) -> None:
    if only and kind != "embedded":
        with pytest.raises(ToxiproxyError, match="invalid toxic type"):
            observe(toxi.create(service, "p"))
        return
    assert observe(toxi.create(service, "p"))


def table() -> str:
    """The toxics as they stand in the documentation."""
    head = "| toxic | what it does | what an HTTP or SSE client sees |\n|---|---|---|\n"
    lines = (
        f"| {toxic}{f' ({only})' if only else ''} | {does} | {sees} |" for toxic, does, sees, _, only in SEEN
    )
    return head + "\n".join(lines) + "\n"


def test_table_has_every_toxic() -> None:
    assert {row[0].split("`")[1] for row in SEEN[:-1]} == set(TOXICS)


def test_documentation_holds_the_table_of_toxics() -> None:
    assert table() in PAGE.read_text("utf-8"), f"it should hold:\n{table()}"
