"""retry.amplification counts provider requests per model call, and names the layers that multiply."""

from langchain_prodtest.checks import measure
from langchain_prodtest.limit import judge, parse_limit
from langchain_prodtest.measure import Measurement
from langchain_prodtest.record import Record, Window
from langchain_prodtest.script import Call

LIMIT = parse_limit("retry.amplification", "<= 3")
OUTAGE = Window(what="503", seam="provider", start=100.0, end=110.0)


def requests(model_call: int, marks: list[int], at: float = 101.0, provider: str = "openai") -> list[Call]:
    return [
        Call(
            id=0, provider=provider, nonce=f"n{model_call}", digest="d", received=at + i,
            attempt=mark, attempt_source="header",
        )
        for i, mark in enumerate(marks)
    ]  # fmt: skip


def measured(calls: list[Call], faults: list[Window] | None = None) -> Measurement | None:
    return measure(Record(samples=[], calls=calls, faults=faults or [OUTAGE]), LIMIT)


def test_two_layers_are_named_and_fail() -> None:
    """Three SDK attempts under three framework attempts are nine requests for one model call."""
    calls = [call for i in range(20) for call in requests(i, [1, 2, 3] * 3)]
    found = measured(calls)
    assert found is not None
    assert (found.value, found.worst, found.n) == (9.0, 9, 20)
    assert "9 to openai (SDK 3 × framework 3)" in found.detail
    assert judge(LIMIT, found).outcome == "fail"


def test_one_layer_and_a_fallback_pass() -> None:
    """Two attempts at the sick provider and one at the fallback are three, within the limit."""
    calls = [c for i in range(20) for c in requests(i, [1, 1]) + requests(i, [1], 103.0, "backup")]
    found = measured(calls)
    assert found is not None
    assert found.worst == 3
    assert judge(LIMIT, found).outcome == "pass"


def test_one_amplified_call_among_many_fails() -> None:
    """The mean is within the limit, the worst is not: a storm is not excused by calm neighbours."""
    calls = [call for i in range(50) for call in requests(i, [1])] + requests(99, [1, 2, 3] * 3)
    found = measured(calls)
    assert found is not None
    assert found.value is not None
    assert found.value < 2
    assert judge(LIMIT, found).outcome == "fail"


def test_an_agents_next_step_is_no_retry() -> None:
    """Other messages are another model call, also for the same question."""
    second = [Call(id=0, provider="openai", nonce="n0", digest="other", received=102.0)]
    found = measured(requests(0, [1]) + second)
    assert found is not None
    assert (found.n, found.worst) == (2, 1)


def test_calls_outside_the_window_do_not_count() -> None:
    """Only model calls that started in the fault window are measured, with all their later attempts."""
    late = requests(1, [1, 2], at=109.5)
    assert measured(requests(0, [1, 2, 3], at=90.0)) is None
    found = measured(requests(0, [1, 2, 3], at=90.0) + late)
    assert found is not None
    assert (found.n, found.worst) == (1, 2)


def test_a_tcp_fault_measures_nothing() -> None:
    """Under `down` the provider sees nothing: the metric is unknown, not 0."""
    down = Window(what="down", seam="proxy", start=100.0, end=110.0)
    assert measured(requests(0, [1]), [down]) is None
    assert judge(LIMIT, None).outcome == "unknown"


def test_too_few_model_calls_are_unknown() -> None:
    """Nineteen calls within the limit do not prove it."""
    assert judge(LIMIT, measured([c for i in range(19) for c in requests(i, [1])])).outcome == "unknown"
