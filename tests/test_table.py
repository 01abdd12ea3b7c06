"""Findings as a table: what a person reads at the end of a run."""

from typing import Any

from langchain_prodtest.limit import Finding, judge, parse_limit
from langchain_prodtest.measure import Measurement
from langchain_prodtest.table import reasons, table


def finding(metric: str, text: str, **numbers: Any) -> Finding:
    return judge(parse_limit(metric, text), Measurement(metric=metric, **numbers))


FINDINGS = [
    finding("chat.ttft.p95", "<= 1.5s", value=0.312, n=300, n_eff=300, interval=(0.29, 0.34), good=300),
    finding("chat.success", ">= 98%", value=1.0, n=300, n_eff=300, interval=(0.99, 1.0), good=300),
    finding("retry.amplification", "<= 3", value=2.0, n=120, n_eff=120, worst=3),
    finding("stream.masked_failure", "== 0", value=0, n=200, n_eff=200),
    finding("recovery.rto", "<= 15s", value=3.2, n=1, n_eff=1),
]
DETAIL = "9 provider calls for one model call: OpenAI SDK 3 × ModelRetryMiddleware 3."
FAILED = finding("retry.amplification", "<= 3", value=9.0, n=120, n_eff=120, worst=9, detail=DETAIL)


def test_the_table() -> None:
    assert table(FINDINGS).splitlines() == [
        "  check                   measured   limit     interval        n",
        "  chat.ttft.p95           312 ms     <= 1.5s   [290, 340] ms   300   pass",
        "  chat.success            100 %      >= 98%    [99.0, 100] %   300   pass",
        "  retry.amplification     2.0        <= 3      worst 3         120   pass",
        "  stream.masked_failure   0          == 0      <= 1.5 %        200   pass",
        "  recovery.rto            3.2 s      <= 15s    1 repeat              pass",
    ]


def test_a_failure_is_followed_by_what_happened_and_the_remedy() -> None:
    _, row, *lines = table([FAILED]).splitlines()
    assert row.split() == ["retry.amplification", "9.0", "<=", "3", "worst", "9", "120", "FAIL"]
    assert lines == [
        f"      {DETAIL}",
        "      Keep one retry layer: max_retries=0 on the model, or drop the middleware.",
    ]


def test_a_finding_without_numbers_has_empty_columns() -> None:
    _, row, where = table([Finding(check="tests.failed", outcome="fail", where="test_x.py:3")]).splitlines()
    assert row.split() == ["tests.failed", "FAIL"]
    assert where == "      test_x.py:3"


def test_nobody_measured_it_shows_the_limit() -> None:
    row = table([judge(parse_limit("recovery.rto", "<= 15s"), None)]).splitlines()[1]
    assert row.split() == ["recovery.rto", "<=", "15s", "unknown"]


def test_sources_stand_above_their_findings() -> None:
    """The same check of two experiments can be told apart."""
    lines = table([FINDINGS[4], FINDINGS[4], FAILED], ["chaos/a", "chaos/b", "chaos/b"]).splitlines()
    assert lines[1] == "  chaos/a"
    assert lines[3] == "  chaos/b"
    assert [line.split()[0] for line in lines if "recovery.rto" in line] == ["recovery.rto"] * 2


def test_reasons_say_why_a_finding_is_unknown_and_what_would_end_that() -> None:
    unknown = finding("chat.success", ">= 98%", value=1.0, n=120, n_eff=120, good=120)
    assert reasons([FAILED, unknown]) == [
        "  chat.success is unknown: n = 120, at least 149 needed → 29 more (n = 149)"
    ]
