"""End a runner at random moments: no fault outlives its lease, no process is left.

    python tests/toxiproxy/kill_loop.py --rounds 100 --seed 1

Each round starts a runner that injects one fault after the other and sends its process group TERM, KILL, INT
or STOP at a random moment; against the real server (toxiproxy-server on PATH) and the embedded one, given or
started by the runner. Exit code 1 if a round left something behind.
"""

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from langchain_prodtest.toxiproxy.client import Toxiproxy
from langchain_prodtest.toxiproxy.resolve import resolve

LEASE, GRACE = 2.0, 3.0
MARK = "PRODTEST_KILL_LOOP"
SIGNALS = [signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGSTOP]
RUNNER = textwrap.dedent(
    """
    import itertools, sys, time
    from langchain_prodtest.toxiproxy.faults import inject
    from langchain_prodtest.toxiproxy.resolve import resolve
    from langchain_prodtest.toxiproxy.undo import Watchdog

    given, upstream, lease = sys.argv[1], sys.argv[2], float(sys.argv[3])
    toxic = {"type": "latency", "attributes": {"latency": 1}}
    with Watchdog() as watchdog, resolve(given or None, watchdog=watchdog) as resolved:
        client = resolved.client()
        one = client.get_proxy("one") or client.create(upstream, "one")
        other = client.get_proxy("other") or client.create(upstream, "other")
        for _ in itertools.count():
            with inject(one, watchdog, down=True, lease=lease):
                with inject(other, watchdog, toxic=toxic, lease=lease):
                    time.sleep(0.2)
    """
)


def environment(kind: str, mark: str = "") -> dict[str, str]:
    """Return the environment in which a kind of server is found."""
    env = {name: value for name, value in os.environ.items() if name != "TOXIPROXY_URL"} | {MARK: mark}
    return env if kind == "real" else {**env, "PATH": "/nowhere"}


def marked(mark: str) -> list[int]:
    """Return the live processes that a round has started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state = (entry / "stat").read_text("latin-1").rpartition(")")[2].split()[0]
            if f"{MARK}={mark}\0".encode() in (entry / "environ").read_bytes() + b"\0" and state not in "ZX":
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def faults(client: Toxiproxy) -> list[str]:
    """Return what is wrong with the proxies of a given server."""
    proxies = client.proxies().values()
    return [proxy.name for proxy in proxies if not proxy.enabled or proxy.toxics()]


def wait_until(condition: Callable[[], object], seconds: float) -> float | None:
    """Return how long it took, None if it did not come true."""
    begun = time.monotonic()
    while time.monotonic() < begun + seconds:
        if condition():
            return time.monotonic() - begun
        time.sleep(0.05)
    return None


def play(
    kind: str, given: Toxiproxy | None, upstream: str, number: signal.Signals, moment: float, mark: str
) -> str:
    """Play one round; what it left behind, "" for nothing, and how long its faults stayed."""
    command = [sys.executable, "-c", RUNNER, given.url if given else "", upstream, str(LEASE)]
    runner = subprocess.Popen(
        command, env=environment(kind, mark), start_new_session=True, stderr=subprocess.DEVNULL
    )
    time.sleep(moment)
    os.killpg(runner.pid, number)
    trouble, worst = "", 0.0
    if given:
        took = wait_until(lambda: not faults(given), LEASE + GRACE)
        trouble = f"faults on {faults(given)}" if took is None else ""
        worst = took or 0.0
    if number == signal.SIGSTOP:
        os.killpg(runner.pid, signal.SIGKILL)
    if wait_until(lambda: runner.poll() is not None, 20) is None:
        trouble += f" runner {runner.pid}"
    if wait_until(lambda: not marked(mark), 20) is None:
        trouble += f" processes {marked(mark)}"
    where = "given" if given else "started"
    print(
        f"{kind:9}{where:9}{number.name:8} at {moment:4.2f} s, gone after {worst:4.2f} s {trouble}",
        flush=True,
    )
    return trouble


def accept(listener: socket.socket) -> None:
    """Keep what connects, as servers do."""
    kept = []
    while True:
        try:
            kept.append(listener.accept()[0])
        except OSError:
            return


def main() -> int:
    """Play the rounds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng, bad = random.Random(options.seed), 0
    # A shell lets what it starts in the background ignore it, and the runners would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512))
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        upstream = f"127.0.0.1:{listener.getsockname()[1]}"
        servers = {
            kind: stack.enter_context(resolve(env=environment(kind))).client()
            for kind in ("embedded", "real")
        }
        for server in servers.values():
            for name in ("one", "other"):
                server.create(upstream, name)
        for count in range(options.rounds):
            kind = ("embedded", "real")[count % 2]
            given = servers[kind] if rng.random() < 0.6 else None
            mark = f"{os.getpid()}-{count}"
            bad += bool(play(kind, given, upstream, SIGNALS[count // 2 % 4], rng.uniform(0.1, 2.5), mark))
    print(f"{options.rounds} rounds, {bad} left something behind, seed {options.seed}")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
