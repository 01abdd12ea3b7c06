from pathlib import Path

import msgspec
import pytest

from langchain_prodtest.config import Config, Load
from langchain_prodtest.evidence import Run, read_run
from langchain_prodtest.limit import Finding, parse_limits
from langchain_prodtest.load.judge import (
    Books,
    check_books,
    exit_code,
    judge_run,
    read_samples,
    too_few,
    write_evidence,
)
from langchain_prodtest.load.options import Plan
from langchain_prodtest.load.proof import PHASE, PLANTED
from langchain_prodtest.load.protocols.sse import Sse
from langchain_prodtest.load.schedule import Phase
from langchain_prodtest.measure import Sample
from langchain_prodtest.outcome import Outcome
from langchain_prodtest.table import table

SLO = {"chat.success": ">= 90%", "chat.ttft.p50": "<= 1s"}


def plan(slo: dict[str, str] = SLO, count: int = 100) -> Plan:
    config = Config(slo=parse_limits(slo), load=Load(count=count))
    return Plan(
        config=config, url="http://127.0.0.1/chat", protocol=Sse(), scenario="chat",
        count=count, phases=[Phase("", count, 10.0, 10.0)], arrivals="constant",
        patience=30.0, users=10,
    )  # fmt: skip


def sample(number: int, outcome: Outcome = Outcome.OK, ttft: float = 0.1) -> Sample:
    at = 1000.0 + number / 10
    return Sample(
        nonce=f"n{number}", scenario="chat", intended=at, sent=at, first_answer=at + ttft,
        ended=at + 2 * ttft, outcome=outcome,
    )  # fmt: skip


def planted() -> list[Sample]:
    """What the judge reports of the answers that are wrong on purpose."""
    return [msgspec.structs.replace(sample(i, outcome), phase=PHASE) for i, outcome in enumerate(PLANTED)]


def samples(count: int = 100, **more: float) -> list[Sample]:
    return [*planted(), *(sample(i, **more) for i in range(count))]  # type: ignore[arg-type]


def books(count: int = 100, offered: int | None = None, lag: float = 0.001) -> Books:
    offered = count if offered is None else offered
    return Books(planned=count, offered=offered, lags=[lag] * offered)


def outcomes(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.outcome for finding in findings}


def test_a_good_run_passes_and_exits_0() -> None:
    findings = judge_run(plan(), samples(), books())
    assert set(outcomes(findings).values()) == {"pass"}
    assert exit_code(findings, complete=True) == 0


def test_a_broken_slo_fails_and_exits_1() -> None:
    findings = judge_run(plan(), samples(ttft=3.0), books())
    assert outcomes(findings) == {
        "chat.success": "pass", "chat.ttft.p50": "fail", "load.generator_valid": "pass",
    }  # fmt: skip
    assert exit_code(findings, complete=True) == 1


def test_too_few_requests_are_unknown_and_were_announced() -> None:
    findings = judge_run(plan(count=4), samples(4), books(4))
    assert outcomes(findings)["chat.success"] == "unknown"
    assert exit_code(findings, complete=True) == 3
    assert [line.split()[0] for line in too_few(plan(count=4))] == ["chat.success", "chat.ttft.p50"]
    assert too_few(plan()) == []


def test_an_interrupted_run_exits_3_whatever_it_measured() -> None:
    assert exit_code(judge_run(plan(), samples(), books()), complete=False) == 3
    assert exit_code(judge_run(plan(), samples(ttft=3.0), books()), complete=False) == 3


def test_no_findings_are_no_proof() -> None:
    assert exit_code([], complete=True) == 3


@pytest.mark.parametrize(
    ("kept", "counted", "reason"),
    [
        (samples(99), books(), "100 arrivals were offered, 99 are accounted for"),
        ([*samples(99), sample(0)], books(), "99 are accounted for"),
        (samples(), books(offered=101), "101 arrivals were offered, 100 are accounted for"),
        (samples(90), books(offered=90), "90 of 100 arrivals were offered"),
        (samples(), books(lag=0.2), "send lag p99 is 200 ms, at most 100 ms allowed"),
        (
            [*samples(98), *(sample(i, Outcome.CENSORED) for i in (98, 99))],
            books(),
            "2 of 100 were still open",
        ),
        ([], books(offered=0), "no request was sent"),
        (samples()[1:], books(), "planted answers (silent_truncation, duplicated, refused) were reported as"),
        (samples()[3:], books(), "were reported as nothing"),
        (
            [msgspec.structs.replace(samples()[0], outcome=Outcome.OK), *samples()[1:]],
            books(),
            "reported as ok",
        ),
    ],
)
def test_an_invalid_generator_turns_every_pass_into_unknown_and_says_why(
    kept: list[Sample], counted: Books, reason: str
) -> None:
    findings = judge_run(plan(), kept, counted)
    assert set(outcomes(findings).values()) == {"unknown"}
    assert any(reason in finding.detail for finding in findings if finding.check == "load.generator_valid")
    assert exit_code(findings, complete=True) == 3


def test_an_invalid_generator_does_not_hide_a_failure() -> None:
    findings = judge_run(plan(), samples(ttft=3.0), books(lag=0.5))
    assert outcomes(findings)["chat.ttft.p50"] == "fail"


def test_the_lag_that_is_allowed_follows_the_tightest_latency_limit() -> None:
    assert check_books(books(lag=0.03), samples(), tightest=1.0).outcome == "pass"
    assert check_books(books(lag=0.03), samples(), tightest=0.2).outcome == "unknown"
    assert check_books(books(lag=0.009), samples(), tightest=0.001).outcome == "pass"


def test_an_slo_that_load_cannot_measure_stays_unknown_and_says_where_it_belongs() -> None:
    slo = {"search.success": ">= 90%", "recovery.rto": "<= 15s"}
    by_check = {finding.check: finding for finding in judge_run(plan(slo), samples(), books())}
    assert by_check["search.success"].outcome == "unknown"
    assert "scenario search" in by_check["search.success"].detail
    assert by_check["recovery.rto"].outcome == "unknown"
    assert "[expect]" in by_check["recovery.rto"].detail


def test_evidence_names_its_series_and_is_accepted_once_sealed(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    findings = judge_run(plan(), samples(), books())
    written = write_evidence(run, plan(), samples(), findings, complete=True, tool="test")
    run.seal()
    assert read_run(run.path) == ([written], [])
    assert (written.id, written.complete) == ("load/chat", True)
    assert written.series == ["samples-chat.ndjson.gz"]
    assert written.finished - written.started == pytest.approx(99 / 10 + 0.2)


def test_samples_that_were_written_live_are_read_back(tmp_path: Path) -> None:
    lines = b"".join(msgspec.json.encode(s) + b"\n" for s in samples(3))
    (tmp_path / "live.ndjson").write_bytes(lines)
    assert read_samples(tmp_path / "live.ndjson") == samples(3)


def test_the_table_shows_what_was_measured_and_what_to_do() -> None:
    text = table(judge_run(plan(), samples(ttft=3.0), books()))
    assert "3.0 s" in text
    assert "FAIL" in text
    assert "Stream from the first token" in text
    assert "load.generator_valid" in text
