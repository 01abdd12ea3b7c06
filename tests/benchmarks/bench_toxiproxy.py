"""The embedded Toxiproxy beside the real one (toxiproxy-server on PATH), in the same run, taking turns.

    python tests/benchmarks/bench_toxiproxy.py

Figures are ratios of ours to the real server's where both depend on the machine. Without the real server only
ours are shown. Load and peers run in a process of their own.
"""

import asyncio
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from langchain_prodtest.toxiproxy.client import Proxy, Toxiproxy
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


def child(*arguments: str) -> float:
    """Run a load in a process of its own; the number it prints."""
    command = [sys.executable, __file__, *arguments]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


# -- report -----------------------------------------------------------------------------------------------

MEASURES: list[tuple[str, Callable[[Proxy], float], Callable[[list[float]], float], str]] = [
    ("one stream, MB/s", one_stream, max, "at least 0.5 times"),
    ("50 streams, MB/s", fifty_streams, max, "at least 0.5 times"),
    (f"CPU ms for {MEGABYTES} MB, one stream", cpu_of(one_stream), min, ""),
    (f"CPU ms for {MEGABYTES} MB, 50 streams", cpu_of(fifty_streams), min, ""),
    (f"CPU ms for {PINGS} round trips", cpu_of(lambda proxy: ping(proxy.listen)), min, ""),
    ("added p50 latency, µs", added_latency, statistics.median, "at most 1.5 times"),
    (f"{STREAMS} event streams, p99 late, ms", event_streams, min, "not falling behind"),
    (f"toxic on {OPEN} connections, slowest, ms", toxic_changes, min, "at most 50 ms"),
    ("API call under 50 streams, p99, ms", api_under_load, min, "at most 20 ms"),
]


@contextmanager
def server(kind: str) -> Iterator[Resolved]:
    """Start a server of a kind."""
    env = {name: value for name, value in os.environ.items() if name != "TOXIPROXY_URL"}
    with resolve(env=env if kind == "real" else {**env, "PATH": "/nowhere"}) as resolved:
        yield resolved


def main() -> None:
    """Print one line for each measure."""
    kinds = ["real", "embedded"] if shutil.which("toxiproxy-server") else ["embedded"]
    print(f"{'':46}{''.join(f'{kind:>12}' for kind in kinds)}{'ratio':>8}  target")
    with ExitStack() as stack:
        address = stack.enter_context(upstream())
        running = {kind: stack.enter_context(server(kind)) for kind in kinds}
        proxies = {kind: Toxiproxy(each.url).create(address, "p") for kind, each in running.items()}
        PIDS.update({each.url: each.process.pid for each in running.values() if each.process})
        for name, measure, best, target in MEASURES:
            found: dict[str, list[float]] = {kind: [] for kind in kinds}
            for _ in range(ROUNDS):
                for kind, proxy in proxies.items():
                    found[kind].append(measure(proxy))
            values = [best(found[kind]) for kind in kinds]
            ratio = f"{values[-1] / values[0]:8.2f}" if len(kinds) == 2 else f"{'':8}"
            print(f"{name:46}{''.join(f'{value:12.1f}' for value in values)}{ratio}  {target}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["push"]:
        print(push(sys.argv[2], int(sys.argv[3])))
    elif sys.argv[1:2] == ["streams"]:
        print(asyncio.run(stream_all(sys.argv[2], int(sys.argv[3]))))
    else:
        main()
