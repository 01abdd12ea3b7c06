"""How many answers a fake provider gives per second of CPU, beside a raw loop of the same parser.

The raw loop is asyncio and httptools answering a constant of the same size: the limit of what this design
can reach. Both run in a process of their own under the same client; what counts is the CPU time that the
server process used, so neither the client nor another process on the machine decides the figure.

    python tests/benchmarks/bench_wire.py
"""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httptools

from langchain_prodtest.script import Reply, Script, new_nonce
from langchain_prodtest.wire import FakeServer

CLIENTS = 16
ROUNDS = 3
COUNTS = {"json": 3000, "sse": 1000}
EVENTS = 40
REPLY = Reply(" ".join(["word"] * (EVENTS - 3)))  # and role, finish, [DONE]
LIKE_THE_SDK = (
    "accept: application/json\r\naccept-encoding: gzip, deflate\r\nauthorization: Bearer sk-fake\r\n"
    "content-type: application/json\r\nhost: 127.0.0.1\r\nuser-agent: OpenAI/Python 3.54.0\r\n"
    "x-stainless-arch: x64\r\nx-stainless-async: false\r\nx-stainless-lang: python\r\n"
    "x-stainless-os: Linux\r\nx-stainless-package-version: 3.54.0\r\nx-stainless-raw-response: true\r\n"
    "x-stainless-retry-count: 0\r\nx-stainless-runtime: CPython\r\nx-stainless-runtime-version: 3.11.7\r\n"
)


def request(kind: str) -> bytes:
    """Return a request such as ChatOpenAI sends."""
    messages = [{"role": "user", "content": f"Say it. {new_nonce(1)}"}]
    body = json.dumps({"model": "gpt-4o", "stream": kind == "sse", "messages": messages}).encode()
    head = f"POST /openai/v1/chat/completions HTTP/1.1\r\n{LIKE_THE_SDK}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


# -- servers, each in a process of its own ----------------------------------------------------------------


def serve(kind: str, keep_alive: bool) -> None:
    """Run one server; say its port, then for every line read the CPU seconds used so far."""
    if kind == "ours":
        port = FakeServer(Script(lambda _: REPLY), keep_alive=keep_alive).start().address.split(":")[1]
    else:
        port = start_raw(json.loads(kind), keep_alive)
    print(port, flush=True)
    for _ in sys.stdin:
        print(time.process_time(), flush=True)


def start_raw(length: int, keep_alive: bool) -> str:
    """Start a server that parses requests and answers a constant of `length` bytes."""
    state = b"keep-alive" if keep_alive else b"close"
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: %b\r\n\r\n"
    answer = head % (length, state) + b"x" * length

    class Raw(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport
            self.parser = httptools.HttpRequestParser(self)

        def data_received(self, data: bytes) -> None:
            self.parser.feed_data(data)

        def on_message_complete(self) -> None:
            self.transport.write(answer)
            if not keep_alive:
                self.transport.close()

    loop = asyncio.SelectorEventLoop()
    server = loop.run_until_complete(loop.create_server(Raw, "127.0.0.1", 0, backlog=1024))
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return str(server.sockets[0].getsockname()[1])


@contextmanager
def running(kind: str, keep_alive: bool) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Give the port of a server in a new process, and the process."""
    command = [sys.executable, __file__, kind, str(int(keep_alive))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    """Return the CPU seconds that the server has used."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


# -- the client -------------------------------------------------------------------------------------------


class Client(asyncio.Protocol):
    """Sends the request again whenever an answer is whole, until nothing is left of the common count."""

    def __init__(self, load: "Load") -> None:
        self.load, self.size = load, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.load.raw)

    def data_received(self, data: bytes) -> None:
        """Count bytes; where the connection is kept, an answer is whole at its known end."""
        self.size += len(data)
        if self.load.keep_alive and data.endswith(self.load.end):
            self.load.whole(self.size)
            self.size = 0
            if self.load.next():
                self.transport.write(self.load.raw)
            else:
                self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count an answer that the close has ended, and open the next connection."""
        if exc is not None:
            raise exc
        if not self.load.keep_alive:
            self.load.whole(self.size)
            if self.load.next():
                self.load.connect()


class Load:
    """A bounded number of requests from `CLIENTS` connections at a time."""

    def __init__(self, port: int, raw: bytes, end: bytes, count: int, keep_alive: bool) -> None:
        self.port, self.raw, self.end, self.keep_alive = port, raw, end, keep_alive
        self.left = self.open = count
        self.bytes = 0

    async def run(self) -> int:
        """Return the size of one answer once all have come."""
        self.loop = asyncio.get_running_loop()
        self.done = self.loop.create_future()
        count = self.open
        for _ in range(CLIENTS):
            self.next()
            self.connect()
        await self.done
        return self.bytes // count

    def connect(self) -> None:
        """Open a connection."""
        self.opening = self.loop.create_task(
            self.loop.create_connection(lambda: Client(self), "127.0.0.1", self.port)
        )

    def next(self) -> bool:
        """Take one of what is left."""
        self.left -= 1
        return self.left >= 0

    def whole(self, size: int) -> None:
        """Count one answer."""
        assert size > 200, "an answer was cut"
        self.bytes += size
        self.open -= 1
        if not self.open:
            self.done.set_result(None)


def rate(process: subprocess.Popen[str], load: Load) -> float:
    """Return answers per CPU second of the server."""
    count, before = load.open, cpu_seconds(process)
    asyncio.run(load.run())
    return count / (cpu_seconds(process) - before)


def compare(kind: str, end: bytes, keep_alive: bool) -> tuple[float, float]:
    """Return the best rates of our server and of the raw loop, in rounds that take turns."""
    best = [0.0, 0.0]
    with running("ours", keep_alive) as (port, ours):
        size = asyncio.run(Load(port, request(kind), end, CLIENTS, keep_alive).run())
        with running(str(size), keep_alive) as (raw_port, raw):
            for _ in range(ROUNDS):
                for index, (process, at, last) in enumerate([(ours, port, end), (raw, raw_port, b"x")]):
                    load = Load(at, request(kind), last, COUNTS[kind], keep_alive)
                    best[index] = max(best[index], rate(process, load))
    return best[0], best[1]


def main() -> None:
    """Print one line for each kind of answer and of connection."""
    print(f"{'answer':24}{'connection':14}{'ours/s':>10}{'raw loop/s':>12}{'ratio':>8}")
    for kind, end in (("json", b"}"), ("sse", b"0\r\n\r\n")):
        for keep_alive in (False, True):
            ours, raw = compare(kind, end, keep_alive)
            name = kind if kind == "json" else f"sse, {EVENTS} events"
            state = "keep-alive" if keep_alive else "close"
            print(f"{name:24}{state:14}{ours:10.0f}{raw:12.0f}{ours / raw:8.2f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        serve(sys.argv[1], bool(int(sys.argv[2])))
    else:
        main()
