"""What an experiment recorded: the raw material from which checks take their measurements."""

from typing import Literal

import msgspec

from langchain_prodtest.limit import Limit
from langchain_prodtest.measure import Sample
from langchain_prodtest.script import Call

__all__ = ["Exit", "Record", "Seam", "Window"]

Seam = Literal["provider", "proxy", "process"]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A span of the experiment, in Unix seconds.

    `what` names the fault ("503", "down", "SIGTERM"), `seam` where it was put: at the fake provider, at a
    Toxiproxy proxy, or on the service's process. `start` and `end` are when it took effect and was gone.
    """

    what: str
    seam: Seam
    start: float
    end: float

    def holds(self, time: float | None) -> bool:
        """Tell whether `time` lies in the window."""
        return time is not None and self.start <= time < self.end


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How the service's process ended after a signal; `code` None means that it had to be killed."""

    signalled: float
    ended: float
    code: int | None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment: what clients got, what providers were asked, and when which fault was there."""

    samples: list[Sample]
    calls: list[Call]
    faults: list[Window]
    steady: tuple[Limit, ...] = ()
    exits: list[Exit] = []
    finished: float = 0.0

    def sent_in_faults(self) -> list[Sample]:
        """The samples that were sent while a fault was there."""
        return [s for s in self.samples if any(window.holds(s.sent) for window in self.faults)]
