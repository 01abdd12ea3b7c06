"""A provider that can answer only so many requests at once: the others wait in line, or are refused."""

import heapq
import math
import time
from collections.abc import Callable

from msgspec.structs import replace

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.script import Fault, Reply, Request, Step

__all__ = ["Slots"]


class Slots:
    """A rule for `Script.rule`: `answer` for `count` requests at once; `queue` more wait, others are refused.

    A request that waits gets its first token later by that time. A slot is taken for the time that the Reply
    takes as it is paced, also when the client leaves before; without a pace no slot is ever taken. A refusal
    is a Fault with `status` that tells when the next slot is free.
    """

    def __init__(
        self,
        count: int,
        queue: int,
        answer: Callable[[Request], Reply],
        *,
        status: int = 429,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if count < 1 or queue < 0:
            raise ScriptError("Slots: count must be at least 1, and queue cannot be negative")
        self._free = [-math.inf] * count  # when each slot is free again; a heap
        self._waiting: list[float] = []  # when each request in the queue begins; a heap
        self._queue, self._answer, self._status, self._clock = queue, answer, status, clock

    def __call__(self, request: Request) -> Step:
        """Return the Reply, late if it has to wait, or the Fault."""
        now = self._clock()
        while self._waiting and self._waiting[0] <= now:
            heapq.heappop(self._waiting)
        start = max(now, self._free[0])
        if start > now and len(self._waiting) >= self._queue:
            return Fault(status=self._status, retry_after=math.ceil(start - now))
        if start > now:
            heapq.heappush(self._waiting, start)
        reply = self._answer(request)
        last = max(len(reply.pieces()) + len(reply.tool_calls), 1) - 1
        heapq.heapreplace(self._free, start + reply.due(last))
        return _later(reply, start - now)


def _later(reply: Reply, seconds: float) -> Reply:
    if reply.gaps:
        return replace(reply, gaps=[reply.gaps[0] + seconds, *(reply.gaps[1:] or reply.gaps)])
    return replace(reply, first_token=reply.first_token + seconds)
