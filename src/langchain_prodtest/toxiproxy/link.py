"""One direction of a proxied connection: what its toxics make of the bytes between two sockets."""

import asyncio
import math
import socket
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from langchain_prodtest.toxiproxy.effect import CHUNK, Chunk, Effect, End

__all__ = ["Counts", "Link"]

_READ = 64 * 1024
_MORE_LIKELY = 4 * 1024
_AHEAD = 1024
_LONGEST_NAP = 3600.0
_SENDS_A_TURN = 4


@dataclass(slots=True)
class Counts:
    """Bytes of one direction: received from its source, sent to its target."""

    received: int = 0
    sent: int = 0


class Link:
    """One direction: reads `source`, sends each chunk through the effects, writes `target`.

    `on_end` is called once with the way the direction ended. After a chunk of data, or a few pieces of one,
    everything else on the event loop has its turn: full load delays no call of the API.
    """

    def __init__(self, source: socket.socket, target: socket.socket, on_end: Callable[[End], None]) -> None:
        self.effects: list[Effect] = []
        self.counts = Counts()
        self.first_sent: float | None = None
        self._source, self._target, self._on_end = source, target, on_end
        self._loop = asyncio.get_running_loop()
        self._chunks: deque[Chunk] = deque()
        self._more, self._room = asyncio.Event(), asyncio.Event()
        self._busy = False
        self._holders: list[Effect] = []
        self._nap: asyncio.Future[None] | None = None
        self._hurry = False
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    async def read(self) -> None:
        """Read chunks until the end; wait while enough of them are queued."""
        data = b""
        while True:
            try:
                data = await self._receive(more=len(data) >= _MORE_LIKELY)
                end = None if data else End.EOF
            except OSError:
                data, end = b"", End.LOST
            self.counts.received += len(data)
            if data and not (self.effects or self._chunks or self._busy):
                if not await self._send(data):
                    return
                continue
            now = self._loop.time()
            size = min((effect.takes for effect in self.effects if effect.acts), default=CHUNK)
            for begin in range(0, len(data), size):
                self._chunks.append(Chunk(now, data[begin : begin + size]))
            if end is not None:
                self._chunks.append(Chunk(now, end=end))
            self._more.set()
            if end is not None:
                return
            while len(self._chunks) >= self._capacity():
                self._room.clear()
                await self._room.wait()

    async def write(self) -> None:
        """Write what comes out of the effects when it is due, until the end."""
        sends = 0
        while True:
            self._busy = False
            while not self._chunks:
                self._more.clear()
                await self._more.wait()
            self._busy = True
            chunk = self._chunks.popleft()
            self._room.set()
            self._hurry = False
            for out in self._through(chunk):
                await self._wait_for(out)
                if out.end is not None:
                    self._finish(out.end)
                    return
                if not await self._send(out.data):
                    return
                sends += 1
                if sends % _SENDS_A_TURN == 0:
                    await asyncio.sleep(0)

    def change(self, effect: Effect, *, flush: bool) -> None:
        """Take notice of a changed effect; with `flush` what it is delaying goes out at once."""
        if effect in self._holders:
            self._hurry = self._hurry or flush
            self._wake()
        self._room.set()
        self._watch_deadlines()

    def stop(self) -> None:
        """Forget the timer; the direction has ended."""
        self._ended = True
        self._watch_deadlines()

    async def _receive(self, more: bool) -> bytes:
        """Read once, b"" at the end; with `more` after others had their turn, and without asking the loop."""
        size = CHUNK if self.effects else _READ
        if more:
            await asyncio.sleep(0)
            try:
                return self._source.recv(size)
            except BlockingIOError:
                pass
        return await self._loop.sock_recv(self._source, size)

    async def _send(self, data: bytes) -> bool:
        try:
            await self._loop.sock_sendall(self._target, data)
        except OSError:
            self._finish(End.LOST)
            return False
        self.counts.sent += len(data)
        if self.first_sent is None:
            self.first_sent = self._loop.time()
        return True

    def _capacity(self) -> int:
        return _AHEAD if any(effect.reads_ahead and effect.acts for effect in self.effects) else 1

    def _through(self, chunk: Chunk) -> Iterable[Chunk]:
        outs = [chunk]
        self._holders = []
        for effect in self.effects:
            if effect.acts:
                before = outs[-1].at if outs else math.inf
                outs = [out for each in outs for out in effect.apply(each)]
                if outs and outs[-1].at > before:
                    self._holders.append(effect)
        if self.effects:
            self._watch_deadlines()
        return outs

    async def _wait_for(self, chunk: Chunk) -> None:
        """Wait until the chunk is due; that may change meanwhile."""
        while not self._hurry and (left := chunk.at - self._loop.time()) > 0:
            self._nap = self._loop.create_future()
            timer = self._loop.call_later(min(left, _LONGEST_NAP), self._wake)
            try:
                await self._nap
            finally:
                timer.cancel()
                self._nap = None

    def _wake(self) -> None:
        if self._nap is not None and not self._nap.done():
            self._nap.set_result(None)

    def _watch_deadlines(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadlines = [e.deadline for e in self.effects if e.acts and e.deadline is not None]
        if deadlines and not self._ended:
            self._timer = self._loop.call_at(min(deadlines), self._finish, End.CLOSE)

    def _finish(self, end: End) -> None:
        self.stop()
        if end is End.EOF:
            try:
                self._target.shutdown(socket.SHUT_WR)
            except OSError:
                end = End.LOST
        self._on_end(end)
