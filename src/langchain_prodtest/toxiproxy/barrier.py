"""A listener that lets nobody in: connection attempts get no answer, or a refusal.

Linux answers no SYN while the queue of connections that wait to be accepted is full. So the queue is made as
short as possible and filled with connections of our own; whoever connects then waits, and the handshake goes
on with the next SYN (after 1, 3, 7 ... s) once the barrier is lifted.
"""

import contextlib
import select
import socket
from typing import Any

__all__ = ["Barrier"]

_MOST, _MOMENT = 16, 0.005


class Barrier:
    """Fills the queue of a listening socket; `lift` empties it."""

    def __init__(self, listener: socket.socket) -> None:
        listener.listen(0)
        self._ours: list[socket.socket] = []
        for _ in range(_MOST):
            try:
                sock = socket.socket(listener.family)
            except OSError:
                self.lift()
                raise
            sock.setblocking(False)
            self._ours.append(sock)
            with contextlib.suppress(BlockingIOError):
                sock.connect(listener.getsockname())
            if not select.select([], [sock], [], _MOMENT)[1]:
                break
        self._addresses = {sock.getsockname()[:2] for sock in self._ours}

    def holds(self, address: Any) -> bool:
        """Say whether an accepted connection is one of those that filled the queue."""
        return address[:2] in self._addresses

    def lift(self) -> None:
        """Close the connections that filled the queue."""
        for sock in self._ours:
            sock.close()
