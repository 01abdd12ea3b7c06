"""The closed network: one audit hook (PEP 578) for the whole process, switched by a flag.

It sees every connect, datagram and look-up of CPython's `socket` module, from any thread, whatever was
imported or saved before. It does not see: libraries with sockets of their own (uvloop, gRPC, libcurl),
`socket.getnameinfo`, and a host name given to `connect` itself is looked up before the event.
`isolation.named` covers uvloop by name, `isolation.children` children that are not forked.
"""

import ipaddress
import json
import os
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from langchain_prodtest.errors import ProdtestError
from langchain_prodtest.isolation.attempt import Attempt, witness

__all__ = ["EgressError", "Network", "guard"]


class EgressError(ProdtestError, ConnectionRefusedError):
    """A closed Network refused this.

    It is a ConnectionRefusedError because clients turn an OSError into their own connection error, and close
    the socket; any other exception would take paths through their code that production never takes.
    """


class Network:
    """What this process may reach: loopback, UNIX sockets, and the hosts that were allowed.

    While closed, every other attempt is refused with EgressError and journalled. `when` is the phrase that
    new attempts are filed under. `process` is the command line of a child of the test. What is not the test's
    own process, a forked one too, appends its attempts to the file `journal`.
    """

    def __init__(self, root: Path, process: str = "") -> None:
        self.root, self.process = root, process
        self.when = ""
        self.journal: Path | None = None
        self.local: dict[int, Attempt] = {}  # the first connect to each port of this machine
        self._read = 0  # bytes of the journal
        self._own = 0 if process else os.getpid()
        self._allowed: frozenset[str] = frozenset()
        self._allows_all = False
        self._resolved: set[str] = set()
        self._lock = threading.Lock()
        self._attempts: list[Attempt] = []

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Refuse and journal while the block runs; the innermost closed Network of the process rules."""
        _install_hook()
        _closed.append(self)
        try:
            yield
        finally:
            _closed.remove(self)

    @property
    def allowed(self) -> tuple[frozenset[str], bool]:
        """What `allow` was given."""
        return self._allowed, self._allows_all

    @property
    def is_open(self) -> bool:
        """Tell whether everything is allowed now."""
        return self._allows_all

    def allow(self, hosts: Iterable[str], everything: bool = False) -> None:
        """Allow these hosts, or everything, and nothing that was allowed before."""
        self._allowed, self._allows_all = frozenset(hosts), everything
        self._resolved.clear()

    @property
    def is_closed(self) -> bool:
        """Tell whether attempts are refused now."""
        return self in _closed

    def take(self, when: str | None = None) -> list[list[Attempt]]:
        """Remove and return the attempts filed under `when`, or all of them, grouped by target and thread."""
        groups: dict[object, list[Attempt]] = {}
        with self._lock:
            self._attempts += self._told(self.when if when is None else when)
            for attempt in [a for a in self._attempts if when in (None, a.when)]:
                self._attempts.remove(attempt)
                groups.setdefault((attempt.target, attempt.thread, attempt.when), []).append(attempt)
        return list(groups.values())

    def leaves(self, host: str, port: int) -> bool:
        """Tell whether a connection that exists leaves this machine, and nothing allows it."""
        allowed = self._allows_all or host in self._allowed or host in self._resolved
        return not (allowed or _is_local(host))

    def check(self, event: str, args: tuple[Any, ...]) -> None:
        """Refuse the attempt that an audit event announces, unless its target is allowed."""
        __tracebackhide__ = True
        self.refuse(*_target(event, args))

    def refuse(self, how: str, host: str, port: int | None) -> None:
        """Refuse an attempt, unless its target is allowed; a host that is empty is none of the network's."""
        __tracebackhide__ = True
        if not host or self._allows_all:
            return
        if _is_local(host):
            if port and how == "connect" and port not in self.local and not self._allows_local(port):
                self.local[port] = witness(host, port, how, self.when, self.root, self.process)
            return
        is_name = not _is_address(host)
        if host in self._allowed or host in self._resolved:
            if is_name and how == "look-up":
                self._remember_addresses(host)
            return
        if how == "look-up" and not is_name:
            return  # an address needs no look-up: no packet leaves
        self.report(host, port, how)
        raise EgressError(f"{how} {host}{f':{port}' if port else ''} was refused: the network is closed")

    def report(self, host: str, port: int | None, how: str) -> None:
        """Journal an attempt of the calling thread, unless it would have stayed on this machine."""
        if not host or _is_local(host):
            return
        attempt = witness(host, port, how, self.when, self.root, self.process)
        if os.getpid() == self._own:
            with self._lock:
                self._attempts.append(attempt)
        elif self.journal is not None:
            attempt = attempt if self.process else replace(attempt, process=f"fork {os.getpid()}")
            with self.journal.open("ab", buffering=0) as file:
                file.write(json.dumps(vars(attempt)).encode() + b"\n")

    def _told(self, when: str) -> list[Attempt]:
        """Return what children have added to the journal; it is filed under `when`."""
        try:
            if self.journal is None or self.journal.stat().st_size == self._read:
                return []
        except FileNotFoundError:
            return []
        with self.journal.open("rb") as file:
            file.seek(self._read)
            lines = file.readlines()
        self._read += sum(map(len, lines))
        return [Attempt(**{**json.loads(line), "when": when}) for line in lines]

    def _allows_local(self, port: int) -> bool:
        return any(name in self._allowed or f"{name}:{port}" in self._allowed for name in LOOPBACK)

    def _remember_addresses(self, host: str) -> None:
        """The connect that follows names an address only: allow those of an allowed name."""
        if host in self._resolved:
            return
        self._resolved.add(host)
        try:
            found = socket.getaddrinfo(host, None)
        except OSError:
            self._resolved.discard(host)
        else:
            self._resolved.update(str(entry[4][0]) for entry in found)


LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
"""By these an `allow`ed host names a port of this machine, as in `localhost:5432`."""

_closed: list[Network] = []
_installed = False

_HOW = {
    "socket.connect": "connect",
    "socket.sendto": "datagram",
    "socket.sendmsg": "datagram",
    "socket.getaddrinfo": "look-up",
    "socket.gethostbyname": "look-up",
    "socket.gethostbyaddr": "reverse look-up",
}


def _install_hook() -> None:
    """An audit hook cannot be removed: it is installed once, when a Network is first closed."""
    global _installed
    if not _installed:
        _installed = True
        sys.addaudithook(_hook)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    __tracebackhide__ = True
    check_now(event, args)


def check_now(event: str, args: tuple[Any, ...]) -> None:
    """Let the innermost closed Network refuse what an audit event announces."""
    __tracebackhide__ = True
    if event in _HOW:
        for network in _closed[-1:]:
            network.check(event, args)


def guard(how: str, host: object, port: object) -> None:
    """Refuse an attempt that has no audit event, where a Network is closed; `how` is as in an Attempt."""
    __tracebackhide__ = True
    for network in _closed[-1:]:
        network.refuse(how, _text(host), _number(port))


def _target(event: str, args: tuple[Any, ...]) -> tuple[str, str, int | None]:
    """Return what is tried, the host ("" when it is none of the network's) and the port of an audit event."""
    how = _HOW[event]
    if how.endswith("look-up"):
        port = args[1] if event == "socket.getaddrinfo" else None
        return how, _text(args[0]), _number(port)
    sock, address = args[0], args[1]
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
        return how, "", None
    return how, _text(address[0]), _number(address[1])


def _text(host: object) -> str:
    return host.decode("utf-8", "replace") if isinstance(host, bytes | bytearray) else str(host or "")


def _number(port: object) -> int | None:
    text = _text(port)
    return int(text) if text.isdigit() else None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_local(host: str) -> bool:
    """Loopback, "localhost", and the unspecified address, which leads to this host too."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback or mapped.is_unspecified
