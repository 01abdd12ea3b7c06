"""Schedules: exact numbers, the rates that a profile says, and the statistics of each arrival process."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from langchain_prodtest.errors import UsageError
from langchain_prodtest.load.schedule import (
    ARRIVALS,
    PROFILES,
    Due,
    Phase,
    check_phases,
    due_times,
    find_profile,
    named,
)


def times(phases: list[Phase], arrivals: str = "constant", seed: int = 1) -> list[float]:
    return [due.at for due in due_times(phases, arrivals, seed)]


@given(
    profile=st.sampled_from(sorted(PROFILES)),
    arrivals=st.sampled_from(sorted(ARRIVALS)),
    rate=st.floats(0.01, 10_000),
    count=st.integers(1, 300),
    seed=st.integers(0, 2**32),
)
def test_every_schedule_has_the_exact_number_in_order_and_within_its_phases(
    profile: str, arrivals: str, rate: float, count: int, seed: int
) -> None:
    phases = find_profile(profile, rate, count)
    due = list(due_times(phases, arrivals, seed))
    assert len(due) == sum(phase.count for phase in phases)
    assert all(a.at <= b.at for a, b in pairwise(due))
    assert due[0].at >= 0
    assert due[-1].at <= sum(phase.seconds for phase in phases) * (1 + 1e-9)
    assert sum(phase.count for phase in phases if not phase.name) == count
    assert list(due_times(phases, arrivals, seed)) == due


def test_constant_arrivals_at_a_steady_rate_are_equally_far_apart() -> None:
    assert times(find_profile("steady", 10.0, 5)) == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_a_ramp_follows_the_integral_of_its_rate() -> None:
    """From 0 to 10 per second in 10 s, 5 t² / 10 have arrived after t seconds."""
    assert times([Phase("ramp", 50, 0.0, 10.0)]) == pytest.approx([math.sqrt(2 * k) for k in range(50)])


def test_a_falling_rate_ends_with_its_phase() -> None:
    phase = Phase("", 50, 10.0, 0.0)
    assert phase.seconds == 10.0
    assert times([phase])[-1] == pytest.approx(10 - math.sqrt(2))


@pytest.mark.parametrize(("arrivals", "low", "high"), [("poisson", 0.9, 1.1), ("bursts", 1.8, 2.2)])
def test_random_arrivals_have_the_variation_of_their_process(arrivals: str, low: float, high: float) -> None:
    """The coefficient of variation of the gaps: 1 for a Poisson process, 2 for these bursts."""
    at = times([Phase("", 5_000, 100.0, 100.0)], arrivals)
    gaps = [b - a for a, b in pairwise(at)]
    assert low < stats.variation(gaps) < high
    assert sum(gaps) / len(gaps) == pytest.approx(0.01, rel=0.05)


def test_poisson_gaps_are_exponential() -> None:
    gaps = [b - a for a, b in pairwise(times([Phase("", 2_000, 1.0, 1.0)], "poisson"))]
    assert stats.kstest(gaps, "expon").pvalue > 0.01


def test_seeds_give_different_schedules() -> None:
    phases = find_profile("steady", 10.0, 20)
    assert times(phases, "poisson", 1) != times(phases, "poisson", 2)


def test_a_spike_has_its_own_phase_and_rate() -> None:
    phases = find_profile("spike", 10.0, 100)
    due = list(due_times(phases, "constant", 1))
    assert due[99].phase == ""
    assert due[100] == Due(10.0, "spike")
    assert due[200] == Due(12.5, "recovery")
    assert named(phases) == "10/s, spike 40/s, recovery 10/s"


def test_a_day_goes_up_to_the_rate_and_back() -> None:
    phases = find_profile("diurnal", 10.0, 1_000)
    assert {phase.name for phase in phases} == {""}
    assert max(phase.start for phase in phases) == pytest.approx(10.0)
    assert phases[0].start == phases[-1].end == pytest.approx(2.0)


def test_steps_rise_to_the_rate() -> None:
    assert [(p.name, p.start) for p in find_profile("step", 8.0, 40)] == [
        ("step1", 2.0), ("step2", 4.0), ("step3", 6.0), ("", 8.0),
    ]  # fmt: skip


def test_a_metric_may_name_a_phase_of_any_profile() -> None:
    check_phases(["chat.success", "chat@spike.ttft.p95", "chat@ramp.success"])
    with pytest.raises(UsageError, match=r'"chat@spiek.success": unknown phase "spiek"\. Did'):
        check_phases(["chat@spiek.success"])
