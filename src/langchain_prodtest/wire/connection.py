"""One client connection: what arrived waits in line, and one exchange at a time answers."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Protocol, cast

from langchain_prodtest.measure import now
from langchain_prodtest.script import Call, ClosedBy, Request, Script
from langchain_prodtest.wire.arrival import Arrival, Limits, Reader
from langchain_prodtest.wire.codec import Rejected
from langchain_prodtest.wire.control import PREFIX, Control
from langchain_prodtest.wire.exchange import Exchange, call_of
from langchain_prodtest.wire.framing import CONTINUE, chunk, frame
from langchain_prodtest.wire.front import Front, inside
from langchain_prodtest.wire.response import Ending, Response
from langchain_prodtest.wire.router import Router

__all__ = ["Connection", "Traffic", "reset"]

_RST = struct.pack("ii", 1, 0)  # SO_LINGER on, for zero seconds: close sends RST
_PIPELINED = 16  # requests that may wait on one connection
_LINGER = 2.0  # seconds in which a rejected client may read the answer before the connection is closed


class Stoppable(Protocol):
    """A connection at any stage."""

    def stop(self) -> None:
        """Close at once."""


class Owner(Protocol):
    """Another process, which answers what this one cannot."""

    def needed(self, arrival: Arrival | None = None) -> bool:
        """Tell whether a connection, or what arrived on it, is for the owner to answer."""

    def hand(self, connection: socket.socket, arrival: Arrival | None = None) -> None:
        """Give a connection to the owner."""

    def count(self, exchanges: int) -> None:
        """Say how many exchanges are open."""


class Traffic:
    """What is going on at one server: its connections and the exchanges that are open.

    `settle` reads in the Calls of other processes, and returns how many exchanges are open there.
    """

    def __init__(self, router: Router, limits: Limits, keep_alive: bool) -> None:
        self.router, self.limits, self.keep_alive = router, limits, keep_alive
        self.front: Front | None = None
        self.control: Control | None = None
        self.owner: Owner | None = None
        self.settle: Callable[[], int] = lambda: 0
        self.connections: set[Stoppable] = set()
        self.open: dict[Exchange, Script] = {}
        self.peak = 0

    def begin(self, exchange: Exchange, script: Script) -> None:
        """Count an exchange as open; `script` is the one that was asked."""
        self.open[exchange] = script
        self.peak = max(self.peak, len(self.open))
        if self.owner is not None:
            self.owner.count(len(self.open))

    def end(self, exchange: Exchange, closed_by: ClosedBy | None = None) -> None:
        """Write an exchange to the journal, and only then count it as open no more: a reader misses none."""
        self.record(exchange.stop(closed_by), self.open[exchange])
        del self.open[exchange]
        if self.owner is not None:
            self.owner.count(len(self.open))

    def record(self, call: Call, script: Script | None = None) -> None:
        """Write a finished exchange to the journal."""
        (script or self.router.script).record(call)
        if self.control is not None:
            self.control.count(call)


class Connection(asyncio.Protocol):
    """Reads requests, has them answered in order, and notices at any time that the client has left.

    `mount` is given where the client took the connection for one to the provider's own host, `arrival` where
    another process has read the request.
    """

    _transport: asyncio.Transport

    def __init__(
        self,
        traffic: Traffic,
        loop: asyncio.AbstractEventLoop,
        mount: str | None = None,
        arrival: Arrival | None = None,
    ) -> None:
        self._traffic, self._loop, self._mount, self._handed = traffic, loop, mount, arrival
        self._reader = Reader(traffic.limits, traffic.keep_alive)
        self._exchange: Exchange | None = None
        self._steering: asyncio.Task[None] | None = None
        self._writable: asyncio.Event | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request, or reset the connection if a Fault refuses it."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own do not inherit from it
        self._traffic.connections.add(self)
        if self._hand_over():
            return
        mount = self._refused() if self._handed is None else None
        if mount is not None:
            request = Request(provider=mount, operation="", received=now())
            self._traffic.record(call_of(request, closed_by="fault"))
            reset(self._transport)
            return
        self._transport.set_write_buffer_limits(high=1, low=0)  # "paused" means: the socket has not taken all
        self._expect_request()
        if self._handed is not None:
            self._reader.arrived.append(self._handed)
            self._answer_next()

    def data_received(self, data: bytes) -> None:
        """Read on; answer what has arrived whole."""
        self._reader.feed(data)
        if self._exchange is None and self._steering is None:
            if self._reader.expects:
                self._reader.expects = False
                self._transport.write(CONTINUE)
            self._answer_next()
        if len(self._reader.arrived) > _PIPELINED:
            self.stop()

    def eof_received(self) -> None:
        """Take it that the client has left; the transport closes."""
        self._leave("client")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._leave("client")
        if self._steering is not None:
            self._steering.cancel()
        self._stop_deadline()
        self._traffic.connections.discard(self)

    def pause_writing(self) -> None:
        """Hold the exchange: the socket takes no more."""
        self._watch()
        if self._exchange is not None:
            self._exchange.paused = True
        if self._writable is not None:
            self._writable.clear()

    def resume_writing(self) -> None:
        """Let the exchange go on: the socket has taken everything."""
        self._stop_deadline()
        if self._exchange is not None:
            self._exchange.paused = False
            self._exchange.play()
        if self._writable is not None:
            self._writable.set()

    def stop(self) -> None:
        """Close at once, as the server's doing."""
        self._leave(None)
        self._transport.abort()

    def _answer_next(self) -> None:
        if not self._reader.arrived or self._transport.is_closing():
            return
        self._stop_deadline()
        arrival = self._led(self._reader.arrived.popleft())
        if arrival.rejected is None and self._hand_over(arrival):
            return
        router, control = self._traffic.router, self._traffic.control
        if control is not None and arrival.rejected is None:
            if arrival.target.startswith(PREFIX):
                self._steering = self._loop.create_task(self._steer(control, arrival))
                return
            try:
                router = control.scopes.of(arrival)
            except Rejected as rejected:
                arrival = arrival._replace(rejected=rejected)
        decision = router.decide(arrival)
        writes = frame(decision.response, keep_alive=arrival.keep, chunks=arrival.chunks)

        def done(last: bytes) -> None:
            self._leave(None)
            if last:
                self._transport.write(last)
            self._after(decision.response.ending, arrival.keep, lingers=arrival.rejected is not None)

        self._exchange = Exchange(decision, writes, self._transport, self._loop, done)
        self._traffic.begin(self._exchange, router.script)
        self._exchange.play()

    async def _steer(self, control: Control, arrival: Arrival) -> None:
        elsewhere = self._traffic.settle()
        status, kind, pages = await control.answer(arrival, len(self._traffic.open) + elsewhere)
        if self._transport.is_closing():
            return
        response = Response(status=status, headers={"content-type": kind}, parts=[], streamed=True)
        head, *last = frame(response, keep_alive=arrival.keep, chunks=arrival.chunks)
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport.write(head.data)
        for page in pages:
            if page:
                self._transport.write(chunk(page) if last else page)
            await asyncio.sleep(0)
            await self._writable.wait()
        self._steering = None
        for write in last:
            self._transport.write(write.data)
        self._after(response.ending, arrival.keep and bool(last), lingers=False)

    def _hand_over(self, arrival: Arrival | None = None) -> bool:
        """Give the connection to the owner where it is needed, and tell whether that is so."""
        owner = self._traffic.owner
        needed = owner is not None and owner.needed(arrival)
        if owner is not None and needed:
            owner.hand(self._transport.get_extra_info("socket"), arrival)
            self._transport.abort()
        return needed

    def _led(self, arrival: Arrival) -> Arrival:
        """Return the arrival with a mount in its path, where it named a host instead."""
        if self._mount is not None:
            return inside(arrival, self._mount)
        return arrival if self._traffic.front is None else self._traffic.front.direct(arrival)

    def _after(self, ending: Ending, keep: bool, lingers: bool) -> None:
        if ending == "reset":
            reset(self._transport)
        elif lingers:
            if (
                self._transport.can_write_eof()
            ):  # a close with unread data would be a reset, and lose the answer
                self._transport.write_eof()
            else:  # TLS ends by itself in both directions
                self._transport.close()
            self._deadline = self._loop.call_later(_LINGER, self._transport.abort)
        elif keep and ending == "end":
            if self._reader.arrived:
                self._loop.call_soon(self._answer_next)
            else:
                self._expect_request()
        else:
            self._transport.close()
            if self._transport.get_write_buffer_size():
                self._watch()

    def _refused(self) -> str | None:
        if self._mount is None:
            return self._traffic.router.refused()
        return self._mount if self._traffic.router.script.refuses(self._mount) else None

    def _leave(self, closed_by: ClosedBy | None) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._traffic.end(exchange, closed_by)

    def _watch(self) -> None:
        """Close the connection of a client that for a whole while reads nothing of what waits for it."""
        size = self._transport.get_write_buffer_size()

        def look() -> None:
            if self._transport.get_write_buffer_size() == size:
                self._transport.abort()
            else:
                self._watch()

        self._deadline = self._loop.call_later(self._traffic.limits.seconds, look)

    def _expect_request(self) -> None:
        self._deadline = self._loop.call_later(self._traffic.limits.seconds, self._transport.abort)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def reset(transport: asyncio.WriteTransport) -> None:
    """Close a connection at once, so that the peer sees a reset."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    transport.abort()
