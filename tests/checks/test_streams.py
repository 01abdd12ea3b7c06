"""The stream checks count answers that look complete and are not, among those that were put to the test."""

import pytest

from langchain_prodtest.checks import measure
from langchain_prodtest.limit import judge, parse_limit
from langchain_prodtest.measure import Sample
from langchain_prodtest.outcome import Outcome
from langchain_prodtest.record import Record, Window
from langchain_prodtest.script import Call

FAULT = Window(what="503", seam="provider", start=100.0, end=110.0)
BAD = {
    "stream.masked_failure": Outcome.SOFT_FAILURE,
    "stream.silent_truncation": Outcome.SILENT_TRUNCATION,
    "stream.duplication": Outcome.DUPLICATED,
}


def sample(number: int, outcome: Outcome, at: float = 101.0) -> Sample:
    return Sample(nonce=f"n{number}", scenario="chat", intended=at, sent=at, ended=at + 1, outcome=outcome)


def record(samples: list[Sample]) -> Record:
    cut = [Call(id=0, provider="openai", nonce=s.nonce, status=200, closed_by="fault") for s in samples]
    return Record(samples=samples, calls=cut, faults=[FAULT])


@pytest.mark.parametrize("metric", BAD)
def test_one_bad_answer_fails(metric: str) -> None:
    """One answer of the bad kind among a hundred is enough."""
    samples = [sample(i, Outcome.ERROR_IN_BAND) for i in range(99)] + [sample(99, BAD[metric])]
    limit = parse_limit(metric, "== 0")
    found = measure(record(samples), limit)
    assert found is not None
    assert found.value == 1
    assert "n99" in found.detail
    assert judge(limit, found).outcome == "fail"


@pytest.mark.parametrize("metric", BAD)
def test_honest_errors_pass(metric: str) -> None:
    """Visible errors, and bad answers of the other kinds, are not this check's business."""
    others = [outcome for outcome in Outcome if outcome != BAD[metric]]
    samples = [sample(i, others[i % len(others)]) for i in range(100)]
    limit = parse_limit(metric, "== 0")
    assert judge(limit, measure(record(samples), limit)).outcome == "pass"


@pytest.mark.parametrize("metric", BAD)
def test_too_few_are_unknown(metric: str) -> None:
    """Ten good answers prove nothing."""
    limit = parse_limit(metric, "== 0")
    assert (
        judge(limit, measure(record([sample(i, Outcome.OK) for i in range(10)]), limit)).outcome == "unknown"
    )


@pytest.mark.parametrize("metric", BAD)
def test_answers_outside_the_fault_do_not_count(metric: str) -> None:
    """A bad answer before the fault is no finding of this experiment."""
    limit = parse_limit(metric, "== 0")
    assert measure(record([sample(i, BAD[metric], at=50.0) for i in range(100)]), limit) is None


def test_truncation_counts_only_streams_that_were_cut() -> None:
    """An answer from a provider that was not cut says nothing about cut ones."""
    samples = [sample(i, Outcome.OK) for i in range(100)]
    uncut = Record(samples=samples, calls=[], faults=[FAULT])
    assert measure(uncut, parse_limit("stream.silent_truncation", "== 0")) is None


def test_requests_that_say_nothing_leave_the_denominator() -> None:
    """Abandoned and censored requests were not answered, so they are not counted as answered well."""
    samples = [sample(i, Outcome.CENSORED) for i in range(100)]
    assert measure(record(samples), parse_limit("stream.masked_failure", "== 0")) is None
