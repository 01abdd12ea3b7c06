"""A process that answers on the port of `prodtest fakes serve --processes N` what needs no script.

All else it hands to its owner, the process that has scripts, scopes, journal and control: the connection
itself, with what was asked. When the owner ends, however that happens, it ends too.
"""

import os
import signal
import socket
from contextlib import suppress
from typing import Any

import msgspec

from langchain_prodtest.script import Call, Script
from langchain_prodtest.wire.arrival import Arrival
from langchain_prodtest.wire.control import PREFIX
from langchain_prodtest.wire.link import CALL, CONNECTION, READY, Board, Link, Plan
from langchain_prodtest.wire.scopes import scope_of
from langchain_prodtest.wire.scripts import Rule
from langchain_prodtest.wire.serve import fastest_loop
from langchain_prodtest.wire.server import FakeServer

__all__ = ["main"]


class Owner:
    """The process that has the scripts, as a worker sees it."""

    def __init__(self, link: Link, board: Board, number: int) -> None:
        self._link, self._board, self._number = link, board, number
        self._encode = msgspec.msgpack.Encoder().encode

    def needed(self, arrival: Arrival | None = None) -> bool:
        """Tell whether a connection, or what arrived on it, is for the owner to answer."""
        if self._board[0] or arrival is None:
            return bool(self._board[0])
        return arrival.target.startswith(PREFIX) or scope_of(arrival) != ""

    def hand(self, connection: socket.socket, arrival: Arrival | None = None) -> None:
        """Give a connection to the owner; what this process does with its copy, the client does not see."""
        with suppress(OSError):
            self._link.send(CONNECTION, self._encode(arrival), connection.fileno())

    def tell(self, call: Call) -> None:
        """Have a Call in the journal."""
        with suppress(OSError):  # the owner has gone, and its journal with it
            self._link.send(CALL, self._encode(call))

    def count(self, exchanges: int) -> None:
        """Say how many exchanges are open."""
        self._board[self._number] = exchanges


class _Told(Script):
    """A Script without a journal or counts of its own: the owner has them."""

    def __init__(self, owner: Owner) -> None:
        super().__init__()
        self._owner = owner

    def record(self, call: Call) -> None:
        self._owner.tell(call)

    def attempt(self, digest: str, scope: str = "") -> int:
        """Return 0: the owner counts, as other processes see attempts too."""
        return 0


class _Worker(FakeServer):
    """Shares its port with others, and asks the owner."""

    def __init__(self, plan: Plan, owner: Owner) -> None:
        rules = [Rule(match=match, always=reply or fault) for match, reply, fault in plan.answers]
        options: dict[str, Any] = {
            "rules": rules,
            "token": plan.token,
            "keys": plan.keys,
            "loop": fastest_loop(),
        }
        super().__init__(_Told(owner), plan.mounts, plan.host, plan.port, **options)
        self._traffic.owner = owner
        self._options["reuse_port"] = True


def main() -> None:
    """Answer, by the plan that comes through standard input, until that is closed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # they go to the whole group; the owner ends it in order
    link = Link(socket.socket(fileno=0))
    message = link.receive()
    if message is None:
        return
    plan = msgspec.json.decode(message.content, type=Plan)
    board = Board(message.file, plan.workers)
    os.close(message.file)
    with _Worker(plan, Owner(link, board, plan.number)):
        link.send(READY)
        link.receive()


if __name__ == "__main__":
    main()
