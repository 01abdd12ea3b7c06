"""How long answers take: constant, log-normally distributed, or as it was recorded."""

import math
from collections.abc import Iterator, Sequence
from itertools import cycle, islice, repeat
from random import Random
from typing import Annotated

import msgspec

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.script import Change, Reply, Request, Step

__all__ = ["Lognormal", "Pace", "Times"]


class Lognormal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Times with this median in seconds; `sigma` is the deviation of the logarithm: 0.5 is common."""

    median: Annotated[float, msgspec.Meta(gt=0)]
    sigma: Annotated[float, msgspec.Meta(ge=0)]

    def __post_init__(self) -> None:
        if not (0 < self.median < math.inf and 0 <= self.sigma < math.inf):
            raise ScriptError("Lognormal: median must be more than 0, and sigma not negative")


Times = float | Sequence[float] | Lognormal
"""The same number of seconds each time, a trace that is gone through again and again, or drawn by chance."""


class Pace:
    """A rule for `Script.rule`: gives times to each Reply of older rules, and of the default, without any.

    The first piece comes after a time of `first_token`, each of the others after one of `per_chunk`. Same
    seed and order of arrival, same times.
    """

    def __init__(self, first_token: Times = 0.0, per_chunk: Times = 0.0, seed: int = 0) -> None:
        random = Random(seed)
        self._first, self._others = _drawn(first_token, random), _drawn(per_chunk, random)

    def __call__(self, request: Request) -> Change:
        """Return what gives a Reply its times."""
        return self._paced

    def _paced(self, step: Step) -> Step:
        if not isinstance(step, Reply) or step.paced:
            return step
        return msgspec.structs.replace(step, gaps=[next(self._first), *islice(self._others, step.count)])


def _drawn(times: Times, random: Random) -> Iterator[float]:
    if isinstance(times, Lognormal):
        logarithm = math.log(times.median)
        return iter(lambda: random.lognormvariate(logarithm, times.sigma), None)
    trace = times if isinstance(times, Sequence) else [times]
    Reply(gaps=trace)
    if not trace:
        raise ScriptError("Pace: a trace has at least one time")
    return cycle(trace) if len(trace) > 1 else repeat(trace[0])
