"""The embedded Toxiproxy beside the real one (toxiproxy-server on PATH), in the same run, taking turns.

    python tests/benchmarks/bench_toxiproxy.py [WORDS OF SOME ROWS]

Each row ends with its limit and whether it is kept: a ratio of ours to the real server's where both depend on
the machine, else a figure. Without the real server only ours are shown. Load and peers run in a process of
their own.
"""

import asyncio
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.client import Proxy, Toxiproxy
from langchain_prodtest.toxiproxy.faults import inject
from langchain_prodtest.toxiproxy.resolve import Resolved, resolve

ROUNDS = 3
MEGABYTES = 300
PINGS = 2000
STREAMS, EVENTS, PAUSE, LATENCY = 1000, 15, 0.2, 300
OPEN = 200
CALLS = 150
PIDS: dict[str, int] = {}


# -- peers ------------------------------------------------------------------------------------------------


def serve(mode: bytes, client: socket.socket) -> None:
    """Count what comes until the end (S), or echo (E)."""
    with client:
        if mode == b"E":
            while data := client.recv(4096):
                client.sendall(data)
            return
        buffer, count = bytearray(1 << 20), 0
        while size := client.recv_into(buffer):
            count += size
        client.sendall(b"%d" % count)


@contextmanager
def upstream() -> Iterator[str]:
    """A server of both modes; its address."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:

        def accept() -> None:
            try:
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=lambda c=client: serve(c.recv(1), c), daemon=True).start()
            except OSError:
                return

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def dial(address: str) -> socket.socket:
    """Connect without Nagle's delay."""
    host, port = address.rsplit(":", 1)
    sock = socket.create_connection((host, int(port)), timeout=60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def push(address: str, streams: int) -> float:
    """Send MEGABYTES over `streams` connections at once; MB a second."""
    data, each = b"x" * (1 << 18), MEGABYTES * 4 // streams

    def send() -> None:
        with dial(address) as sock:
            sock.sendall(b"S")
            for _ in range(each):
                sock.sendall(data)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 30))

    threads = [threading.Thread(target=send) for _ in range(streams)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return each * streams / 4 / (time.perf_counter() - begun)


def ping(address: str) -> float:
    """Return the median round trip of 50 bytes in µs."""
    times = []
    with dial(address) as sock:
        sock.sendall(b"E")
        for _ in range(PINGS):
            begun = time.perf_counter()
            sock.sendall(b"x" * 50)
            sock.recv(100)
            times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e6


async def stream_all(listen: str, port: int) -> float:
    """Open STREAMS event streams through the proxy; the p99 of how late events were, in ms."""
    late: list[float] = []

    async def feed(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _event in range(EVENTS):
            writer.write(struct.pack("d", time.monotonic()))
            await asyncio.sleep(PAUSE)
        writer.close()

    async def follow() -> None:
        host, at = listen.rsplit(":", 1)
        reader, writer = await asyncio.open_connection(host, int(at))
        for _ in range(EVENTS):
            (sent,) = struct.unpack("d", await reader.readexactly(8))
            late.append((time.monotonic() - sent) * 1000 - LATENCY)
        writer.close()

    server = await asyncio.start_server(feed, "127.0.0.1", port, backlog=2048)
    async with server:
        await asyncio.gather(*(follow() for _ in range(STREAMS)))
    return float(statistics.quantiles(late, n=100)[98])


# -- measurements; each takes a server and the address of the upstream ------------------------------------


def one_stream(proxy: Proxy) -> float:
    """MB a second."""
    return child("push", proxy.listen, "1")


def fifty_streams(proxy: Proxy) -> float:
    """MB a second."""
    return child("push", proxy.listen, "50")


def cpu_of(work: Callable[[Proxy], float]) -> Callable[[Proxy], float]:
    """Measure the CPU ms that the server uses for a piece of work: what a busy machine does not change."""

    def measure(proxy: Proxy) -> float:
        before = cpu_seconds(PIDS[proxy.client.url])
        work(proxy)
        return (cpu_seconds(PIDS[proxy.client.url]) - before) * 1000

    return measure


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def added_latency(proxy: Proxy) -> float:
    """µs added to the median round trip; the direct one is taken right before and after."""
    before, through, after = ping(proxy.upstream), ping(proxy.listen), ping(proxy.upstream)
    return through - (before + after) / 2


def event_streams(proxy: Proxy) -> float:
    """ms, p99 of how late events are under a latency toxic."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sse = proxy.client.create(f"127.0.0.1:{port}", f"sse{port}")
    with sse.toxic(type="latency", attributes={"latency": LATENCY}):
        late = child("streams", sse.listen, str(port))
    sse.destroy()
    return late


def toxic_changes(proxy: Proxy) -> float:
    """ms, the slowest of adding and removing a toxic with OPEN connections."""
    with ExitStack() as stack:
        for _ in range(OPEN):
            stack.enter_context(dial(proxy.listen)).sendall(b"E")
        slowest = 0.0
        for _ in range(5):
            begun = time.perf_counter()
            proxy.add_toxic(name="t", type="latency")
            added = time.perf_counter()
            proxy.destroy_toxic("t")
            slowest = max(slowest, added - begun, time.perf_counter() - added)
        return slowest * 1000


def api_under_load(proxy: Proxy) -> float:
    """ms, p99 of API calls while 50 streams are at full speed."""
    times, done = [], threading.Event()

    def load() -> None:
        while not done.is_set():
            fifty_streams(proxy)

    thread = threading.Thread(target=load)
    thread.start()
    time.sleep(0.7)
    for _ in range(CALLS):
        begun = time.perf_counter()
        proxy.toxics()
        times.append(time.perf_counter() - begun)
        time.sleep(0.005)
    done.set()
    thread.join()
    return statistics.quantiles(times, n=100)[98] * 1000


def memory_of_idle(proxy: Proxy) -> float:
    """Return the KB of resident memory that a connection takes, of OPEN that are open."""
    return memory_of(proxy, b"", 0.0)


def memory_of_blocked(proxy: Proxy) -> float:
    """Return the KB of resident memory that a connection takes whose receiver does not read."""
    return memory_of(proxy, bytes(1 << 22), 2.0)


def memory_of(proxy: Proxy, data: bytes, settle: float) -> float:
    """Open OPEN connections to a peer that does not read, send what goes into each; KB of one."""
    pid = PIDS[proxy.client.url]
    with socket.create_server(("127.0.0.1", 0), backlog=512) as deaf, ExitStack() as stack:
        name = f"deaf{deaf.getsockname()[1]}"
        listen = proxy.client.create(f"127.0.0.1:{deaf.getsockname()[1]}", name).listen
        stack.callback(proxy.client.destroy, name)
        before = resident(pid)
        for _ in range(OPEN):
            sender = stack.enter_context(dial(listen))
            stack.enter_context(deaf.accept()[0])
            sender.setblocking(False)
            with suppress(BlockingIOError):
                while data:
                    sender.send(data)
        time.sleep(0.2 + settle)
        return (resident(pid) - before) / OPEN


def resident(pid: int) -> float:
    """Return the resident memory of a process in KB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1000


def stop_file(proxy: Proxy) -> float:
    """ms from the appearance of the stop file until a fault that is held by a runner is gone."""
    took = 0.0
    with tempfile.TemporaryDirectory() as folder:
        file = os.environ["PRODTEST_STOP_FILE"] = f"{folder}/stop"
        with suppress(ToxiproxyError), inject(proxy, None, toxic={"type": "noop"}):
            begun = time.perf_counter()
            Path(file).touch()
            while proxy.toxics():
                time.sleep(0.002)
            took = time.perf_counter() - begun
        del os.environ["PRODTEST_STOP_FILE"]
    return took * 1000


def child(*arguments: str) -> float:
    """Run a load in a process of its own; the number it prints."""
    command = [sys.executable, __file__, *arguments]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


# -- report -----------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """A measure; `best` chooses among its rounds, `kind` and `bound` are its limit."""

    name: str
    measure: Callable[[Proxy], float]
    best: Callable[[list[float]], float]
    kind: Literal["", "ratio at least", "ratio at most", "at most"] = ""
    bound: float = 0.0

    def judge(self, ours: float, real: float | None) -> str:
        """Say what the limit is, and whether it is kept."""
        if not self.kind:
            return ""
        value = ours if self.kind == "at most" else ours / real if real else None
        kept = value is None or (
            value >= self.bound if self.kind == "ratio at least" else value <= self.bound
        )
        return f"{self.kind} {self.bound:g}: {'unknown' if value is None else 'kept' if kept else 'MISSED'}"


MEASURES = [
    # First, since a server that has had more connections takes no new memory for fewer.
    Row("memory of an idle connection, KB", memory_of_idle, max),
    Row("memory of a blocked connection, KB", memory_of_blocked, max),
    Row("one stream, MB/s", one_stream, max, "ratio at least", 0.5),
    Row("50 streams, MB/s", fifty_streams, max, "ratio at least", 0.5),
    Row(f"CPU ms for {MEGABYTES} MB, one stream", cpu_of(one_stream), min),
    Row(f"CPU ms for {MEGABYTES} MB, 50 streams", cpu_of(fifty_streams), min),
    Row(f"CPU ms for {PINGS} round trips", cpu_of(lambda proxy: ping(proxy.listen)), min),
    Row("added p50 latency, µs", added_latency, statistics.median, "ratio at most", 1.5),
    # Falling behind would add up: the events of a stream take three seconds.
    Row(f"{STREAMS} event streams, p99 late, ms", event_streams, min, "at most", PAUSE * 1000),
    Row(f"toxic on {OPEN} connections, slowest, ms", toxic_changes, min, "at most", 50),
    Row("API call under 50 streams, p99, ms", api_under_load, min, "at most", 20),
    Row("stop file until the fault is gone, ms", stop_file, max, "at most", 1000),
]


@contextmanager
def server(kind: str) -> Iterator[Resolved]:
    """Start a server of a kind."""
    env = {name: value for name, value in os.environ.items() if name != "TOXIPROXY_URL"}
    with resolve(env=env if kind == "real" else {**env, "PATH": "/nowhere"}) as resolved:
        yield resolved


def main(words: Sequence[str]) -> None:
    """Print one line for each measure, of those that one of the words is in if there are any."""
    kinds = ["real", "embedded"] if shutil.which("toxiproxy-server") else ["embedded"]
    rows = [row for row in MEASURES if not words or any(word in row.name for word in words)]
    print(f"{'':46}{''.join(f'{kind:>12}' for kind in kinds)}{'ratio':>8}  limit")
    with ExitStack() as stack:
        address = stack.enter_context(upstream())
        running = {kind: stack.enter_context(server(kind)) for kind in kinds}
        proxies = {kind: Toxiproxy(each.url).create(address, "p") for kind, each in running.items()}
        PIDS.update({each.url: each.process.pid for each in running.values() if each.process})
        for row in rows:
            found: dict[str, list[float]] = {kind: [] for kind in kinds}
            for _ in range(ROUNDS):
                for kind, proxy in proxies.items():
                    found[kind].append(row.measure(proxy))
            values = [row.best(found[kind]) for kind in kinds]
            real = values[0] if len(kinds) == 2 else None
            ratio = f"{values[-1] / real:8.2f}" if real else f"{'':8}"
            shown = "".join(f"{value:12.1f}" for value in values)
            print(f"{row.name:46}{shown}{ratio}  {row.judge(values[-1], real)}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["push"]:
        print(push(sys.argv[2], int(sys.argv[3])))
    elif sys.argv[1:2] == ["streams"]:
        print(asyncio.run(stream_all(sys.argv[2], int(sys.argv[3]))))
    else:
        main(sys.argv[1:])
