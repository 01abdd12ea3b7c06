"""When an exchange writes: absolute deadlines, back-pressure, and its one Call."""

from collections.abc import Callable
from typing import Any

import pytest

from langchain_prodtest.script import Request
from langchain_prodtest.wire.exchange import Exchange
from langchain_prodtest.wire.framing import Write
from langchain_prodtest.wire.response import Ending, Response
from langchain_prodtest.wire.router import Decision


class Clock:
    """An event loop's clock and timers, moved by hand; every timer fires `late`."""

    def __init__(self, late: float = 0.0) -> None:
        self.now, self.late = 100.0, late
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.asked: list[float] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> "Clock":
        self.asked.append(round(when - 100.0, 6))
        self.due.append((when + self.late, callback))
        return self

    def cancel(self) -> None:
        self.due.clear()

    def run(self) -> None:
        while self.due:
            when, callback = self.due.pop(0)
            self.now = max(self.now, when)
            callback()


class Wire:
    """A transport that notes what is written, and says `full` after each write."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.full: Callable[[], None] = lambda: None

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self.full()


WRITES = [Write(0.0, b"head", 0), *(Write(i / 10, b"%d" % i, 1) for i in range(1, 5))]


def start(
    writes: list[Write], clock: Clock, wire: Wire, ending: Ending = "end", pause: float = 0.0
) -> tuple[Exchange, list[tuple[bytes, float]]]:
    response = Response(
        status=200,
        headers={},
        parts=[],
        ending=ending,
        pause=pause,
        spoiled=ending != "end",
        head=bool(writes),
    )
    decision = Decision(Request(provider="openai", nonce="n"), response, unexpected=False)
    ended: list[tuple[bytes, float]] = []

    def done(last: bytes) -> None:
        ended.append((last, round(clock.now - 100.0, 6)))

    transport: Any = wire
    loop: Any = clock
    exchange = Exchange(decision, writes, transport, loop, done)
    exchange.play()
    return exchange, ended


@pytest.mark.parametrize("late", [0.0, 0.03])
def test_lateness_of_timers_does_not_add_up(late: float) -> None:
    clock, wire = Clock(late), Wire()
    _, ended = start(WRITES, clock, wire)
    clock.run()
    assert clock.asked == [0.1, 0.2, 0.3, 0.4]
    assert wire.written == [b"head", b"1", b"2", b"3"]
    assert ended == [(b"4", round(0.4 + late, 6))]


def test_what_is_due_at_once_is_one_write() -> None:
    clock, wire = Clock(), Wire()
    _, ended = start([Write(0.0, b"%d" % i, 1) for i in range(40)], clock, wire)
    assert (clock.asked, wire.written) == ([], [])
    assert ended == [(b"".join(b"%d" % i for i in range(40)), 0.0)]


def test_a_timer_that_is_very_late_makes_one_write_of_all_that_is_due() -> None:
    clock, wire = Clock(late=0.25), Wire()
    _, ended = start(WRITES, clock, wire)
    clock.run()
    assert (wire.written, ended) == ([b"head", b"123"], [(b"4", 0.65)])


def test_nothing_is_written_and_nothing_ends_while_the_socket_is_full() -> None:
    clock, wire = Clock(), Wire()
    exchange, ended = start(WRITES, clock, wire)
    exchange.paused = True
    clock.run()
    clock.now += 10
    assert (wire.written, ended) == ([b"head"], [])
    exchange.paused = False
    exchange.play()
    assert (wire.written, ended) == ([b"head"], [(b"1234", 10.1)])


def test_the_last_bytes_are_left_to_the_end() -> None:
    clock, wire = Clock(), Wire()
    _, ended = start(WRITES, clock, wire)
    clock.run()
    assert (wire.written, ended) == ([b"head", b"1", b"2", b"3"], [(b"4", 0.4)])


def test_of_many_last_bytes_all_but_one_must_be_taken_before_the_end() -> None:
    clock, wire = Clock(), Wire()
    exchange, ended = start([Write(0.1, b"x" * 100_000 + b"y", 100_001)], clock, wire)
    wire.full = lambda: setattr(exchange, "paused", True)
    clock.run()
    assert (wire.written, ended) == ([b"x" * 100_000], [])
    exchange.paused = False
    exchange.play()
    assert (ended, exchange.stop().bytes) == ([(b"y", 0.1)], 100_001)


@pytest.mark.parametrize(("writes", "end"), [(WRITES, 2.4), ([], 2.0)])
def test_a_fault_s_delay_counts_from_the_last_write(writes: list[Write], end: float) -> None:
    clock, wire = Clock(), Wire()
    _, ended = start(writes, clock, wire, ending="reset", pause=2.0)
    clock.run()
    assert ended == [(b"", end)]


def test_a_hang_never_ends_by_itself() -> None:
    clock, wire = Clock(), Wire()
    _, ended = start(WRITES[:1], clock, wire, ending="hang")
    clock.run()
    assert (wire.written, ended, clock.due) == ([b"head"], [], [])


def test_a_stopped_exchange_writes_no_more_and_counts_body_bytes() -> None:
    clock, wire = Clock(), Wire()
    exchange, ended = start(WRITES, clock, wire)
    clock.due.pop(0)[1]()  # too early: asks again
    clock.now += 0.1
    exchange.play()
    call = exchange.stop("client")
    clock.run()
    assert (call.status, call.bytes, call.closed_by, call.nonce) == (200, 1, "client", "n")
    assert (wire.written, ended) == ([b"head", b"1"], [])


@pytest.mark.parametrize(("ending", "by"), [("end", "server"), ("eof", "fault")])
def test_who_closed_follows_from_the_ending(ending: Ending, by: str) -> None:
    exchange, _ = start(WRITES, Clock(), Wire(), ending=ending)
    assert exchange.stop().closed_by == by


def test_without_a_byte_sent_the_status_is_0() -> None:
    exchange, _ = start([], Clock(), Wire(), ending="reset")
    assert (exchange.stop().status, exchange.stop().bytes) == (0, 0)
