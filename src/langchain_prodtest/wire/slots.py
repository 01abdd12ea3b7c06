"""A provider that can answer only so many requests at once: the others wait in line, or are refused."""

import heapq
import math
import time
from collections.abc import Callable

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.script import Change, Fault, Request, Step

__all__ = ["Slots"]


class Slots:
    """A rule for `Script.rule`: lets `count` requests at once through; `queue` more wait, others are refused.

    What older rules answer comes later by the time that its request waits. A Reply takes a slot for the time
    that it is paced to take, also when the client leaves before; what is not paced, and a Fault, takes none.
    With `slower`, each slot in use makes a Reply that begins take so much longer: 0.1 is a tenth. A refusal
    is a Fault with `status` that tells when the next slot is free; no step of an older rule is used up by it.
    """

    def __init__(
        self,
        count: int,
        queue: int = 0,
        *,
        status: int = 429,
        slower: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if count < 1 or queue < 0 or not 0 <= slower < math.inf:
            raise ScriptError("Slots: count must be at least 1, queue and slower cannot be negative")
        Fault(status=status)
        self._free = [-math.inf] * count  # when each slot is free again; a heap
        self._waiting: list[float] = []  # when each request in the queue begins; a heap
        self._queue, self._status, self._slower, self._clock = queue, status, slower, clock

    def __call__(self, request: Request) -> Fault | Change:
        """Return what makes an answer late if it has to wait, or the Fault."""
        now = self._clock()
        while self._waiting and self._waiting[0] <= now:
            heapq.heappop(self._waiting)
        wait = self._free[0] - now
        if wait > 0 and len(self._waiting) >= self._queue:
            return Fault(status=self._status, retry_after=math.ceil(wait))
        return lambda step: self._placed(step, now)

    def _placed(self, step: Step, now: float) -> Step:
        if isinstance(step, Fault):
            return step
        start = max(now, self._free[0])
        if start > now:
            heapq.heappush(self._waiting, start)
        reply = step.slower(1 + self._slower * sum(free > start for free in self._free))
        heapq.heapreplace(self._free, start + reply.seconds)
        return reply.later(start - now)
