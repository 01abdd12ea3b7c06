"""A provider whose model is not loaded: who asks first after a while waits for it."""

import math
import time
from collections.abc import Callable

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.script import Change, Reply, Request, Step

__all__ = ["ColdStart"]


class ColdStart:
    """A rule for `Script.rule`: at first, and after `idle` seconds without a request, `delay` to warm up.

    What older rules answer comes later by what is left of that; who asks meanwhile waits for the same. A
    Fault comes when it would.
    """

    def __init__(self, idle: float, delay: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not (0 < idle < math.inf and 0 < delay < math.inf):
            raise ScriptError("ColdStart: idle and delay are seconds, more than 0")
        self._idle, self._delay, self._clock = idle, delay, clock
        self._last, self._warm = -math.inf, -math.inf  # of the last request; when it is, or was, warm

    def __call__(self, request: Request) -> Change | None:
        """Return what makes an answer late; None while it is warm."""
        now = self._clock()
        if now - max(self._last, self._warm) >= self._idle:
            self._warm = now + self._delay
        self._last = now
        wait = self._warm - now
        return None if wait <= 0 else lambda step: _later(step, wait)


def _later(step: Step, seconds: float) -> Step:
    return step.later(seconds) if isinstance(step, Reply) else step
