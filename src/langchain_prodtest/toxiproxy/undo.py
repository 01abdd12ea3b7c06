"""The runner's side of the watchdog."""

import contextlib
import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from langchain_prodtest.errors import ExperimentError
from langchain_prodtest.toxiproxy.watchdog import start_time

__all__ = ["Watchdog"]


class Watchdog:
    """A process in its own session that undoes what is registered here if this process cannot.

    Register an undo before the deed. Safe to use from several threads. ExperimentError if the watchdog has
    died: nothing may then be done that would need it.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    def start(self) -> "Watchdog":
        """Start the process; it holds the plan when this returns."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "langchain_prodtest.toxiproxy.watchdog"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            if stdout.readline() != b"ready\n":
                raise ExperimentError(f"the watchdog did not start: {self._process.args!r}")
        return self

    @property
    def pid(self) -> int:
        """The process id; ExperimentError if it is not running."""
        return self._running().pid

    def add_http(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        lease: float | None = None,
    ) -> int:
        """Register a request as undo; without renewal it is sent after `lease` seconds (None: at the end)."""
        call = {"method": method, "url": url, "body": body, "headers": dict(headers or {})}
        return self._add({"http": call, "lease": lease})

    def add_kill(self, pid: int) -> int:
        """Register the end of a process, and of its process group if it leads one."""
        return self._add({"kill": {"pid": pid, "started": start_time(pid)}})

    def renew(self, undo: int) -> None:
        """Let the lease of an undo begin again."""
        self._send({"renew": undo})

    def done(self, undo: int) -> None:
        """Forget an undo: it is no longer needed."""
        self._send({"done": undo})

    def close(self) -> None:
        """Have everything undone that is left, and wait for it."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.wait()

    def __enter__(self) -> "Watchdog":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _add(self, order: dict[str, Any]) -> int:
        key = next(self._ids)
        self._send({"add": key, **order})
        return key

    def _send(self, order: dict[str, Any]) -> None:
        line = json.dumps(order).encode() + b"\n"
        with self._lock:
            stdin = self._running().stdin
            assert stdin is not None
            try:
                stdin.write(line)
                stdin.flush()
            except OSError as error:
                raise ExperimentError(
                    f"the watchdog has died ({error}): faults can no longer be undone"
                ) from None

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise ExperimentError("the watchdog is not running: start it before faults are injected")
        return self._process
