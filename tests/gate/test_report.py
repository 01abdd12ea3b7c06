"""The text and the files of a verdict."""

from pathlib import Path
from typing import Any

import msgspec

from langchain_prodtest.evidence import Subject
from langchain_prodtest.gate import Unknown, Verdict, describe, write_reports
from langchain_prodtest.limit import Finding, judge, parse_limit
from langchain_prodtest.measure import Measurement
from langchain_prodtest.table import table


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
SUBJECT = Subject("rev", "demo@sha256:1f0c", "cfg")


def verdict(decision: Any, findings: list[Finding], **more: Any) -> Verdict:
    return Verdict(decision=decision, subject=SUBJECT, findings=findings, runs=[".prodtest/r"], **more)


def test_go_ends_in_the_image_and_the_evidence() -> None:
    text = describe(verdict("GO", FINDINGS))
    assert text.startswith(table(FINDINGS) + "\n")
    assert text.splitlines()[-1] == "  GO   demo@sha256:1f0c   evidence .prodtest/r"


def test_no_go_counts_what_failed() -> None:
    lines = describe(verdict("NO-GO", [*FINDINGS, FAILED])).splitlines()
    assert "  NO-GO   1 check failed" in lines
    assert lines[-1] == "    demo@sha256:1f0c   evidence .prodtest/r"


def test_hold_says_what_would_end_it() -> None:
    unknown = [
        Unknown("chat.success", "n = 120, at least 149 needed", "29 more (n = 149)"),
        Unknown("b", "c", "d"),
    ]
    lines = describe(verdict("HOLD", FINDINGS, resolves=unknown, problems=["x.json is missing"])).splitlines()
    at = lines.index("  HOLD   2 checks unknown, 1 problem with the evidence")
    assert lines[at + 1 : at + 4] == [
        "    chat.success   n = 120, at least 149 needed   → 29 more (n = 149)",
        "    b   c   → d",
        "    x.json is missing",
    ]


def test_a_replaced_run_is_noted() -> None:
    assert "  note: a is replaced by b" in describe(verdict("GO", FINDINGS, notes=["a is replaced by b"]))


def test_a_verdict_on_nothing_is_readable() -> None:
    nothing = Verdict(decision="HOLD", subject=Subject(), findings=[], problems=["no run folder was given"])
    assert describe(nothing).splitlines() == [
        "  HOLD   1 problem with the evidence",
        "    no run folder was given",
        "    no subject   evidence none",
    ]


def test_no_line_is_wider_than_100_columns_and_none_carries_control_characters() -> None:
    long = "words that go on \x1b[31m " * 30
    wild = Finding(check="a.check\n" * 12, outcome="fail", detail=long, remedy=long, where="y" * 40)
    text = describe(
        verdict("HOLD", [wild, FAILED], problems=[long], resolves=[Unknown("q", long, long)], notes=[long])
    )
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text
    assert "a.check a.check a.check a.check a.check…" in text


def test_the_reports_are_written_under_report(tmp_path: Path) -> None:
    held = verdict("HOLD", FINDINGS, resolves=[Unknown("a", "b", "c")], problems=["p"], notes=["n"])
    paths = write_reports(held, tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "report/report.json",
        "report/junit.xml",
    ]
    assert msgspec.json.decode(paths[0].read_bytes(), type=Verdict) == held
    assert write_reports(held, tmp_path) == paths
