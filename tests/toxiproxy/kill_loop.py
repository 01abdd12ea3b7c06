"""End a runner at random moments: no fault outlives its lease, its evidence is whole, no process is left.

    python tests/toxiproxy/kill_loop.py --rounds 100 --seed 1

Each round starts a runner that injects one fault after the other and writes evidence of each, and sends its
process group TERM, KILL, INT or STOP at a random moment; against the real server (toxiproxy-server on PATH)
and the embedded one, given or started by the runner. Exit code 1 if a round left a fault, a process, a
listener, or evidence that cannot be read.
"""

import argparse
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from langchain_prodtest.evidence import read_run
from langchain_prodtest.toxiproxy.client import Toxiproxy
from langchain_prodtest.toxiproxy.resolve import resolve

LEASE, GRACE = 2.0, 3.0
MARK = "PRODTEST_KILL_LOOP"
SIGNALS = [signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGSTOP]
RUNNER = textwrap.dedent(
    """
    import itertools, sys, time
    from pathlib import Path
    from langchain_prodtest.evidence import Evidence, Run, Subject
    from langchain_prodtest.limit import Finding
    from langchain_prodtest.measure import Sample, now
    from langchain_prodtest.outcome import Outcome
    from langchain_prodtest.toxiproxy.faults import inject
    from langchain_prodtest.toxiproxy.resolve import resolve
    from langchain_prodtest.toxiproxy.undo import Watchdog

    given, upstream, lease, run = sys.argv[1], sys.argv[2], float(sys.argv[3]), Run(Path(sys.argv[4]))
    samples = [Sample(nonce=str(n), scenario="s", intended=now(), outcome=Outcome.OK) for n in range(20_000)]

    def write(name, started):
        run.write(Evidence(
            kind="chaos", name=name, subject=Subject(), started=started, finished=now(), complete=True,
            findings=[Finding(check="recovery.rto", outcome="pass", detail="x" * 200)] * 500,
            series=[run.write_series(name, samples)],
        ))

    toxic = {"type": "latency", "attributes": {"latency": 1}}
    with Watchdog() as watchdog, resolve(given or None, watchdog=watchdog) as resolved:
        client = resolved.client()
        one = client.get_proxy("one") or client.create(upstream, "one")
        other = client.get_proxy("other") or client.create(upstream, "other")
        for number in itertools.count():
            started = now()
            with inject(one, watchdog, down=True, lease=lease):
                with inject(other, watchdog, toxic=toxic, lease=lease):
                    time.sleep(0.2)
            write(f"fault-{number}", started)
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


def unreadable(folder: Path) -> list[str]:
    """Return what is wrong with the evidence of a run, but that nobody has sealed it."""
    found, problems = read_run(folder)
    unsealed = ("is not listed in the manifest", "did not finish", "is not a run folder")
    wrong = [problem for problem in problems if not any(each in problem for each in unsealed)]
    files = len(list(folder.glob("*.json")))
    return wrong + ([] if len(found) == files else [f"{len(found)} of {files} files"])


def listening(pids: list[int]) -> set[str]:
    """Return the inodes of the sockets of these processes that listen."""
    held = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            held |= {str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}
    return {inode for inode in listeners() if f"socket:[{inode}]" in held}


def listeners() -> set[str]:
    """Return the inodes of all sockets that listen on this machine."""
    lines = "".join(Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")).splitlines()
    return {fields[9] for fields in map(str.split, lines) if fields[3] == "0A"}


def play(
    kind: str,
    given: Toxiproxy | None,
    upstream: str,
    number: signal.Signals,
    moment: float,
    mark: str,
    folder: Path,
) -> str:
    """Play one round; what it left behind, "" for nothing, and how long its faults stayed."""
    where = given.url if given else ""
    command = [sys.executable, "-c", RUNNER, where, upstream, str(LEASE), str(folder)]
    runner = subprocess.Popen(
        command, env=environment(kind, mark), start_new_session=True, stderr=subprocess.DEVNULL
    )
    time.sleep(moment)
    held = listening(marked(mark))
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
    if left := held & listeners():
        trouble += f" listeners {left}"
    if wrong := unreadable(folder):
        trouble += f" evidence {wrong}"
    pieces = len(list(folder.glob("*.json")))
    print(
        f"{kind:9}{'given' if given else 'started':9}{number.name:8} at {moment:4.2f} s, "
        f"{len(held)} listeners, {pieces} pieces of evidence, gone after {worst:4.2f} s {trouble}",
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
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
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
            number, moment = SIGNALS[count // 2 % 4], rng.uniform(0.1, 4.0)
            bad += bool(play(kind, given, upstream, number, moment, mark, folder / str(count)))
        pieces = len(list(folder.rglob("*.json")))
    print(
        f"{options.rounds} rounds, {bad} left something behind, {pieces} pieces of evidence, "
        f"seed {options.seed}"
    )
    return bool(bad) or not pieces


if __name__ == "__main__":
    sys.exit(main())
