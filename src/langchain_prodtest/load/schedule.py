"""When requests are due: the phases of a profile, and how arrivals lie within them.

A profile says how the rate goes; an arrival process says how regular the arrivals are at that rate. Both are
open: nothing waits for the service. The steady part has no name and is what plain SLOs such as
`chat.ttft.p95` are judged on; `chat@spike.ttft.p95` is about the phase of that name.
"""

import math
import random
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, pairwise
from typing import NamedTuple

import msgspec

from langchain_prodtest.errors import UsageError, unknown_name

__all__ = [
    "ARRIVALS",
    "PROFILES",
    "Due",
    "Phase",
    "check_phases",
    "due_times",
    "find_arrivals",
    "find_profile",
    "named",
]

SPIKE = 4  # times the steady rate
BURST = 0.25  # shape of the gamma distribution: the variance of the gaps is 4 times that of a Poisson process


class Phase(msgspec.Struct, frozen=True):
    """`count` arrivals while the rate goes in a straight line from `start` to `end`, both per second."""

    name: str
    count: int
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return 2 * self.count / (self.start + self.end)


class Due(NamedTuple):
    """One arrival: seconds after the start, and the phase that it belongs to."""

    at: float
    phase: str


def _steady(rate: float, count: int) -> list[Phase]:
    return [Phase("", count, rate, rate)]


def _ramp(rate: float, count: int) -> list[Phase]:
    return [Phase("ramp", max(1, count // 2), 0.0, rate), *_steady(rate, count)]


def _step(rate: float, count: int) -> list[Phase]:
    steps = [(f"step{part}", part * rate / 4) for part in (1, 2, 3)]
    return [*(Phase(name, max(1, count // 4), at, at) for name, at in steps), *_steady(rate, count)]


def _spike(rate: float, count: int) -> list[Phase]:
    return [
        *_steady(rate, count),
        Phase("spike", count, SPIKE * rate, SPIKE * rate),
        Phase("recovery", count, rate, rate),
    ]


def _diurnal(rate: float, count: int) -> list[Phase]:
    """One day in miniature: from a fifth of the rate up to it and back, in twelve straight pieces."""
    curve = [rate * (0.6 - 0.4 * math.cos(2 * math.pi * hour / 12)) for hour in range(13)]
    shares = [a + b for a, b in pairwise(curve)]
    marks = [round(count * part / sum(shares)) for part in accumulate(shares, initial=0.0)]
    return [
        Phase("", marks[i + 1] - marks[i], curve[i], curve[i + 1])
        for i in range(12)
        if marks[i + 1] > marks[i]
    ]


PROFILES: dict[str, Callable[[float, int], list[Phase]]] = {
    "steady": _steady,
    "ramp": _ramp,
    "step": _step,
    "spike": _spike,
    "diurnal": _diurnal,
}
"""What `[load] profile` may name: from the rate and count of the steady part to all phases."""

ARRIVALS: dict[str, Callable[[random.Random], float]] = {
    "constant": lambda _: 1.0,
    "poisson": lambda rng: rng.expovariate(1.0),
    "bursts": lambda rng: rng.gammavariate(BURST, 1 / BURST),
}
"""What `[load] arrivals` may name: how one gap is drawn, in mean gaps."""


def find_profile(name: str, rate: float, count: int) -> list[Phase]:
    """Return the phases of a profile; UsageError names the nearest if there is none."""
    if name not in PROFILES:
        raise UsageError(f"[load]: {unknown_name('profile', name, PROFILES)}")
    return PROFILES[name](rate, count)


def find_arrivals(name: str) -> str:
    """Return the name of an arrival process; UsageError names the nearest if there is none."""
    if name not in ARRIVALS:
        raise UsageError(f"[load]: {unknown_name('arrivals', name, ARRIVALS)}")
    return name


def check_phases(metrics: Iterable[str]) -> None:
    """Refuse a metric about a phase that no profile has, such as `chat@spkie.success`."""
    known = {phase.name for profile in PROFILES.values() for phase in profile(1.0, 100) if phase.name}
    for metric in metrics:
        _, mark, phase = metric.split(".")[0].partition("@")
        if mark and phase not in known:
            raise UsageError(f'[slo] "{metric}": {unknown_name("phase", phase, known)}')


def due_times(phases: list[Phase], arrivals: str, seed: int) -> Iterator[Due]:
    """Return when each arrival is due, in order, each phase with exactly its number.

    Gaps are drawn in units of the mean gap and scaled to the exact number. For exponential gaps that is a
    Poisson process given its number of arrivals: uniform order statistics (Devroye 1986, chapter V.2).
    """
    begun = 0.0
    for number, phase in enumerate(phases):
        for position in _positions(phase.count, arrivals, seed + number):
            yield Due(begun + _seconds_into(phase, position), phase.name)
        begun += phase.seconds


def named(phases: list[Phase]) -> str:
    """Return the phases in words: "ramp 0/s to 10/s, 10/s"."""
    return ", ".join(dict.fromkeys(_words(phase) for phase in phases))


def _positions(total: int, arrivals: str, seed: int) -> Iterator[float]:
    """Return increasing positions from 0 to below `total`; drawn twice, so that none has to be kept."""
    draw = ARRIVALS[arrivals]
    if arrivals == "constant":
        yield from map(float, range(total))
        return
    rng = random.Random(seed)
    scale = total / sum(draw(rng) for _ in range(total + 1))
    rng.seed(seed)
    position = 0.0
    for _ in range(total):
        position += draw(rng) * scale
        yield min(position, math.nextafter(total, 0))


def _seconds_into(phase: Phase, arrivals: float) -> float:
    """Return after how many seconds of a phase that many have arrived: the root of the integrated rate."""
    slope = (phase.end - phase.start) / phase.seconds
    root = math.sqrt(max(0.0, phase.start**2 + 2 * slope * arrivals))
    return 2 * arrivals / (phase.start + root) if arrivals else 0.0  # from rest, 0 / 0


def _words(phase: Phase) -> str:
    rate = f"{phase.start:g}/s" if phase.start == phase.end else f"{phase.start:g}/s to {phase.end:g}/s"
    return f"{phase.name} {rate}".strip()
