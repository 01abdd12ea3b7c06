"""What the kernel knows of a test's connections, whoever made them and by whatever library."""

import os
import sys
from collections.abc import Iterable

from langchain_prodtest.isolation.proc import Peer, connected, family, listening, owned_by

__all__ = ["LoopbackWarning", "Sockets"]


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

    def new_peers(self) -> list[Peer]:
        """Return whom this process has become connected to; each connection is told once."""
        new = owned_by(os.getpid()) - self._seen
        self._seen |= new
        return [peer for peer in connected() if peer.inode in new] if new else []

    def unheard(self, ports: Iterable[int]) -> list[int]:
        """Return those of these ports that nobody listens on now; none where that cannot be seen."""
        listeners = listening()
        return [port for port in ports if port not in listeners] if sys.platform == "linux" else []

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
