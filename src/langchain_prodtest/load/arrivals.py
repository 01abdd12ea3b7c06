"""Open arrivals: requests are due by a schedule that does not wait for the service.

Latencies count from when a request was due, so that a stall of the service shows in every request that
came during it. Each arrival is accounted for exactly once: a request that was due is never lost.
"""

import math
import queue
import threading
import time
from collections.abc import Callable, Iterable

import msgspec

from langchain_prodtest.load.schedule import Due
from langchain_prodtest.load.stream import Exchange
from langchain_prodtest.measure import Sample, now
from langchain_prodtest.outcome import Outcome, decide
from langchain_prodtest.script import new_nonce

__all__ = ["Arrival", "Arrivals", "concurrency", "sample_of"]

MAX_USERS = 2_000
GRACE = 1.0  # seconds that the drain lasts beyond the last request's deadline
NO_USER = "no simulated user was free in time"


class Arrival(msgspec.Struct, kw_only=True, eq=False):
    """One request that is due at `intended` and dropped if no user took it by `latest`.

    `free` tells whether a simulated user was idle when it was `offered`.
    """

    nonce: str
    phase: str
    intended: float
    latest: float
    offered: float
    free: bool
    sent: float | None = None


def concurrency(rate: float, patience: float, count: int) -> int:
    """Return how many users can be busy at once at most: each one for its whole patience."""
    return max(1, min(MAX_USERS, count, math.ceil(rate * patience) + 1))


class Arrivals:
    """`count` arrivals when each is `due`; users `take` them and `settle` them.

    A user who asked waits `patience` seconds for the whole answer; so long an arrival waits for a user.
    `keep` receives each Sample once. One thread (or greenlet) runs `feed`, then `drain`; `close` may come
    at any time and settles whatever is still open.
    """

    def __init__(
        self,
        *,
        scenario: str,
        due: Iterable[Due],
        count: int,
        patience: float,
        seed: int,
        keep: Callable[[Sample], None],
    ) -> None:
        self.scenario, self.count, self.patience, self.seed = scenario, count, patience, seed
        self.offered = self.settled = 0
        self.closed = False
        self.lags: list[float] = []
        self._due, self._keep = due, keep
        self._queue: queue.SimpleQueue[Arrival] = queue.SimpleQueue()
        self._open: dict[str, Arrival] = {}
        self._idle = 0
        self._lock = threading.Lock()

    @property
    def whole(self) -> bool:
        """Tell whether every planned arrival was offered and has come to its outcome."""
        return self.settled == self.offered == self.count

    def feed(self) -> None:
        """Offer each arrival when it is due, by an absolute schedule; return after the last."""
        start = now()
        for number, due in enumerate(self._due):
            intended = start + due.at
            time.sleep(max(0.0, intended - now()))
            if self.closed:
                return
            self._offer(number, intended, due.phase)

    def drain(self) -> None:
        """Wait until all that was offered is settled, or must have been."""
        end = now() + 2 * self.patience + GRACE
        while self._open and now() < end:
            time.sleep(0.02)

    def take(self) -> Arrival:
        """Wait for the next arrival that somebody still waits for; those that came too late are dropped."""
        while True:
            self._idle += 1
            try:
                arrival = self._queue.get()
            finally:
                self._idle -= 1
            if now() < arrival.latest:
                return arrival
            self.leave(arrival, Outcome.DROPPED, NO_USER)

    def settle(self, arrival: Arrival, sample: Sample) -> None:
        """Record what became of an arrival; what comes after `close` was settled there and is ignored."""
        with self._lock:
            if self._open.pop(arrival.nonce, None) is None:
                return
            self.settled += 1
            if sample.sent is not None:
                self.lags.append((sample.sent if arrival.free else arrival.offered) - arrival.intended)
            self._keep(sample)

    def close(self) -> None:
        """End it: what is open past its time is a timeout, or dropped if never sent; the rest is censored."""
        self.closed = True
        for arrival in list(self._open.values()):
            sent = arrival.sent
            if now() < (arrival.latest if sent is None else sent + self.patience):
                self.leave(arrival, Outcome.CENSORED, "still open when the run ended")
            elif sent is None:
                self.leave(arrival, Outcome.DROPPED, NO_USER)
            else:
                self.leave(arrival, Outcome.TIMEOUT, "the client's patience ended")

    def leave(self, arrival: Arrival, outcome: Outcome, error: str) -> None:
        """Settle an arrival that was never asked, or of whose answer nothing is known."""
        sample = Sample(
            nonce=arrival.nonce,
            scenario=self.scenario,
            phase=arrival.phase,
            intended=arrival.intended,
            sent=arrival.sent,
            outcome=outcome,
            error=error,
        )
        self.settle(arrival, sample)

    def _offer(self, number: int, intended: float, phase: str) -> None:
        arrival = Arrival(
            nonce=new_nonce(number, self.seed),
            phase=phase,
            intended=intended,
            latest=intended + self.patience,
            offered=now(),
            free=self._idle > self._queue.qsize(),
        )
        with self._lock:
            self.offered += 1
            self._open[arrival.nonce] = arrival
        self._queue.put(arrival)


def sample_of(arrival: Arrival, scenario: str, exchange: Exchange, expected: str | None) -> Sample:
    """Return what became of an arrival that was asked; `expected` is the whole right answer, if known."""
    answer = exchange.answer
    return Sample(
        nonce=arrival.nonce,
        scenario=scenario,
        phase=arrival.phase,
        intended=arrival.intended,
        sent=exchange.sent,
        headers=exchange.headers,
        first_event=exchange.first_event,
        first_answer=exchange.first_answer,
        ended=exchange.ended,
        longest_gap=exchange.longest_gap,
        stalls=exchange.stalls,
        outcome=decide(answer, expected),
        status=answer.status,
        tokens=exchange.tokens,
        reads=exchange.reads,
        error=answer.detail,
    )
