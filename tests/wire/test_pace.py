"""Times for answers that have none: constant, as recorded, or by chance."""

import statistics
from typing import Any

import pytest

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.script import Fault, Reply, Request, Script, Step, ToolCall
from langchain_prodtest.wire.pace import Lognormal, Pace


def paced(pace: Pace, *steps: Step) -> list[list[float]]:
    """The times of the pieces of each step."""
    script = Script()
    script.add(*steps)
    script.rule(pace)
    times = []
    for _ in steps:
        step = script.next(Request(provider="openai"))
        assert isinstance(step, Reply)
        times.append([round(step.gap(piece), 6) for piece in range(4)])
    return times


def test_constant_times_are_for_every_piece() -> None:
    assert paced(Pace(0.5, 0.1), Reply("a b c d")) == [[0.5, 0.1, 0.1, 0.1]]
    assert paced(Pace(per_chunk=0.1), Reply("")) == [[0.0, 0.0, 0.0, 0.0]]


def test_a_trace_goes_on_from_answer_to_answer_and_begins_again() -> None:
    pace = Pace([1.0, 2.0], [0.1, 0.2, 0.3])
    book = Reply(tool_calls=[ToolCall("book"), ToolCall("book")], reasoning="so")
    assert paced(pace, Reply("a b"), book, Reply("a b")) == [
        [1.0, 0.1, 0.2, 0.2],
        [2.0, 0.3, 0.1, 0.2],
        [1.0, 0.3, 0.1, 0.1],
    ]


def test_chance_follows_from_the_seed() -> None:
    text = Reply(" ".join("x" * 3000))

    def gaps(seed: int) -> list[float]:
        script = Script(default=lambda request: text)
        script.rule(Pace(Lognormal(0.4, 0.2), Lognormal(0.05, 0.5), seed))
        step = script.next(Request(provider="openai"))
        assert isinstance(step, Reply)
        return list(step.gaps)

    assert gaps(1) == gaps(1) != gaps(2)
    assert 0.2 < gaps(1)[0] < 0.8
    assert statistics.median(gaps(1)[1:]) == pytest.approx(0.05, rel=0.1)


def test_what_has_times_of_its_own_and_faults_are_left_as_they_are() -> None:
    script = Script()
    own, fault = Reply("a", first_token=3.0), Fault(how="hang")
    script.add(own, fault)
    script.rule(Pace(0.5, 0.1))
    assert [script.next(Request(provider="openai")) for _ in range(3)] == [own, fault, None]


@pytest.mark.parametrize("wrong", [{"first_token": -1}, {"per_chunk": [0.1, -1]}, {"per_chunk": []}])
def test_a_pace_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ScriptError):
        Pace(**wrong)


@pytest.mark.parametrize(("median", "sigma"), [(0, 1), (1, -1), (float("inf"), 1), (1, float("nan"))])
def test_a_distribution_that_makes_no_sense_is_refused(median: float, sigma: float) -> None:
    with pytest.raises(ScriptError, match="Lognormal: "):
        Lognormal(median, sigma)
