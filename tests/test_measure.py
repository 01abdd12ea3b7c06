"""From samples to measurements: offered load is the denominator, failures are infinitely slow."""

import math
import time
from typing import Any

import msgspec
import pytest

from langchain_prodtest.errors import UsageError
from langchain_prodtest.measure import (
    METRICS,
    Measurement,
    Metric,
    Sample,
    find_metric,
    measure_samples,
    needed_n,
    now,
    quantile_of,
)
from langchain_prodtest.outcome import Outcome
from langchain_prodtest.statistics import lower_bound


def sample(at: float, took: float = 1.0, outcome: Outcome = Outcome.OK, **more: Any) -> Sample:
    fields: dict[str, Any] = {
        "nonce": "", "scenario": "chat", "intended": at, "first_answer": at + took / 2, "ended": at + took,
        "longest_gap": took / 4, "outcome": outcome, **more,
    }  # fmt: skip
    return Sample(**fields)


def measured(samples: list[Sample], name: str, limit: float) -> Measurement:
    found = measure_samples(samples, name, limit)
    assert found is not None
    return found


def test_the_clock_is_unix_time_and_never_goes_back() -> None:
    first, second = now(), now()
    assert first <= second
    assert abs(first - time.time()) < 60


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.pattern)
def test_every_metric_of_the_registry_is_found_and_explains_itself(metric: Metric) -> None:
    name = metric.pattern.replace("*.", "chat.", 1).replace("*", "p95")
    assert find_metric(name) is metric
    assert metric.says
    assert metric.remedy.endswith((".", ")"))
    assert metric.minimum_n >= 1


@pytest.mark.parametrize(
    "name",
    [
        "chat.succes", "chat", "", ".success", ".ttft.p95", "chat..p95", "a.b.success", "chat.ttft",
        "chat.ttft.p95.x", "Chat.Success", "retry.amplification.p95",
    ],
)  # fmt: skip
def test_an_unknown_metric_is_refused_with_the_valid_names(name: str) -> None:
    with pytest.raises(UsageError, match=r'unknown metric ".*Valid: .*recovery\.rto'):
        find_metric(name)


def test_the_nearest_metric_is_named_with_the_same_scenario() -> None:
    with pytest.raises(UsageError, match=r'Did you mean "search\.ttft\.p95"'):
        find_metric("search.tft.p95")


@pytest.mark.parametrize(("name", "q"), [("a.e2e.p50", 0.5), ("a.e2e.p99.9", 0.999), ("a.e2e.p5", 0.05)])
def test_a_quantile_is_in_the_name(name: str, q: float) -> None:
    assert quantile_of(name) == pytest.approx(q)
    assert find_metric(name).kind == "quantile"


@pytest.mark.parametrize("name", ["a.e2e.p0", "a.e2e.p100", "a.e2e.95", "a.e2e.px", "a.e2e.p0.0"])
def test_what_is_no_quantile_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="must end in a quantile"):
        find_metric(name)


@pytest.mark.parametrize(
    ("name", "objective", "n"),
    [
        ("chat.success", 0.98, 149),
        ("chat.success", 1.0, 1),
        ("chat.ttft.p95", 1.5, 59),
        ("chat.ttft.p99.9", 1.5, 2995),
        ("stream.masked_failure", 0.0, 59),
        ("recovery.rto", 15.0, 1),
    ],
)
def test_the_number_of_requests_that_a_limit_needs(name: str, objective: float, n: int) -> None:
    assert needed_n(name, objective, 0.95) == n


def test_success_is_the_share_of_good_answers_among_the_offered() -> None:
    samples = [
        *(sample(i) for i in range(6)),
        sample(6, outcome=Outcome.HTTP_ERROR, status=503),
        sample(7, outcome=Outcome.HTTP_ERROR, status=503),
        sample(8, outcome=Outcome.TIMEOUT, ended=None),
        sample(9, outcome=Outcome.DROPPED, first_answer=None, ended=None),
        sample(10, outcome=Outcome.ABANDONED),
        sample(11, outcome=Outcome.CENSORED),
        sample(12, scenario="other"),
    ]
    found = measured(samples, "chat.success", 0.98)
    assert (found.value, found.n, found.good) == (0.6, 10, 6)
    assert found.window == (0, 9)
    assert found.detail == "2 http_error (503), 1 timeout, 1 dropped"


def test_the_share_has_its_bounds() -> None:
    found = measured([sample(i) for i in range(300)], "chat.success", 0.98)
    assert (found.value, found.n_eff, found.detail) == (1.0, 300.0, "")
    assert found.interval == (lower_bound(300, 300), 1.0)


def test_lumped_failures_are_worth_fewer_requests() -> None:
    lumped = [sample(i, outcome=Outcome.REFUSED if 100 <= i < 150 else Outcome.OK) for i in range(1000)]
    found = measured(lumped, "chat.success", 0.9)
    assert found.n_eff < 200
    low, high = found.interval
    assert low is not None
    assert high is not None
    assert low < 0.95 < high


def test_the_order_of_the_samples_does_not_matter() -> None:
    samples = [sample(i, outcome=Outcome.REFUSED if i < 50 else Outcome.OK) for i in range(1000)]
    assert measured(samples[::-1], "chat.success", 0.9) == measured(samples, "chat.success", 0.9)


@pytest.mark.parametrize(
    ("name", "value"), [("chat.ttft.p50", 0.5), ("chat.e2e.p50", 1.0), ("chat.gap.p50", 0.25)]
)
def test_each_clock_reads_its_own_times(name: str, value: float) -> None:
    found = measured([sample(i * 10.0) for i in range(20)], name, value)
    assert found.value == pytest.approx(value)
    assert found.good == 20


def test_latency_counts_from_the_intended_start() -> None:
    late = sample(100.0, took=5.0, sent=104.0)
    assert measured([late], "chat.e2e.p50", 1.0).value == pytest.approx(5.0)


def test_a_failure_is_infinitely_slow() -> None:
    samples = [sample(i, took=0.1) for i in range(9)] + [sample(9, took=0.1, outcome=Outcome.SOFT_FAILURE)]
    found = measured(samples, "chat.e2e.p95", 1.0)
    assert (found.value, found.good, found.n) == (None, 9, 10)
    assert found.interval[1] is None
    assert measured(samples, "chat.e2e.p50", 1.0).value == pytest.approx(0.1)


def test_a_good_answer_whose_time_is_missing_is_not_within_the_limit() -> None:
    assert measured([sample(0, first_answer=None)], "chat.ttft.p95", 1.0).good == 0
    assert measured([sample(0, ended=None)], "chat.e2e.p95", 1.0).good == 0


def test_the_quantile_is_the_smallest_value_that_enough_requests_stay_within() -> None:
    samples = [sample(1000.0 * (i * 37 % 101), took=float(i)) for i in range(1, 101)]
    found = measured(samples, "chat.e2e.p95", 95.0)
    assert (found.value, found.good) == (95.0, 95)
    assert measured(samples, "chat.e2e.p55", 95.0).value == 55.0
    low, high = found.interval
    assert low is not None
    assert high is not None
    assert low < 95 <= high


def test_answers_that_come_in_a_lump_are_right_and_not_streamed() -> None:
    """A busy client may read four tokens at once, never all; a failed answer is not streamed either."""
    samples = [
        sample(0, tokens=40, reads=40), sample(1, tokens=40, reads=10), sample(2, tokens=40, reads=9),
        sample(3, tokens=1, reads=1), sample(4, tokens=40, reads=40, outcome=Outcome.BROKEN_STREAM),
    ]  # fmt: skip
    measured = measure_samples(samples, "chat.streamed", 0.9)
    assert measured is not None
    assert (measured.good, measured.n) == (2, 5)
    assert measured.detail == "2 right answers came in a lump, 1 broken_stream"
    assert measure_samples(samples, "chat.success", 0.9).good == 4  # type: ignore[union-attr]


def test_a_phase_is_measured_by_itself() -> None:
    """Plain names mean the steady part; what came in a spike neither helps nor harms it."""
    steady, spike = (
        [sample(i) for i in range(3)],
        [sample(i, outcome=Outcome.TIMEOUT, phase="spike") for i in (3, 4)],
    )
    shares = {
        name: measure_samples(steady + spike, name, 0.9) for name in ("chat.success", "chat@spike.success")
    }
    assert {name: (m.value, m.n) for name, m in shares.items() if m} == {
        "chat.success": (1.0, 3), "chat@spike.success": (0.0, 2),
    }  # fmt: skip
    assert measure_samples(steady, "chat@spike.success", 0.9) is None


def test_nothing_offered_is_no_measurement() -> None:
    assert measure_samples([], "chat.success", 0.98) is None
    assert measure_samples([sample(0, scenario="other")], "chat.success", 0.98) is None
    assert measure_samples([sample(0, outcome=Outcome.CENSORED)], "chat.ttft.p95", 1.0) is None


def test_an_infinite_value_is_written_and_read_as_null() -> None:
    found = measured([sample(0, outcome=Outcome.REFUSED)], "chat.e2e.p95", 1.0)
    data = msgspec.json.encode(found)
    assert b'"value":null' in data
    assert msgspec.json.decode(data, type=Measurement) == found
    assert not any(math.isinf(bound) for bound in found.interval if bound is not None)
