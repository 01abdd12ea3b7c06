import threading
import time

import pytest

from langchain_prodtest.load.arrivals import MAX_USERS, Arrival, Arrivals, concurrency
from langchain_prodtest.load.schedule import Due
from langchain_prodtest.measure import Sample, now
from langchain_prodtest.outcome import Outcome
from langchain_prodtest.script import new_nonce


def arrivals(kept: list[Sample], *, rate: float = 100.0, count: int = 10, patience: float = 5.0) -> Arrivals:
    due = [Due(number / rate, "steady" if number else "first") for number in range(count)]
    return Arrivals(scenario="chat", due=due, count=count, patience=patience, seed=3, keep=kept.append)


def good(arrival: Arrival) -> Sample:
    return Sample(
        nonce=arrival.nonce,
        scenario="chat",
        phase=arrival.phase,
        intended=arrival.intended,
        sent=now(),
        outcome=Outcome.OK,
    )


def start_users(book: Arrivals, users: int, busy: float) -> None:
    def use() -> None:
        while True:
            arrival = book.take()
            arrival.sent = now()
            time.sleep(busy)
            book.settle(arrival, good(arrival))

    for _ in range(users):
        threading.Thread(target=use, daemon=True).start()


def test_arrivals_are_due_by_the_schedule_from_one_start() -> None:
    kept: list[Sample] = []
    book = arrivals(kept)
    start_users(book, 4, 0.0)
    book.feed()
    book.drain()
    first = kept[0].intended
    assert [s.nonce for s in kept] == [new_nonce(i, 3) for i in range(10)]
    assert [s.phase for s in kept] == ["first"] + 9 * ["steady"]
    assert [s.intended - first for s in kept] == pytest.approx([i / 100 for i in range(10)], abs=1e-6)
    assert book.whole
    assert len(book.lags) == 10


def test_busy_users_delay_the_sending_but_not_the_intended_start() -> None:
    """One user who is busy for 50 ms meets arrivals every 10 ms: the wait shows, and is no lag of ours."""
    kept: list[Sample] = []
    book = arrivals(kept)
    start_users(book, 1, 0.05)
    book.feed()
    book.drain()
    waits = [s.sent - s.intended for s in kept if s.sent is not None]
    assert book.whole
    assert waits[-1] > 0.2
    assert sorted(book.lags)[len(book.lags) // 2] < 0.1


def test_an_arrival_that_no_user_takes_in_time_is_dropped() -> None:
    """One user is busy for 0.4 s; arrivals that wait longer than 0.2 s for it are dropped, none is lost."""
    kept: list[Sample] = []
    book = arrivals(kept, patience=0.2)
    start_users(book, 1, 0.4)
    book.feed()
    book.drain()
    assert book.whole
    dropped = [s for s in kept if s.outcome is Outcome.DROPPED]
    assert 1 <= len(dropped) < len(kept) == 10
    assert all(s.sent is None and "no simulated user" in s.error for s in dropped)


def test_close_settles_everything_that_is_open_by_its_age() -> None:
    """Young ones are censored, those past their time are timeouts, or dropped if they were never sent."""
    kept: list[Sample] = []
    book = arrivals(kept, rate=1000.0, count=3, patience=0.2)
    book.feed()
    taken = book.take()
    taken.sent = now()
    young: list[Sample] = []
    other = arrivals(young, count=1)
    other.feed()
    time.sleep(0.25)
    book.close()
    other.close()
    assert sorted(s.outcome for s in kept) == [Outcome.DROPPED, Outcome.DROPPED, Outcome.TIMEOUT]
    assert [s.outcome for s in young] == [Outcome.CENSORED]


def test_what_comes_after_close_is_not_counted_twice() -> None:
    kept: list[Sample] = []
    book = arrivals(kept, count=1)
    book.feed()
    arrival = book.take()
    book.close()
    book.settle(arrival, good(arrival))
    assert [s.outcome for s in kept] == [Outcome.CENSORED]


def test_close_ends_the_schedule() -> None:
    kept: list[Sample] = []
    book = arrivals(kept, rate=5.0, count=10_000)
    feeder = threading.Thread(target=book.feed)
    feeder.start()
    book.close()
    feeder.join(10)
    assert not feeder.is_alive()
    assert book.offered < 10
    assert not book.whole


@pytest.mark.parametrize(
    ("rate", "patience", "count", "users"),
    [(10, 30, 1000, 301), (10, 30, 20, 20), (0.1, 1, 100, 2), (5000, 30, 10**6, MAX_USERS)],
)
def test_the_cap_is_all_that_can_be_busy_and_is_bounded(
    rate: float, patience: float, count: int, users: int
) -> None:
    assert concurrency(rate, patience, count) == users
