"""The service under test as a process of ours: started, ready, signalled, started again, stopped."""

import contextlib
import http.client
import math
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from langchain_prodtest.errors import ExperimentError, UsageError
from langchain_prodtest.measure import now
from langchain_prodtest.record import Exit

__all__ = ["Service", "Signalled", "free_port"]

READY_WITHIN = 60.0  # seconds; a cold import of an agent framework takes a few
GRACE = 30.0  # seconds between a signal and the kill


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Service:
    """A child process; `url` is where it answers, `ready` the path that says 200 when it does."""

    def __init__(
        self, command: str, url: str, ready: str, env: Mapping[str, str], log: Path,
        guard: Callable[[int], Callable[[], None]],
    ) -> None:  # fmt: skip
        self.command, self.url, self.ready = shlex.split(command), url, ready
        self.env, self.log, self.guard = {**os.environ, **env}, log, guard
        self._process: subprocess.Popen[bytes] | None = None
        self._release: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._stopping = False

    def start(self) -> None:
        """Start the process and return when it is ready; ExperimentError with the end of its log if not."""
        command = [sys.executable if part == "{python}" else part for part in self.command]
        with self._lock:
            if self._stopping:
                return
            with self.log.open("ab") as log:
                self._process = _spawn(command, self.env, log)
            self._release = self.guard(self._process.pid)
        self._await_ready(self._process)

    def signal(self, name: str) -> "Signalled":
        """Send a signal; the process is started again when it has ended, as a platform would."""
        process = self._process
        if process is None:
            raise ExperimentError("the service is not running, so it cannot be signalled")
        return Signalled(self, process, name)

    def stop(self) -> None:
        """End the process: SIGTERM, then SIGKILL after a while."""
        with self._lock:
            self._stopping = True
            process, self._process = self._process, None
        if process is not None:
            end(process, seconds=10)
            self._release()

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline and not self._stopping:
            if process.poll() is not None:
                raise ExperimentError(f"the service ended with code {process.returncode}:\n{self._tail()}")
            if answers(self.url, self.ready):
                return
            time.sleep(0.05)
        if not self._stopping:
            raise ExperimentError(
                f"{self.ready} did not answer 200 within {READY_WITHIN:g} s:\n{self._tail()}"
            )

    def _tail(self) -> str:
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-15:]) or "(it wrote nothing)"


class Signalled:
    """A signal that was sent: waits for the exit in the background and starts the service again."""

    def __init__(self, service: Service, process: subprocess.Popen[bytes], name: str) -> None:
        self.gone = math.nan
        self.exit: Exit | None = None
        self._error: BaseException | None = None
        self._service, self._process = service, process
        self.effective = signalled = now()
        process.send_signal(getattr(signal, name))
        self._thread = threading.Thread(target=self._revive, args=(signalled,), daemon=True)
        self._thread.start()

    def wait(self) -> Exit:
        """Return how the process ended, once the service is ready again."""
        self._thread.join()
        if self._error is not None:
            raise ExperimentError(f"the service did not come back after a signal: {self._error}")
        if self.exit is None:
            raise ExperimentError("the service's exit was not seen")
        return self.exit

    def _revive(self, signalled: float) -> None:
        try:
            code: int | None
            try:
                code = self._process.wait(GRACE)
            except subprocess.TimeoutExpired:
                end(self._process, seconds=0)
                code = None
            self.gone = ended = now()
            self.exit = Exit(signalled=signalled, ended=ended, code=code)
            self._service.start()
        except BaseException as error:
            self._error = error


def answers(url: str, path: str) -> bool:
    """Tell whether a GET of `path` on the host of `url` is answered with 200."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """End a process that leads its own session, and what it started: SIGTERM, SIGKILL after `seconds`."""
    if seconds and process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _spawn(command: list[str], env: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603
            command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    except OSError as error:
        raise UsageError(f"[target] command cannot be started: {error}") from None
