"""recovery.rto is the time from a fault's end until the steady state is back and stays."""

import msgspec
import pytest

from langchain_prodtest.checks import measure
from langchain_prodtest.limit import judge, parse_limit, parse_limits
from langchain_prodtest.measure import Measurement, Sample
from langchain_prodtest.outcome import Outcome
from langchain_prodtest.record import Record, Window

LIMIT = parse_limit("recovery.rto", "<= 15s")
STEADY = parse_limits({"chat.success": ">= 90%"})


def traffic(bad: tuple[float, float], end: float = 150.0) -> list[Sample]:
    """Ten requests a second from 100 on; those in `bad` fail."""
    times = [100 + i / 10 for i in range(int((end - 100) * 10))]
    return [
        Sample(
            nonce="n", scenario="chat", intended=t, sent=t, ended=t + 0.5, first_answer=t + 0.1,
            outcome=Outcome.HTTP_ERROR if bad[0] <= t < bad[1] else Outcome.OK,
        )
        for t in times
    ]  # fmt: skip


def rto(samples: list[Sample], *faults: tuple[float, float], finished: float = 150.0) -> Measurement | None:
    windows = [Window(what="503", seam="provider", start=a, end=b) for a, b in faults]
    record = Record(samples=samples, calls=[], faults=windows, steady=STEADY, finished=finished)
    return measure(record, LIMIT)


def test_a_service_that_is_back_at_once_needs_no_time() -> None:
    found = rto(traffic((110, 120)), (110, 120))
    assert found is not None
    assert found.value == 0.0
    assert judge(LIMIT, found).outcome == "pass"


def test_a_late_recovery_is_measured() -> None:
    """Failing for eight more seconds is eight seconds, less the tenth part that the steady state allows."""
    found = rto(traffic((110, 128)), (110, 120))
    assert found is not None
    assert found.value == pytest.approx(8.0, abs=0.6)


def test_a_relapse_counts_as_not_recovered() -> None:
    """Being fine for a moment is no recovery: the last broken span decides."""
    good_then_bad = traffic((110, 120))
    relapsed = [
        s if not 130 <= s.intended < 133 else Sample(
            nonce="n", scenario="chat", intended=s.intended, sent=s.intended, outcome=Outcome.TIMEOUT
        )
        for s in good_then_bad
    ]  # fmt: skip
    found = rto(relapsed, (110, 120))
    assert found is not None
    assert found.value is not None
    assert found.value > 12


def test_never_back_is_infinite_and_fails() -> None:
    found = rto(traffic((110, 999)), (110, 120))
    assert found is not None
    assert found.value is None
    assert judge(LIMIT, found).outcome == "fail"


def test_the_worst_fault_counts() -> None:
    """Two faults are two repeats; the slower recovery is the value."""
    found = rto(traffic((105, 113)), (105, 110), (120, 125))
    assert found is not None
    assert found.n == 2
    assert found.value == pytest.approx(3.0, abs=0.6)


def test_requests_cut_by_the_next_fault_are_not_held_against_the_last() -> None:
    """A stream that was open when the second fault came says nothing about the recovery from the first."""
    samples = [
        msgspec.structs.replace(s, ended=130.01, outcome=Outcome.BROKEN_STREAM)
        if 129 <= s.intended < 130
        else s
        for s in traffic((110, 120))
    ]
    found = rto(samples, (110, 120), (130, 140))
    assert found is not None
    assert found.value == 0.0


def test_no_traffic_after_the_fault_is_no_recovery() -> None:
    """Silence is not health: a span without requests does not hold the steady state."""
    found = rto([s for s in traffic((110, 120)) if s.intended < 120], (110, 120))
    assert found is not None
    assert found.value is None


def test_too_short_a_run_measures_nothing() -> None:
    """With less than one span of traffic after the fault nobody can know."""
    assert rto(traffic((110, 120), end=123), (110, 120), finished=123.0) is None
