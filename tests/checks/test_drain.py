"""drain.sigterm counts open streams that a stop cut, and unclean exits."""

from langchain_prodtest.checks import measure
from langchain_prodtest.limit import judge, parse_limit
from langchain_prodtest.measure import Sample
from langchain_prodtest.outcome import Outcome
from langchain_prodtest.record import Exit, Record

LIMIT = parse_limit("drain.sigterm", "== 0")


def stream(outcome: Outcome, first: float | None = 99.5, ended: float | None = 100.5) -> Sample:
    return Sample(nonce="n", scenario="chat", intended=99.0, first_event=first, ended=ended, outcome=outcome)


def record(samples: list[Sample], code: int | None = 0, ended: float = 101.2) -> Record:
    exits = [Exit(signalled=100.0, ended=ended, code=code)]
    return Record(samples=samples, calls=[], faults=[], exits=exits)


def test_streams_that_finish_pass() -> None:
    """All open streams ended in whole answers and the process exited by itself."""
    found = measure(record([stream(Outcome.OK)] * 5), LIMIT)
    assert found is not None
    assert (found.value, found.n, found.detail) == (0, 5, "1.2 s from SIGTERM to exit")
    assert judge(LIMIT, found).outcome == "pass"


def test_one_cut_stream_fails() -> None:
    """A cut answer at a deploy is a lost answer, marked or not."""
    found = measure(record([stream(Outcome.OK)] * 5 + [stream(Outcome.BROKEN_STREAM)]), LIMIT)
    assert found is not None
    assert "1 of 6 open streams were lost" in found.detail
    assert judge(LIMIT, found).outcome == "fail"


def test_a_stream_that_never_ended_was_open() -> None:
    """A client that still waited at the end of the run was cut off too."""
    found = measure(record([stream(Outcome.CENSORED, ended=None)]), LIMIT)
    assert found is not None
    assert found.value == 1


def test_unclean_exits_fail() -> None:
    """A process that had to be killed, or that ended with an error, did not drain."""
    for code in (None, 1, -9):
        found = measure(record([stream(Outcome.OK)] * 5, code=code), LIMIT)
        assert judge(LIMIT, found).outcome == "fail"
    for code in (0, -15):
        found = measure(record([stream(Outcome.OK)] * 5, code=code), LIMIT)
        assert judge(LIMIT, found).outcome == "pass"


def test_only_streams_open_at_the_signal_count() -> None:
    """What ended before, began after or was refused has nothing to do with the drain."""
    others = [
        stream(Outcome.BROKEN_STREAM, ended=99.9),
        stream(Outcome.BROKEN_STREAM, first=100.1),
        stream(Outcome.REFUSED, first=None),
    ]
    found = measure(record([stream(Outcome.OK)] * 3 + others), LIMIT)
    assert found is not None
    assert (found.value, found.n) == (0, 3)


def test_without_a_signal_or_streams_it_is_not_proven() -> None:
    """No exit: no measurement. Too few open streams: unknown."""
    assert measure(Record(samples=[], calls=[], faults=[]), LIMIT) is None
    assert judge(LIMIT, measure(record([stream(Outcome.OK)] * 2), LIMIT)).outcome == "unknown"
