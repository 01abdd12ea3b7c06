"""So many at once, so many in line, and the rest refused."""

from typing import Any

import pytest

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.script import Fault, Reply, Request, Script, Step
from langchain_prodtest.wire.slots import Slots


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


SLOW = Reply("one two three", first_token=1.0, per_chunk=0.5)  # two seconds


def slots(count: int, queue: int, clock: Clock, status: int = 429, slower: float = 0.0) -> Slots:
    return Slots(count, queue, status=status, slower=slower, clock=clock)


def asked(rule: Slots, times: int, step: Step = SLOW) -> list[float | str]:
    """How late each first token is, or the status and how long to wait."""
    script = Script(default=lambda request: Reply("never asked for"))
    script.add(*[step] * times)
    script.rule(rule)
    answers = [script.next(Request(provider="openai")) for _ in range(times)]
    refused = [answer for answer in answers if isinstance(answer, Fault) and answer is not step]
    assert len(script.leftover) == len(refused)
    return [
        f"{a.status} {a.retry_after}" if isinstance(a, Fault) else round(a.due(0), 6)
        for a in answers
        if a is not None
    ]


def test_two_are_answered_at_once_two_wait_and_the_rest_is_refused() -> None:
    assert asked(slots(2, 2, Clock()), 6) == [1.0, 1.0, 3.0, 3.0, "429 4", "429 4"]
    assert asked(slots(1, 3, Clock()), 4) == [1.0, 3.0, 5.0, 7.0]
    assert asked(slots(1, 0, Clock(), status=503), 2) == [1.0, "503 2"]


def test_a_slot_is_free_again_when_its_answer_has_ended() -> None:
    clock = Clock()
    rule = slots(1, 1, clock)
    assert asked(rule, 3) == [1.0, 3.0, "429 4"]
    clock.now += 2.0
    assert asked(rule, 2) == [3.0, "429 4"]
    clock.now += 4.0
    assert asked(rule, 1) == [1.0]


def test_it_gets_slower_as_it_fills() -> None:
    assert asked(slots(3, 0, Clock(), slower=0.5), 3) == [1.0, 1.5, 2.0]
    assert asked(slots(1, 1, Clock(), slower=0.5), 2) == [1.0, 3.0]


def test_gaps_wait_in_line_too() -> None:
    assert asked(slots(1, 9, Clock()), 2, Reply("one two", gaps=[0.5, 0.25])) == [0.5, 1.25]


@pytest.mark.parametrize("step", [Reply("at once"), Fault(status=503), Fault(how="hang")])
def test_what_takes_no_time_and_faults_take_no_slot(step: Step) -> None:
    answers = asked(slots(1, 0, Clock()), 3, step)
    assert answers == ([0.0] * 3 if isinstance(step, Reply) else [f"{step.status} None"] * 3)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"queue": -1}, {"slower": -0.1}, {"status": 200}])
def test_slots_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ScriptError, match=r"Slots: |Fault: status"):
        Slots(**({"count": 1} | wrong))
