"""Who asks first after a while waits until the model is loaded."""

import pytest

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.script import Fault, Reply, Request, Script
from langchain_prodtest.wire.cold_start import ColdStart


def test_the_first_and_who_asks_meanwhile_wait_for_the_same_moment() -> None:
    now = [50.0]
    script = Script(default=lambda request: Reply("a b", first_token=0.5))
    script.rule(ColdStart(60, 8, clock=lambda: now[0]))
    late = []
    for now[0] in (50.0, 53.0, 58.0, 117.9, 177.8, 237.8, 245.7, 246.0, 305.9, 366.0):
        step = script.next(Request(provider="ollama"))
        assert isinstance(step, Reply)
        late.append(round(step.due(0), 6))
    assert late == [8.5, 5.5, 0.5, 0.5, 0.5, 8.5, 0.6, 0.5, 0.5, 8.5]


def test_time_spent_warming_up_is_not_idle() -> None:
    now = [0.0]
    script = Script(default=lambda request: Reply("a"))
    script.rule(ColdStart(5, 20, clock=lambda: now[0]))
    late = []
    for now[0] in (0.0, 10.0, 24.0, 29.0):
        step = script.next(Request(provider="ollama"))
        late.append(step.due(0) if isinstance(step, Reply) else None)
    assert late == [20.0, 10.0, 0.0, 20.0]


def test_a_fault_comes_when_it_would() -> None:
    script = Script()
    script.add(Fault(status=503))
    script.rule(ColdStart(5, 20))
    assert script.next(Request(provider="ollama")) == Fault(status=503)


@pytest.mark.parametrize(("idle", "delay"), [(0, 1), (1, 0), (-1, 1), (float("nan"), 1)])
def test_a_cold_start_that_makes_no_sense_is_refused(idle: float, delay: float) -> None:
    with pytest.raises(ScriptError, match="ColdStart: "):
        ColdStart(idle, delay)
