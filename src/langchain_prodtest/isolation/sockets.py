"""What the kernel knows of a test's connections, whoever made them and by whatever library."""

import _socket
import os
from collections.abc import Iterable

from langchain_prodtest.isolation.proc import Peer, connected, family, listening, owned_by

__all__ = ["LoopbackWarning", "Sockets"]

KEPT = 32  # ports of servers that have ended; each costs a descriptor


class LoopbackWarning(UserWarning):
    """A test connected to a port of this machine that nobody of its run listens on."""


class Sockets:
    """Tells what is new since it last looked. `run` is the process whose descendants are one run.

    What is there already when it is made is nobody's fault. On systems other than Linux it sees nothing.
    """

    def __init__(self, run: int) -> None:
        self._run = run
        self._seen = owned_by(os.getpid())
        self._ours: set[int] = set()
        self._kept: dict[int, tuple[_socket.socket, str]] = {}

    def new_peers(self) -> list[Peer]:
        """Return whom this process has become connected to; each connection is told once."""
        new = owned_by(os.getpid()) - self._seen
        self._seen |= new
        return [peer for peer in connected() if peer.inode in new] if new else []

    def keep(self, port: int, whose: str) -> None:
        """Remember whose a port was, and let nobody have it meanwhile, whose callers would seem late."""
        held = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)  # also where pytest-socket forbids others
        try:
            held.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)  # its connections may linger
            held.bind(("127.0.0.1", port))
            held.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 0)
        except OSError:  # somebody has it already
            held.close()
            return
        self._kept[port] = held, whose
        if len(self._kept) > KEPT:
            self._kept.pop(next(iter(self._kept)))[0].close()

    def kept(self, ports: Iterable[int]) -> dict[int, str]:
        """Return those of these ports that are remembered, and whose they were."""
        return {port: self._kept[port][1] for port in ports if port in self._kept}

    def close(self) -> None:
        """Let go of all ports."""
        while self._kept:
            self._kept.popitem()[1][0].close()

    def of_others(self, ports: Iterable[int]) -> list[int]:
        """Return those of these ports that a process outside of the run listens on now."""
        listeners = listening()
        strange = [port for port in ports if listeners.get(port, self._ours) - self._ours]
        if strange:
            self._ours |= owned_by(os.getpid())
            strange = [port for port in strange if listeners[port] - self._ours]
        if strange:
            for process in family(self._run):
                self._ours |= owned_by(process)
        return [port for port in strange if listeners[port] - self._ours]
