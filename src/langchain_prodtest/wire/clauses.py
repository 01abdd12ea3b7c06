"""What a rule of a script file may say besides steps, as data that makes the rule for a Script."""

import math
from typing import Annotated

import msgspec

from langchain_prodtest.script import Decide
from langchain_prodtest.wire import cold_start, pace, quota, slots
from langchain_prodtest.wire.pace import Lognormal

__all__ = ["Chance", "Clause", "ColdStart", "Pace", "Quota", "Slots", "Window"]

Count = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Times = Seconds | list[Seconds] | Lognormal | str
"""As `pace.Times`; text is the name of a file with a trace, until that is read."""


class Window(msgspec.Struct, frozen=True):
    """Seconds since the script was loaded: the rule holds from `start`, and before `end`."""

    start: Seconds = 0.0
    end: Seconds | None = None

    @property
    def times(self) -> tuple[float, float]:
        """As `Script.rule` takes it."""
        return self.start, math.inf if self.end is None else self.end


class Chance(msgspec.Struct, frozen=True):
    """How often the rule's step comes; otherwise the rules below answer."""

    probability: Share
    seed: int = 0


class Quota(msgspec.Struct, frozen=True):
    """As `quota.Quota`."""

    requests: Count | None = None
    tokens: Count | None = None
    dialect: str = ""

    def rule(self) -> Decide:
        """Return a rule with buckets of its own."""
        return quota.Quota(self.requests, self.tokens, dialect=self.dialect)


class Slots(msgspec.Struct, frozen=True):
    """As `slots.Slots`."""

    count: Count
    queue: Annotated[int, msgspec.Meta(ge=0)] = 0
    status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 429
    slower: Annotated[float, msgspec.Meta(ge=0)] = 0.0

    def rule(self) -> Decide:
        """Return a rule with slots of its own."""
        return slots.Slots(self.count, self.queue, status=self.status, slower=self.slower)


class ColdStart(msgspec.Struct, frozen=True):
    """As `cold_start.ColdStart`."""

    idle: Annotated[float, msgspec.Meta(gt=0)]
    delay: Annotated[float, msgspec.Meta(gt=0)]

    def rule(self) -> Decide:
        """Return a rule that is cold."""
        return cold_start.ColdStart(self.idle, self.delay)


class Pace(msgspec.Struct, frozen=True):
    """As `pace.Pace`."""

    first_token: Times = 0.0
    per_chunk: Times = 0.0
    seed: int = 0

    def rule(self) -> Decide:
        """Return a rule that begins its traces and its chance."""
        if isinstance(self.first_token, str) or isinstance(self.per_chunk, str):
            raise TypeError("its trace is not read")
        return pace.Pace(self.first_token, self.per_chunk, self.seed)


Clause = Quota | Slots | ColdStart | Pace
