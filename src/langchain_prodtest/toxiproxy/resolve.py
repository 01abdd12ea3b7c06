"""Which Toxiproxy is used: the one given, else a toxiproxy-server on PATH, else the embedded server."""

import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from langchain_prodtest.errors import ToxiproxyError, UsageError
from langchain_prodtest.toxiproxy.client import Toxiproxy
from langchain_prodtest.toxiproxy.undo import Watchdog

__all__ = ["Resolved", "lend", "resolve"]

_START = 15.0


@dataclass(frozen=True, slots=True)
class Resolved:
    """A Toxiproxy that answers; `process` is None for one that was given."""

    url: str
    kind: Literal["given", "real", "embedded"]
    version: str
    process: subprocess.Popen[str] | None = None

    def client(self) -> Toxiproxy:
        """Return a client for it."""
        return Toxiproxy(self.url)


@contextmanager
def resolve(
    given: str | None = None, env: Mapping[str, str] | None = None, watchdog: Watchdog | None = None
) -> Iterator[Resolved]:
    """Yield the Toxiproxy at `given` or TOXIPROXY_URL, else start one on a free port and stop it at the end.

    What is started runs in its own session, so that Ctrl-C does not end it before the faults are undone. The
    embedded server ends with its parent; to end a toxiproxy-server too after a kill takes the `watchdog`.
    UsageError if the one given does not answer, or none can be started.
    """
    env = os.environ if env is None else env
    url = given or env.get("TOXIPROXY_URL")
    if url:
        yield _find(url, "--toxiproxy" if given else "TOXIPROXY_URL")
        return
    program = shutil.which("toxiproxy-server", path=env.get("PATH"))
    with _start_real(program, env, watchdog) if program else _start_embedded(env, watchdog) as resolved:
        yield resolved


@contextmanager
def lend(resolved: Resolved) -> Iterator[Toxiproxy]:
    """Yield a client, and remove the proxies that were created meanwhile."""
    client = resolved.client()
    before = set(client.proxies())
    try:
        yield client
    finally:
        for name in set(client.proxies()) - before:
            client.destroy(name)


def _find(url: str, source: str) -> Resolved:
    try:
        client = Toxiproxy(url)
        version = client.version()
    except ToxiproxyError as error:
        hint = ". Give its token in TOXIPROXY_AUTH_TOKEN" if error.status == 401 else ""
        raise UsageError(f"the Toxiproxy given by {source} cannot be used: {error}{hint}") from None
    if version.startswith(("0.", "1.")):
        raise UsageError(f"the Toxiproxy given by {source} is version {version}; 2.0 or later is needed")
    return Resolved(client.url, "given", version)


@contextmanager
def _start_real(program: str, env: Mapping[str, str], watchdog: Watchdog | None) -> Iterator[Resolved]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = Toxiproxy(f"http://127.0.0.1:{port}", timeout=1.0)
    command = [program, "-host", "127.0.0.1", "-port", str(port)]
    with _running(command, env, subprocess.DEVNULL, watchdog) as process:
        give_up = time.monotonic() + _START
        while not client.running():
            if time.monotonic() >= give_up or process.poll() is not None:
                raise UsageError(f"{program} was started, but does not answer at {client.url}")
            time.sleep(0.02)
        yield Resolved(client.url, "real", client.version(), process)


@contextmanager
def _start_embedded(env: Mapping[str, str], watchdog: Watchdog | None) -> Iterator[Resolved]:
    module = [sys.executable, "-m", "langchain_prodtest.toxiproxy"]
    command = [*module, "--port", "0", "--parent", str(os.getpid())]
    with _running(command, env, subprocess.PIPE, watchdog) as process:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], _START)
        line = process.stdout.readline() if ready else ""
        if not line:
            raise UsageError(f"the embedded Toxiproxy did not start: {' '.join(command)}")
        url = line.split()[-1]
        yield Resolved(url, "embedded", Toxiproxy(url).version(), process)


@contextmanager
def _running(
    command: list[str], env: Mapping[str, str], stdout: int, watchdog: Watchdog | None
) -> Iterator[subprocess.Popen[str]]:
    """Start a process, have the watchdog end it should we die, and stop it at the end."""
    process = subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        env=dict(env),
        text=True,
        start_new_session=True,
    )
    undo = watchdog.add_kill(process.pid) if watchdog else None
    try:
        yield process
    finally:
        _stop(process)
        if watchdog and undo is not None:
            watchdog.done(undo)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
