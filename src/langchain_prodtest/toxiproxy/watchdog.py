"""The watchdog process: it holds the undo plan of a runner and carries it out when the runner cannot.

It reads JSON lines on its standard input:

    {"add": id, "http": {"method": m, "url": u, "body": b, "headers": h}, "lease": seconds or null}
    {"add": id, "kill": {"pid": p, "started": ticks or null}}
    {"renew": id}
    {"done": id}

A lease that runs out is undone at once. At the end of input, which the death of the runner brings about, all
that is left is undone, newest first. SIGINT, SIGTERM and SIGHUP are ignored. Standard library only: it must
start fast and outlive everything.
"""

import contextlib
import http.client
import json
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = ["main", "start_time"]

_PATIENCE = 30.0
_CALL_TIMEOUT = 2.0
_PAUSE = 0.25
_REFUSALS = 3
_GRACE = 2.0


def main() -> int:
    """Keep the plan until the end of input; 0 once everything is undone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.write(sys.stdout.fileno(), b"ready\n")
    plan = Plan()
    source, rest = sys.stdin.fileno(), b""
    while True:
        # Renewals that wait in the pipe count before any lease does.
        if not select.select([source], [], [], plan.next_expiry())[0]:
            plan.expire()
            continue
        data = os.read(source, 65536)
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            plan.take(line)
    plan.undo_all()
    return 0


class Plan:
    """What is to be undone, in the order it was done."""

    def __init__(self) -> None:
        self._entries: dict[int, dict[str, Any]] = {}
        self._expiry: dict[int, float] = {}
        self._running: list[threading.Thread] = []

    def take(self, line: bytes) -> None:
        """Carry out one line; one that cannot be read must not end the watchdog."""
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
            order = json.loads(line)
            if "add" in order:
                self._entries[order["add"]] = order
                self._renew(order["add"])
            elif "renew" in order:
                self._renew(order["renew"])
            elif "done" in order:
                self._forget(order["done"])

    def next_expiry(self) -> float | None:
        """Return the seconds until the next lease runs out, None if there is none."""
        return max(0.0, min(self._expiry.values()) - time.monotonic()) if self._expiry else None

    def expire(self) -> None:
        """Undo what the lease has run out of; in threads, so that one slow server delays no other."""
        for key in [key for key, at in self._expiry.items() if at <= time.monotonic()]:
            entry = self._forget(key)
            thread = threading.Thread(target=undo, args=(entry,))
            thread.start()
            self._running.append(thread)

    def undo_all(self) -> None:
        """Undo all that is left, newest first, requests before kills."""
        entries = list(reversed(self._entries.values()))
        for entry in sorted(entries, key=lambda entry: "kill" in entry):
            undo(entry)
        for thread in self._running:
            thread.join()

    def _renew(self, key: int) -> None:
        lease = self._entries.get(key, {}).get("lease")
        if lease is not None:
            self._expiry[key] = time.monotonic() + lease

    def _forget(self, key: int) -> dict[str, Any]:
        self._expiry.pop(key, None)
        return self._entries.pop(key, {})


def undo(entry: dict[str, Any]) -> None:
    """Carry out one entry of the plan; an entry that makes no sense is passed over."""
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
        if "http" in entry:
            _request_until_done(entry["http"])
        elif "kill" in entry:
            _kill(entry["kill"]["pid"], entry["kill"]["started"])


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None if there is none or nobody can say."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()
    except OSError:
        return []


def _request_until_done(call: dict[str, Any]) -> None:
    """Repeat a request until it succeeds, its object is gone, or the server is: its faults went with it."""
    give_up, refusals = time.monotonic() + _PATIENCE, 0
    while refusals < _REFUSALS and time.monotonic() < give_up:
        try:
            status = _request(call)
        except ConnectionRefusedError:
            refusals += 1
        except (OSError, http.client.HTTPException):
            refusals = 0
        else:
            if status < 300 or status == 404:
                return
            refusals = 0
        time.sleep(_PAUSE)


def _request(call: dict[str, Any]) -> int:
    url = urlsplit(call["url"])
    body = call.get("body")
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=_CALL_TIMEOUT)
    try:
        data = None if body is None else json.dumps(body).encode()
        connection.request(call["method"], url.path, data, call.get("headers") or {})
        return connection.getresponse().status
    finally:
        connection.close()


def _kill(pid: int, started: int | None) -> None:
    """End a process, and its group if it leads one: SIGTERM, then SIGKILL; never a later one of that id."""
    if started is not None and start_time(pid) != started:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        send = os.killpg if os.getpgid(pid) == pid else os.kill
        send(pid, signal.SIGTERM)
        give_up = time.monotonic() + _GRACE
        while _runs(pid) and time.monotonic() < give_up:
            time.sleep(0.02)
        if send is os.killpg or _runs(pid):
            send(pid, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return _stat(pid)[:1] not in (["Z"], ["X"])


if __name__ == "__main__":
    sys.exit(main())
