"""How much fake providers carry: answers per second of CPU, paced and idle streams, processes, journal.

What is compared runs in processes of its own under the same client, in rounds that take turns; what counts
is the CPU time of the server's process, so that neither the client nor another program decides.
The raw loop, asyncio and httptools answering a constant of the same size, is the limit of this design. aimock
is the fastest of the others; it needs npm.

    python tests/benchmarks/bench_wire.py
"""

import asyncio
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httptools

from langchain_prodtest.script import Call, Fault, Reply, Script, answer_for, new_nonce
from langchain_prodtest.wire import FakeServer
from langchain_prodtest.wire.exchange import Exchange
from langchain_prodtest.wire.serve import fastest_loop

AIMOCK = "@copilotkit/aimock@1.43.0"
CLIENTS, ROUNDS = 16, 3
COUNTS = {"json": 3000, "sse": 1000}
EVENTS = 40
REPLY = Reply(" ".join(["word"] * (EVENTS - 3)))  # and role, finish, [DONE]
PACED, PIECES, GAP = 2000, 25, 0.2
IDLE = 10_000
CALLS = 1_000_000
HEAD = (
    "accept: application/json\r\naccept-encoding: gzip, deflate\r\nauthorization: Bearer sk-fake\r\n"
    "content-type: application/json\r\nhost: 127.0.0.1\r\nuser-agent: OpenAI/Python 3.54.0\r\n"
    "x-stainless-arch: x64\r\nx-stainless-async: false\r\nx-stainless-lang: python\r\n"
    "x-stainless-os: Linux\r\nx-stainless-package-version: 3.54.0\r\nx-stainless-raw-response: true\r\n"
    "x-stainless-retry-count: 0\r\nx-stainless-runtime: CPython\r\nx-stainless-runtime-version: 3.11.7\r\n"
)  # such as ChatOpenAI sends


def request(kind: str, prefix: str = "/openai", nonce: str = "", close: bool = False) -> bytes:
    """Return a chat request."""
    messages = [{"role": "user", "content": f"Say it. {nonce or new_nonce(1)}"}]
    body = json.dumps({"model": "gpt-4o", "stream": kind == "sse", "messages": messages}).encode()
    head = (
        f"POST {prefix}/v1/chat/completions HTTP/1.1\r\n{HEAD}{'connection: close' if close else 'x: y'}\r\n"
    )
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


# -- servers, each in a process of its own ----------------------------------------------------------------


def serve(kind: str) -> None:
    """Run one server; say its port, and at the end of the input what it has measured."""
    errors: list[float] = []
    name, _, size = kind.partition(":")
    match name:
        case "paced":
            stamp(errors)
            script = Script(lambda _: Reply(REPLY.text, chunks=PIECES, first_token=GAP, per_chunk=GAP))
        case "idle":
            script = Script()
            script.rule(lambda _: Fault(how="stall", after=1))
        case _:
            script = Script(lambda _: REPLY)
    if name == "raw":
        print(start_raw(int(size)), flush=True)
    else:
        loop = asyncio.SelectorEventLoop if name == "ours" else fastest_loop()
        print(FakeServer(script, keep_alive=True, loop=loop).start().address.split(":")[1], flush=True)
    sys.stdin.read()
    if errors:
        print(statistics.quantiles(errors, n=100)[98], flush=True)
    os._exit(0)


def stamp(errors: list[float]) -> None:
    """Note for each event by how much it is written too early or too late."""
    take = Exchange._take_due

    def taken(self: Exchange) -> bytes:
        first, data = self._next, take(self)
        at = self._loop.time() - self._begun
        errors.extend(abs(at - write.at) for write in self._writes[first : self._next])
        return data

    setattr(Exchange, "_take_due", taken)  # noqa: B010 - a method, for mypy


def start_raw(length: int) -> str:
    """Start a server that parses requests and answers a constant of `length` bytes."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: %b\r\n\r\n"
    answers = [head % (length, state) + b"x" * length for state in (b"close", b"keep-alive")]

    class Raw(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport
            self.parser = httptools.HttpRequestParser(self)

        def data_received(self, data: bytes) -> None:
            self.parser.feed_data(data)

        def on_message_complete(self) -> None:
            keep = self.parser.should_keep_alive()
            self.transport.write(answers[keep])
            if not keep:
                self.transport.close()

    loop = asyncio.SelectorEventLoop()
    server = loop.run_until_complete(loop.create_server(Raw, "127.0.0.1", 0, backlog=1024))
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return str(server.sockets[0].getsockname()[1])


@contextmanager
def running(kind: str) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """Give the port of a server in a new process, and the process."""
    command = [sys.executable, __file__, kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


@contextmanager
def aimock() -> Iterator[tuple[int, "subprocess.Popen[str]"] | None]:
    """Give aimock with the same answer, installed by npm in the folder for temporary files, or None."""
    folder = Path(tempfile.gettempdir()) / f"prodtest-{AIMOCK.replace('/', '-')}"
    program = folder / "node_modules/@copilotkit/aimock/dist/cli.js"
    if not program.exists() and shutil.which("npm"):
        install = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(folder), AIMOCK]
        subprocess.run(install, check=False)
    if not program.exists():
        yield None
        return
    fixture = folder / "fixture.json"
    fixture.write_text(json.dumps({"fixtures": [{"match": {}, "response": {"content": REPLY.text}}]}))
    port = free_port()
    options = ["-p", str(port), "-h", "127.0.0.1", "-f", str(fixture), "-c", "5"]
    quiet = ["--log-level", "silent", "--journal-max", "1"]
    with subprocess.Popen(["node", str(program), *options, *quiet], text=True) as process:
        try:
            await_port(port)
            yield port, process
        finally:
            process.kill()


@contextmanager
def served(processes: int) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """Give the port of `prodtest fakes serve`, and its process."""
    command = [
        sys.executable,
        "-m",
        "langchain_prodtest.cli",
        "fakes",
        "serve",
        "--processes",
        str(processes),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().split("/")[2].split(":")[1]), process
        finally:
            process.terminate()


def free_port() -> int:
    """Return a port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def await_port(port: int) -> None:
    """Return when somebody listens."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("aimock did not start")


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def waited_seconds(pid: int) -> float:
    """Return for how long threads of a process could have run, and had no core."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[1]) for task in tasks) / 1e9


def rss(pid: int) -> float:
    """Return the megabytes that a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


# -- the client -------------------------------------------------------------------------------------------


class Client(asyncio.Protocol):
    """Sends a request whenever an answer is whole, on a new connection where the old one is closed."""

    def __init__(self, load: "Load") -> None:
        self.load, self.size = load, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.size = transport, 0
        self.parser = httptools.HttpResponseParser(self)
        transport.write(self.load.raw)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self.size += len(data)
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Count the answer, and ask again on the same connection, or the next."""
        assert self.parser.get_status_code() == 200
        self.load.whole(self.size)
        self.size = 0
        if not self.load.next():
            self.transport.close()
        elif self.load.close:
            self.transport.close()
            self.load.connect()
        else:
            self.parser = httptools.HttpResponseParser(self)
            self.transport.write(self.load.raw)


class Load:
    """A bounded number of requests from `CLIENTS` connections at a time."""

    def __init__(self, port: int, kind: str, count: int, close: bool, prefix: str = "/openai") -> None:
        self.port, self.close = port, close
        self.raw = request(kind, prefix, close=close)
        self.count = self.left = self.open = count
        self.bytes = 0

    async def run(self) -> int:
        """Return the size of one answer once all have come."""
        self.loop = asyncio.get_running_loop()
        self.done = self.loop.create_future()
        self.opening: set[asyncio.Task[Any]] = set()
        for _ in range(CLIENTS):
            self.next()
            self.connect()
        await self.done
        return self.bytes // self.count

    def connect(self) -> None:
        """Open a connection."""
        task = self.loop.create_task(
            self.loop.create_connection(lambda: Client(self), "127.0.0.1", self.port)
        )
        self.opening.add(task)
        task.add_done_callback(self.opening.discard)

    def next(self) -> bool:
        """Take one of what is left."""
        self.left -= 1
        return self.left >= 0

    def whole(self, size: int) -> None:
        """Count one answer."""
        self.bytes += size
        self.open -= 1
        if not self.open:
            self.done.set_result(None)


def rate(load: Load, *pids: int) -> tuple[float, float]:
    """Return the answers per CPU second of the busiest of the processes, and of all of them together."""
    before = [cpu_seconds(pid) for pid in pids]
    asyncio.run(load.run())
    used = [max(cpu_seconds(pid) - then, 0.01) for pid, then in zip(pids, before, strict=True)]
    return load.count / max(used), load.count / sum(used)


# -- what is measured -------------------------------------------------------------------------------------


MISSED: list[str] = []


def show(what: str, figure: str, limit: str = "", holds: bool = True) -> None:
    """Print a line; one whose limit does not hold makes the run fail."""
    if not holds:
        MISSED.append(what)
    print(f"{what:52}{figure:>36}  {limit and ('' if holds else 'MISSED: ') + limit}", flush=True)


def compare() -> None:
    """Answers per CPU second beside the raw loop and aimock."""
    with running("ours") as (port, ours), aimock() as other:
        for kind in COUNTS:
            for close in (True, False):
                size = asyncio.run(Load(port, kind, CLIENTS, close).run())
                with running(f"raw:{size}") as (raw_port, raw):
                    rivals = [(port, ours, "/openai"), (raw_port, raw, "")]
                    rivals += [(other[0], other[1], "")] if other else []
                    best = [0.0] * len(rivals)
                    for _ in range(ROUNDS):
                        for index, (at, process, prefix) in enumerate(rivals):
                            load = Load(at, kind, COUNTS[kind], close, prefix)
                            best[index] = max(best[index], rate(load, process.pid)[0])
                name = f"{kind}, {'one request a connection' if close else 'keep-alive'}"
                show(f"{name}: beside the raw loop", f"{best[0]:.0f}/s, {best[0] / best[1]:.2f} of it")
                if other:
                    factor = best[0] / best[2]
                    show(f"{name}: beside aimock", f"{best[0]:.0f}/s, {factor:.1f} x {best[2]:.0f}/s")
                else:
                    print(f"aimock is not measured: npm could not install {AIMOCK}")


async def hold(port: int, count: int, until: Callable[[asyncio.StreamReader], Any]) -> list[Any]:
    """Open `count` streams, some at a time; then give what `until` makes of each."""
    gate, streams = asyncio.Semaphore(100), []

    async def begin() -> None:
        async with gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request("sse"))
            await reader.readuntil(b"data: ")
            streams.append((reader, writer))

    await asyncio.gather(*(begin() for _ in range(count)))
    found = await asyncio.gather(*(until(reader) for reader, _ in streams))
    for _, writer in streams:
        writer.close()
    return list(found)


def pace() -> None:
    """Many paced streams at once: how far from its time an event is sent, as far as the machine lets it."""
    with running("paced") as (port, process):
        asyncio.run(hold(port, PACED, lambda reader: reader.readuntil(b"[DONE]")))
        cpu, waited = cpu_seconds(process.pid), waited_seconds(process.pid)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        error = float(process.stdout.readline()) * 1e3
    what = f"{PACED} streams of {1 / GAP:.0f} events/s"
    figure = f"p99 error {error:.1f} ms, {cpu:.1f} s of CPU"
    if error > 5 and waited > 0.1:  # others had the cores, so that it could not be in time
        show(what, figure, f"<= 5 ms, not told: it waited {waited:.1f} s for a core")
    else:
        show(what, figure, "<= 5 ms", error <= 5)


def idle() -> None:
    """Many streams that say nothing more: what memory they take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(IDLE, hard - 500)
    with running("idle") as (port, process):
        before, after = rss(process.pid), []

        async def look() -> None:
            await hold(port, count, lambda _: asyncio.sleep(1))
            after.append(rss(process.pid))

        asyncio.run(look())
    grown = after[0] - before
    show(f"{count} idle streams", f"{grown:.0f} MB", "<= 300 MB", grown <= 300)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def share() -> None:
    """Two processes on a port: what they carry, and that nothing is lost or mixed up."""
    rates = {}
    for processes in (1, 2):
        with served(processes) as (port, process):
            tasks = Path(f"/proc/{process.pid}/task").iterdir()
            workers = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
            asyncio.run(Load(port, "json", 500, close=True).run())
            found = [rate(Load(port, "json", 6000, close=True), process.pid, *workers) for _ in range(ROUNDS)]
            rates[processes] = max(min(busiest, processes * together) for busiest, together in found)
            if processes == 2:
                lost = asyncio.run(crowd(port, clients=1000, each=5))
    scale = rates[2] / rates[1]
    show("2 processes on 2 cores beside 1", f"{scale:.2f} x {rates[1]:.0f}/s", ">= 1.6", scale >= 1.6)
    show("1000 clients at once, 5 requests each", f"{lost} lost or mixed up", "0", lost == 0)


async def crowd(port: int, clients: int, each: int) -> int:
    """Return how many answers, or Calls in the journal, are missing or another's."""
    wrong = 0

    async def ask(number: int) -> None:
        nonlocal wrong
        for turn in range(each):
            nonce = new_nonce(number, turn)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request("json", nonce=nonce))
            wrong += answer_for(nonce).encode() not in await reader.read()
            writer.close()

    await asyncio.gather(*(ask(number) for number in range(clients)))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /_prodtest/calls HTTP/1.0\r\n\r\n")
    lines = (await reader.read()).partition(b"\r\n\r\n")[2].splitlines()
    told = {json.loads(line)["nonce"] for line in lines}
    writer.close()
    return wrong + sum(new_nonce(n, turn) not in told for n in range(clients) for turn in range(each))


def journal() -> None:
    """A journal of a million calls: memory, and whether the last cost more than the first."""
    script, before, times = Script(), rss(os.getpid()), []
    messages = [{"role": "user", "content": "x" * 500}]
    body = {"model": "gpt-4o", "messages": messages}
    for part in range(4):
        begun = time.process_time()
        for number in range(CALLS // 4):
            nonce = new_nonce(number, part)
            script.record(Call(id=0, provider="openai", nonce=nonce, messages=messages, body=body))
        times.append(time.process_time() - begun)
    grown, slower = rss(os.getpid()) - before, times[-1] / times[0]
    each = sum(times) / CALLS * 1e6
    show(f"a journal of {CALLS} calls", f"{grown:.0f} MB, {each:.1f} µs a call", "<= 100 MB", grown <= 100)
    show("its last quarter beside its first", f"{slower:.2f} x the time", "<= 2", slower <= 2)


def main() -> None:
    """Print one line for each figure; exit 1 if a limit does not hold."""
    for measure in (journal, compare, pace, idle, share):
        measure()
    if MISSED:
        raise SystemExit(f"missed: {', '.join(MISSED)}")


if __name__ == "__main__":
    if sys.argv[1:]:
        serve(sys.argv[1])
    else:
        main()
