"""So many at once, so many in line, and the rest refused."""

import pytest

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.script import Fault, Reply, Request
from langchain_prodtest.wire.slots import Slots


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


SLOW = Reply("one two three", first_token=1.0, per_chunk=0.5)  # two seconds


def slots(count: int, queue: int, clock: Clock, reply: Reply = SLOW, status: int = 429) -> Slots:
    return Slots(count, queue, lambda request: reply, status=status, clock=clock)


def asked(rule: Slots, times: int) -> list[float | str]:
    """How late each first token is, or the status and how long to wait."""
    answers = [rule(Request(provider="openai")) for _ in range(times)]
    return [f"{a.status} {a.retry_after}" if isinstance(a, Fault) else a.due(0) for a in answers]


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


def test_gaps_wait_in_line_too() -> None:
    assert asked(slots(1, 9, Clock(), Reply("one two", gaps=[0.5, 0.25])), 2) == [0.5, 1.25]
    late = slots(1, 9, Clock(), Reply("one two", gaps=[0.5]))
    late(Request(provider="p"))
    reply = late(Request(provider="p"))
    assert isinstance(reply, Reply)
    assert [reply.due(piece) for piece in range(3)] == [1.5, 2.0, 2.5]


def test_an_answer_that_takes_no_time_takes_no_slot() -> None:
    assert asked(slots(1, 0, Clock(), Reply("at once")), 3) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("count", "queue"), [(0, 1), (1, -1)])
def test_slots_that_make_no_sense_are_refused(count: int, queue: int) -> None:
    with pytest.raises(ScriptError, match="Slots: "):
        slots(count, queue, Clock())
