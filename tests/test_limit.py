"""One limit language; pass and fail only where the numbers prove it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_prodtest.errors import UsageError
from langchain_prodtest.limit import Limit, judge, parse_duration, parse_limit, parse_limits
from langchain_prodtest.measure import Measurement, find_metric
from langchain_prodtest.statistics import lower_bound, upper_bound


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("2s", 2), ("1.5m", 90), ("24h", 86400), (" 0 s ", 0), ("10 s", 10)],
)
def test_a_duration_is_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "2", "s", "-1s", "1e3s", "2 sec", "1s 2s", ".5s", "inf s", "1d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration; write a number and ms, s, m or h"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("metric", "text", "limit"),
    [
        ("chat.ttft.p95", "<= 1.5s", Limit("chat.ttft.p95", "<=", 1.5, "<= 1.5s")),
        ("chat.ttft.p95", "  <=1500 ms ", Limit("chat.ttft.p95", "<=", 1.5, "<= 1500 ms")),
        ("chat.e2e.p99.9", "<= 1m", Limit("chat.e2e.p99.9", "<=", 60.0, "<= 1m")),
        ("chat.success", ">= 98%", Limit("chat.success", ">=", 0.98, ">= 98%")),
        ("chat.success", ">=99.5 %", Limit("chat.success", ">=", 0.995, ">= 99.5 %")),
        ("stream.masked_failure", "== 0", Limit("stream.masked_failure", "==", 0.0, "== 0")),
        ("retry.amplification", "<= 3", Limit("retry.amplification", "<=", 3.0, "<= 3")),
        ("recovery.rto", "<= 1h", Limit("recovery.rto", "<=", 3600.0, "<= 1h")),
    ],
)
def test_a_limit_is_read_as_written(metric: str, text: str, limit: Limit) -> None:
    assert parse_limit(metric, text) == limit


@pytest.mark.parametrize(
    ("metric", "text", "says"),
    [
        ("chat.ttft.p95", "1.5s", "is not a limit; write it such as"),
        ("chat.ttft.p95", "< 1.5s", "is not a limit"),
        ("chat.ttft.p95", "<= -1s", "is not a limit"),
        ("chat.ttft.p95", "<= 1s or so", "is not a limit"),
        ("chat.ttft.p95", 1.5, "is not a limit"),
        ("chat.ttft.p95", None, "is not a limit"),
        ("chat.ttft.p95", "<= 1.5", "wrong unit"),
        ("chat.ttft.p95", "<= 1%", "wrong unit"),
        ("chat.success", ">= 0.98", "wrong unit"),
        ("retry.amplification", "<= 3s", "wrong unit"),
        ("stream.masked_failure", "== 0%", "wrong unit"),
        ("chat.ttft.p95", ">= 1s", '"chat.ttft.p95" = "<= 1.5s"'),
        ("chat.success", "<= 98%", '"chat.success" = ">= 98%"'),
        ("stream.masked_failure", "== 1", '"stream.masked_failure" = "== 0"'),
        ("stream.masked_failure", "<= 0", '"stream.masked_failure" = "== 0"'),
        ("retry.amplification", "== 3", '"retry.amplification" = "<= 3"'),
        ("chat.success", ">= 100%", "between 0% and 100%"),
        ("chat.success", ">= 0%", "between 0% and 100%"),
        ("chat.success", ">= 140%", "between 0% and 100%"),
        ("chat.succes", ">= 98%", 'Did you mean "chat.success"'),
    ],
)
def test_what_is_no_limit_is_refused_with_an_example(metric: str, text: Any, says: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_limit(metric, text)
    assert says in str(refused.value)


def test_a_table_of_limits_keeps_its_order() -> None:
    found = parse_limits({"recovery.rto": "<= 15s", "chat.success": ">= 98%"})
    assert [limit.metric for limit in found] == ["recovery.rto", "chat.success"]


numbers = st.decimals(0, 1000, places=3).map(str)


@settings(deadline=None)
@given(
    metric=st.sampled_from(
        ["chat.ttft.p95", "a.e2e.p99.9", "chat.success", "recovery.rto", "retry.amplification"]
    ),
    number=numbers,
    unit=st.sampled_from(["", "ms", "s", "m", "h", "%"]),
    sign=st.sampled_from(["<=", ">=", "=="]),
    blanks=st.sampled_from(["", " ", "  "]),
)
def test_what_is_accepted_reads_the_same_again(
    metric: str, number: str, unit: str, sign: str, blanks: str
) -> None:
    try:
        limit = parse_limit(metric, f"{blanks}{sign}{blanks}{number}{blanks}{unit}")
    except UsageError:
        return
    assert parse_limit(metric, limit.text) == limit
    assert sign == (">=" if find_metric(metric).better == "higher" else "<=")
    assert limit.value >= 0


@settings(deadline=None)
@given(metric=st.text(max_size=20), text=st.text(max_size=20))
def test_any_text_is_a_limit_or_a_usage_error(metric: str, text: str) -> None:
    with pytest.raises(UsageError):
        parse_limit(metric, text)
    with pytest.raises(UsageError):
        parse_limit("chat.ttft.p95", text + "x")


def outcome(metric: str, text: str, **more: Any) -> str:
    return judge(parse_limit(metric, text), Measurement(metric=metric, **more)).outcome


@pytest.mark.parametrize(
    ("good", "n", "n_eff", "expected"),
    [
        (149, 149, 149.0, "pass"),
        (148, 148, 148.0, "unknown"),
        (300, 300, 100.0, "unknown"),
        (299, 300, 300.0, "pass"),
        (297, 300, 300.0, "unknown"),
        (280, 300, 300.0, "fail"),
        (280, 300, 20.0, "unknown"),
        (0, 5, 5.0, "fail"),
        (None, 300, 300.0, "unknown"),
        (301, 300, 300.0, "unknown"),
        (-1, 300, 300.0, "unknown"),
        (300, 300, 0.0, "unknown"),
        (300, 300, 301.0, "unknown"),
        (300, 300, -5.0, "unknown"),
    ],
)
def test_a_share_passes_and_fails_only_by_its_bounds(
    good: int | None, n: int, n_eff: float, expected: str
) -> None:
    assert outcome("chat.success", ">= 98%", value=0.5, n=n, n_eff=n_eff, good=good) == expected


def test_a_quantile_is_judged_as_the_share_within_the_limit() -> None:
    assert outcome("chat.ttft.p95", "<= 1s", value=9.0, n=59, n_eff=59.0, good=59) == "pass"
    assert outcome("chat.ttft.p95", "<= 1s", value=0.1, n=58, n_eff=58.0, good=58) == "unknown"
    assert outcome("chat.ttft.p95", "<= 1s", value=0.1, n=100, n_eff=100.0, good=80) == "fail"


@settings(deadline=None)
@given(n=st.integers(1, 2000), bad=st.integers(0, 2000), objective=st.floats(0.5, 0.999))
def test_no_share_passes_and_fails_at_once(n: int, bad: int, objective: float) -> None:
    good = max(0, n - bad)
    found = judge(
        Limit("chat.success", ">=", objective),
        Measurement(metric="chat.success", value=good / n, n=n, n_eff=float(n), good=good),
    )
    low, high = lower_bound(good, n), upper_bound(good, n)
    expected = "pass" if low >= objective else "fail" if high < objective else "unknown"
    assert found.outcome == expected


@pytest.mark.parametrize(
    ("metric", "text", "more", "expected"),
    [
        ("retry.amplification", "<= 3", {"value": 3.0, "worst": 3.0, "n": 20}, "pass"),
        ("retry.amplification", "<= 3", {"value": 3.0, "worst": 3.0, "n": 19}, "unknown"),
        ("retry.amplification", "<= 3", {"value": 1.1, "worst": 4.0, "n": 500}, "fail"),
        ("retry.amplification", "<= 3", {"value": 4.0, "n": 1}, "fail"),
        ("retry.amplification", "<= 3", {"value": 4.0, "worst": 1.0, "n": 500}, "fail"),
        ("stream.masked_failure", "== 0", {"value": 0.0, "n": 59}, "pass"),
        ("stream.masked_failure", "== 0", {"value": 0.0, "n": 58}, "unknown"),
        ("stream.masked_failure", "== 0", {"value": 1.0, "n": 2}, "fail"),
        ("recovery.rto", "<= 15s", {"value": 14.9, "n": 1}, "pass"),
        ("recovery.rto", "<= 15s", {"value": None, "n": 1}, "fail"),
        ("timeout.total", "<= 15s", {"value": 3.0, "worst": 3.0, "n": 9}, "unknown"),
    ],
)
def test_counts_ratios_and_durations_are_judged_by_the_worst(
    metric: str, text: str, more: dict[str, Any], expected: str
) -> None:
    assert outcome(metric, text, n_eff=float(more["n"]), **more) == expected


def test_what_nobody_measured_is_unknown() -> None:
    limit = parse_limit("recovery.rto", "<= 15s")
    nothing = judge(limit, None)
    assert (nothing.outcome, nothing.detail, nothing.check) == (
        "unknown",
        "nobody measured it",
        "recovery.rto",
    )
    empty = Measurement(metric="recovery.rto", value=0.0, n=0, n_eff=0.0)
    why = judge(limit, empty, "no fault was injected")
    assert (why.outcome, why.detail, why.measurement) == ("unknown", "no fault was injected", empty)


def test_a_failure_has_the_detail_and_the_metrics_remedy() -> None:
    limit = parse_limit("retry.amplification", "<= 3")
    found = judge(limit, Measurement(metric=limit.metric, value=9.0, n=20, n_eff=20.0, detail="9 calls"))
    assert (found.outcome, found.detail) == ("fail", "9 calls")
    assert found.remedy == find_metric("retry.amplification").remedy


def test_a_pass_has_no_remedy() -> None:
    limit = parse_limit("recovery.rto", "<= 15s")
    found = judge(limit, Measurement(metric=limit.metric, value=1.0, n=1, n_eff=1.0, detail="d"))
    assert (found.outcome, found.detail, found.remedy) == ("pass", "d", "")


@pytest.mark.parametrize(
    ("n", "n_eff", "good", "detail", "remedy"),
    [
        (120, 120.0, 120, "n = 120, at least 149 needed", "29 more (n = 149)"),
        (300, 90.4, 300, "n = 300, worth 90 independent ones: the interval", "a longer run"),
        (300, 300.0, 296, "n = 300: the interval straddles the limit", "a longer run"),
    ],
)
def test_an_unknown_says_what_is_missing(n: int, n_eff: float, good: int, detail: str, remedy: str) -> None:
    limit = parse_limit("chat.success", ">= 98%")
    found = judge(limit, Measurement(metric="chat.success", value=good / n, n=n, n_eff=n_eff, good=good))
    assert found.outcome == "unknown"
    assert found.detail.startswith(detail)
    assert found.remedy.startswith(remedy)
