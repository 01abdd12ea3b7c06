"""Fuzz the embedded Toxiproxy: against the real one, and until something breaks.

    python tests/toxiproxy/fuzz.py differential --seconds 120 --seed 1
    python tests/toxiproxy/fuzz.py crash --inputs 1000000 --seed 1

`differential` sends the same random API sequences and data to toxiproxy-server 2.12 (on PATH) and to ours
with --strict: same statuses, same bodies but for ports and decoder texts, same bytes delivered, same end.
`crash` sends valid, extreme, mutated and random requests and data to ours, default and strict, and wants it
to answer each (by default with a 5xx only to a reset, when a proxy cannot listen), to keep its descriptors
and to keep its memory. Exit code 1 at the first difference.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

NAMES = ["a", "b", "c"]
TOXIC_NAMES = ["", "x", "y"]
NUMBERS = {
    "latency": ["latency", "jitter"],
    "timeout": ["timeout"],
    "reset_peer": ["timeout"],
    "limit_data": ["bytes"],
    "bandwidth": ["rate"],
    "slow_close": ["delay"],
    "slicer": ["average_size", "size_variation", "delay"],
    "noop": [],
}
ATTEMPTS = 4
ODD = [0, 1, -1, 2.5, "1", None, True, [], {}, 2**63, -(2**63), 1e3, "", 10**30]
# What ends or freezes the real server, or depends on the order of its map, is left out.
TAME = {
    "average_size": (1, 50),
    "size_variation": (0, 1),
    "rate": (1, 10**6),
    "delay": (0, 20),
    "bytes": (-1, 400),
}


# -- servers ----------------------------------------------------------------------------------------------


class Server:
    """A server process and one kept connection to its API."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def call(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        """Send one request; status and body."""
        try:
            self._http.request(method, path, body)
            answer = self._http.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self._http.close()
            self._http.request(method, path, body)
            answer = self._http.getresponse()
            return answer.status, answer.read()

    def descriptors(self) -> int:
        """Return how many descriptors the process holds."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208

    def memory(self) -> float:
        """Return its resident memory in MB."""
        with open(f"/proc/{self.process.pid}/statm") as statm:  # noqa: PTH123
            return int(statm.read().split()[1]) * 4096 / 1e6


@contextmanager
def ours(*options: str) -> Iterator[Server]:
    """Run the embedded server."""
    command = [sys.executable, "-m", "langchain_prodtest.toxiproxy", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Server(process, int(process.stdout.readline().rsplit(":", 1)[1]))
        finally:
            process.kill()


@contextmanager
def real() -> Iterator[Server]:
    """Run toxiproxy-server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["toxiproxy-server", "-port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            server = Server(process, port)
            for _ in range(200):
                with contextlib.suppress(OSError):
                    server.call("GET", "/version", None)
                    break
                time.sleep(0.02)
            yield server
        finally:
            process.kill()


# -- inputs -----------------------------------------------------------------------------------------------


def request(rng: random.Random, upstream: str, tame: bool) -> tuple[str, str, bytes | None]:
    """Return one random API request; a tame one is none that ends the real server."""
    name, toxic = rng.choice(NAMES), rng.choice(["x", "y", "latency_downstream", "none"])
    proxy = f"/proxies/{name}"
    if not tame and rng.random() < 0.15:
        return own_request(rng, proxy, proxy_body(rng, name, upstream))
    kind = rng.randrange(16)
    if kind < 3:
        return "POST", "/proxies", encode(rng, proxy_body(rng, name, upstream))
    if kind < 5:
        return (
            rng.choice(["PATCH", "POST"]),
            proxy,
            encode(rng, {"enabled": rng.choice([True, True, False, None])}),
        )
    if kind < 10:
        return "POST", f"{proxy}/toxics", encode(rng, toxic_body(rng, tame))
    if kind < 12:
        body = {"attributes": attributes(rng, rng.choice([*NUMBERS]), tame), "toxicity": rng.choice([0, 1])}
        return rng.choice(["PATCH", "POST"]), f"{proxy}/toxics/{toxic}", encode(rng, body)
    if kind == 12:
        return "DELETE", rng.choice([proxy, f"{proxy}/toxics/{toxic}"]), None
    if kind == 13:
        paths = [
            "/proxies",
            proxy,
            f"{proxy}/toxics",
            f"{proxy}/toxics/{toxic}",
            "/none",
            "/proxies/",
            "//proxies",
        ]
        return rng.choice(["GET", "GET", "HEAD", "PUT"]), rng.choice(paths), None
    if kind == 14:
        return "POST", "/reset", None
    entries = [proxy_body(rng, each, upstream) for each in rng.sample(NAMES, rng.randrange(3))]
    return "POST", "/populate", encode(rng, entries)


def own_request(rng: random.Random, proxy: str, body: dict[str, Any]) -> tuple[str, str, bytes | None]:
    """Return a request that only our server understands."""
    toxics = [{**toxic_body(rng, False), **plan(rng)} for _ in range(rng.randrange(3))]
    if rng.random() < 0.5:
        return "POST", "/prodtest/proxies", encode(rng, {**body, "toxics": toxics})
    if toxics:
        return "POST", f"/prodtest{proxy}/toxics", encode(rng, toxics[0])
    return "GET", rng.choice(["/prodtest/proxies", f"/prodtest/events?since={rng.randrange(10**6)}"]), None


def plan(rng: random.Random) -> dict[str, Any]:
    kinds = {"start": 50, "duration": 100, "ramp": 50, "connections": 5}
    chosen: dict[str, Any] = {key: rng.randrange(most) for key, most in kinds.items() if rng.random() < 0.4}
    if rng.random() < 0.1:
        chosen[rng.choice([*kinds])] = rng.choice(ODD)
    return {**chosen, "type": "prodtest_close", "attributes": {"after": 9}} if rng.random() < 0.3 else chosen


def proxy_body(rng: random.Random, name: str, upstream: str) -> dict[str, Any]:
    body: dict[str, Any] = {"name": name, "upstream": upstream, "listen": "127.0.0.1:0"}
    if rng.random() < 0.15:
        body[rng.choice([*body])] = rng.choice(["", None, "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x"])
    if not body["listen"]:
        body["listen"] = "127.0.0.1:0"
    if rng.random() < 0.2:
        body["enabled"] = rng.choice([True, False, None, "yes", 1])
    return body


def toxic_body(rng: random.Random, tame: bool) -> dict[str, Any]:
    kind = rng.choice([*NUMBERS])
    body: dict[str, Any] = {
        "type": kind,
        "name": rng.choice(TOXIC_NAMES),
        "attributes": attributes(rng, kind, tame),
    }
    body["stream"] = rng.choice(["upstream", "downstream", "UpStream"])
    body["toxicity"] = rng.choice([0, 1, 1, 1, 1.0])
    if rng.random() < 0.1:
        body[rng.choice([*body])] = rng.choice(["", None, "nonsense", 5, [], 1e-7, 0.333333333333])
    if not tame and rng.random() < 0.2:
        body["attributes"] = {rng.choice(["rate", "latency", "average_size", "delay"]): rng.choice(ODD)}
    # Without its attributes a slicer ends the real server.
    if tame and body["type"] == "slicer" and not isinstance(body["attributes"], dict):
        body["attributes"] = {"average_size": 9}
    return body


def attributes(rng: random.Random, kind: str, tame: bool) -> dict[str, Any]:
    given: dict[str, Any] = {each: rng.randint(*TAME.get(each, (-1, 30))) for each in NUMBERS[kind]}
    if given and kind != "slicer" and rng.random() < 0.1:
        given[rng.choice([*given])] = rng.choice([2.5, "1", None, True, 2**63] if tame else ODD)
    return given


def encode(rng: random.Random, body: Any) -> bytes:
    data = json.dumps(body).encode()
    chance = rng.random()
    if chance < 0.02:
        return data[: rng.randrange(len(data))]
    return data + b" trailing" if chance < 0.04 else data


# -- differential -----------------------------------------------------------------------------------------


def comparable(answer: tuple[int, bytes]) -> tuple[int, str]:
    """Return an answer without what may differ: ports, decoder texts, what a failed lookup is called."""
    text = answer[1].decode("utf-8", "replace")
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
    text = re.sub(r"(bad request body: ).*?(\",\"status)", r"\1\2", text, flags=re.S)
    with contextlib.suppress(ValueError):
        text = json.dumps(json.loads(text, parse_int=float))
    return answer[0], text


class Upstream:
    """Accepts for one connection at a time."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.settimeout(1)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def talk(self, listen: str, size: int, pieces: int, answer: int) -> Any:
        """Send through a proxy, answer, close; what arrived at either side, and whether it ended early."""
        host, port = listen.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=5) as client:
            try:
                server, _ = self._listener.accept()
            except TimeoutError:
                return "not dialled", receive(client, 1)
            with server:
                data = bytes(number % 251 for number in range(size))
                sender = threading.Thread(target=send, args=(client, data, pieces))
                sender.start()
                up = receive(server, size)
                sender.join()
                send(server, data[:answer], 1)
                down = receive(client, answer)
                return (
                    up[0] == data[: len(up[0])],
                    len(up[0]),
                    up[1],
                    down[0] == data[: len(down[0])],
                    len(down[0]),
                    down[1],
                )


def send(sock: socket.socket, data: bytes, pieces: int) -> None:
    with contextlib.suppress(OSError):
        for number in range(pieces):
            sock.sendall(data[len(data) * number // pieces : len(data) * (number + 1) // pieces])
            time.sleep(0.003)


def receive(sock: socket.socket, size: int) -> tuple[bytes, str]:
    """Read until all, an end, or half a second of silence; then whether an end follows."""
    data = b""
    while True:
        if not select.select([sock], [], [], 0.5 if len(data) < size else 0.15)[0]:
            return data, "open"
        try:
            part = sock.recv(65536)
        except OSError:
            return data, "ended"
        if not part:
            return data, "ended"
        data += part


def compare(seed: int, seconds: float) -> int:
    """Run random sequences on both until the time is over; 1 at the first difference."""
    upstream, sequences, calls, talks = Upstream(), 0, 0, 0
    with real() as one, ours("--strict") as other:
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            rng = random.Random(f"{seed}/{sequences}")
            log = []
            for name in NAMES:
                for server in (one, other):
                    server.call("DELETE", f"/proxies/{name}", None)
            for _ in range(rng.randrange(5, 25)):
                asked = request(rng, upstream.address, tame=True)
                log.append(asked)
                answers = [comparable(server.call(*asked)) for server in (one, other)]
                calls += 1
                if answers[0] != answers[1]:
                    return report(f"{seed}/{sequences}", log, answers)
            listens = [listeners(server) for server in (one, other)]
            for name in listens[0]:
                shape = rng.randrange(1, 2000), rng.randrange(1, 4), rng.randrange(1, 2000)
                # A timeout of some ms races with the data on a busy machine: what differs must do so again.
                for _ in range(ATTEMPTS):
                    said = [upstream.talk(each[name], *shape) for each in listens]
                    if said[0] == said[1]:
                        break
                talks += 1
                if said[0] != said[1]:
                    shown = one.call("GET", f"/proxies/{name}", None)[1]
                    return report(f"{seed}/{sequences}", [*log, shape, shown], said)
            sequences += 1
    print(f"no difference: {sequences} sequences, {calls} calls, {talks} connections, seed {seed}")
    return 0


def listeners(server: Server) -> dict[str, str]:
    shown = json.loads(server.call("GET", "/proxies", None)[1])
    return {name: proxy["listen"] for name, proxy in shown.items() if proxy["enabled"]}


def report(seed: str, log: list[Any], pair: list[Any]) -> int:
    for entry in log:
        print("   ", entry)
    print(f"seed {seed}:\n  real {pair[0]}\n  ours {pair[1]}")
    return 1


# -- crash ------------------------------------------------------------------------------------------------


def raw(rng: random.Random, upstream: str) -> bytes:
    """Return a request as bytes."""
    method, path, body = request(rng, upstream, tame=False)
    data = body or b""
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


def spoil(rng: random.Random, data: bytes) -> bytes:
    """Return a request with wrong bytes, or no HTTP at all."""
    if rng.random() < 0.3:
        return rng.randbytes(rng.randrange(1, 400))
    whole = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        whole[rng.randrange(len(whole))] = rng.randrange(256)
    return bytes(whole)


def batch(rng: random.Random, port: int, upstream: str, count: int) -> list[int]:
    """Send `count` requests and a spoilt one over one connection; the statuses, 0 for that of a reset."""
    requests = [raw(rng, upstream) for _ in range(count)]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        data = b"".join(requests) + spoil(rng, raw(rng, upstream))
        sender = threading.Thread(target=send_all, args=(sock, data))
        sender.start()
        answers = b""
        with contextlib.suppress(OSError):
            while part := sock.recv(1 << 16):
                answers += part
        sender.join()
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]
    resets = [each.startswith(b"POST /reset") for each in requests]
    return [0 if reset else status for reset, status in zip(resets, statuses, strict=False)]


def send_all(sock: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)


def traffic(rng: random.Random, server: Server, count: int) -> int:
    """Open connections through whatever proxies there are, send and cut at random; how many inputs."""
    done = 0
    for listen in listeners(server).values():
        host, port = listen.rsplit(":", 1)
        for _ in range(count):
            with (
                contextlib.suppress(OSError),
                socket.create_connection((host, int(port)), timeout=5) as client,
            ):
                client.setblocking(False)
                for _ in range(rng.randrange(4)):
                    client.send(rng.randbytes(rng.randrange(1, 3000)))
                    done += 1
    return done


def crash(seed: int, inputs: int) -> int:
    """Feed both modes; 1 if one stops answering, leaks descriptors or grows."""
    for options in ((), ("--strict",)):
        rng, sent, slowest = random.Random(f"{seed}/{options}"), 0, 0.0
        with ours(*options) as server, socket.create_server(("127.0.0.1", 0), backlog=512) as sink:
            threading.Thread(target=swallow, args=(sink,), daemon=True).start()
            upstream = f"127.0.0.1:{sink.getsockname()[1]}"
            before, settled = server.descriptors(), 0.0
            while sent < inputs // 2:
                statuses = batch(rng, server.port, upstream, 100)
                sent += 101 + traffic(rng, server, 4)
                begun = time.monotonic()
                Server(server.process, server.port).call("GET", "/version", None)
                slowest = max(slowest, time.monotonic() - begun)
                settled = settled or (server.memory() if sent > inputs // 20 else 0.0)
                if len(statuses) < 100 or slowest > 5 or server.process.poll() is not None:
                    print(f"seed {seed}: {options} does not answer after {sent} inputs")
                    return 1
                if not options and max(statuses) >= 500:
                    print(f"seed {seed}: a refusal is {max(statuses)} after {sent} inputs")
                    return 1
            for name in json.loads(Server(server.process, server.port).call("GET", "/proxies", None)[1]):
                Server(server.process, server.port).call("DELETE", f"/proxies/{quote(name, safe='')}", None)
            time.sleep(1)
            after, memory = server.descriptors(), server.memory()
            mode = options[0] if options else "default"
            print(
                f"{mode}: {sent} inputs, slowest answer {slowest * 1000:.0f} ms, "
                f"descriptors {before} -> {after}, memory {settled:.0f} -> {memory:.0f} MB, seed {seed}",
                flush=True,
            )
            if after > before + 5 or memory > settled * 1.5 + 20:
                return 1
    return 0


def swallow(sink: socket.socket) -> None:
    def drain(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while client.recv(1 << 16):
                pass

    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=drain, args=(sink.accept()[0],), daemon=True).start()


def main() -> int:
    """Run one of the two."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["differential", "crash"])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.what == "differential":
        return compare(options.seed, options.seconds)
    return crash(options.seed, options.inputs)


if __name__ == "__main__":
    sys.exit(main())
