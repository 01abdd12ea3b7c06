"""Send one response over a connection at its times, and say what became of it."""

import asyncio
from collections.abc import Callable

import msgspec

from langchain_prodtest.measure import now
from langchain_prodtest.script import Call, ClosedBy, Request
from langchain_prodtest.wire.framing import Write
from langchain_prodtest.wire.router import Decision

__all__ = ["Exchange", "call_of"]

_EARLY = 0.0005  # seconds; a write due this soon goes with the one before, which spares a wake-up
_FEW = 16 * 1024  # bytes that any socket takes at once


class Exchange:
    """One response on its way.

    Deadlines are absolute from the request's arrival, so lateness does not add up. While the socket takes
    no more (`paused`), nothing is written; what became due meanwhile goes out in one write.
    """

    __slots__ = (
        "_begun", "_body", "_done", "_loop", "_next", "_status", "_timer", "_transport", "_writes",
        "decision", "paused",
    )  # fmt: skip

    def __init__(
        self,
        decision: Decision,
        writes: list[Write],
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        done: Callable[[bytes], None],
    ) -> None:
        self.decision = decision
        self.paused = False
        self._writes = writes
        self._transport = transport
        self._loop = loop
        self._done = done
        self._begun = loop.time()
        self._next = self._body = self._status = 0
        self._timer: asyncio.TimerHandle | None = None

    def play(self) -> None:
        """Write all that is due, then wait for what comes next; at the end call `done`.

        The last bytes of an answer that ends well are left to `done`, so that it can be in the journal before
        the client has it; those before them have been taken by the socket, unless they are few.
        """
        self._timer = None
        if self.paused:
            return
        ending = self.decision.response.ending
        data = self._take_due()
        ends_well = self._next == len(self._writes) and ending == "end"
        if ends_well and len(data) > _FEW:
            self._writes, self._next = [Write(0.0, data[-1:], 0)], 0
            data, ends_well = data[:-1], False
        if ends_well:
            self._done(data)
            return
        if data:
            self._transport.write(data)
        if self.paused:  # set by the transport during the write, taken back when the socket has taken all
            return
        if self._next < len(self._writes):
            self._wait_until(self._writes[self._next].at)
        elif ending != "hang":
            self._end()

    def _take_due(self) -> bytes:
        until = self._loop.time() - self._begun + _EARLY
        first = self._next
        while self._next < len(self._writes) and self._writes[self._next].at <= until:
            self._next += 1
        due = self._writes[first : self._next]
        if due:
            self._status = self.decision.response.status
            self._body += sum([write.body for write in due])
        return b"".join([write.data for write in due])

    def _end(self) -> None:
        """End by a Fault, `pause` seconds after the last write."""
        end = (self._writes[-1].at if self._writes else 0.0) + self.decision.response.pause
        if self._loop.time() - self._begun + _EARLY < end:
            self._wait_until(end)
        else:
            self._done(b"")

    def _wait_until(self, at: float) -> None:
        self._timer = self._loop.call_at(self._begun + at, self.play)

    def stop(self, closed_by: ClosedBy | None = None) -> Call:
        """Write no more; return the Call, closed by the one named, else by the server or its Fault."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        request, response, unexpected = self.decision
        by = closed_by or ("fault" if response.spoiled else "server")
        return call_of(request, bytes=self._body, status=self._status, closed_by=by, unexpected=unexpected)


def call_of(
    request: Request,
    *,
    bytes: int = 0,  # noqa: A002 - the field's name
    status: int = 0,
    closed_by: ClosedBy,
    unexpected: bool = False,
) -> Call:
    """Return the exchange finished now; the journal numbers it."""
    return Call(
        **msgspec.structs.asdict(request),
        id=0,
        ended=now(),
        bytes=bytes,
        status=status,
        closed_by=closed_by,
        unexpected=unexpected,
    )
