"""The bounds are those of SciPy, and keep what they promise."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom

from langchain_prodtest.statistics import effective_n, lower_bound, minimum_n, quantile_interval, upper_bound

sizes = st.floats(1, 20_000) | st.integers(1, 20_000).map(float)
shares = st.floats(0, 1)
confidences = st.sampled_from([0.5, 0.9, 0.95, 0.99])


@settings(deadline=None)
@given(n=sizes, share=shares, confidence=confidences)
def test_the_bounds_are_the_beta_quantiles(n: float, share: float, confidence: float) -> None:
    good = min(n, round(share * n, 3))  # SciPy overflows on denormal shapes
    if good > 0:
        assert lower_bound(good, n, confidence) == pytest.approx(
            beta.ppf(1 - confidence, good, n - good + 1), rel=1e-8, abs=1e-12
        )
    if n - good > 0:
        assert upper_bound(good, n, confidence) == pytest.approx(
            beta.ppf(confidence, good + 1, n - good), rel=1e-8, abs=1e-12
        )


@settings(deadline=None)
@given(n=st.integers(1, 3000), share=shares)
def test_the_bounds_invert_the_binomial(n: int, share: float) -> None:
    good = round(n * share)
    low, high = lower_bound(good, n), upper_bound(good, n)
    assert low <= good / n <= high
    if good:
        assert binom.sf(good - 1, n, low) == pytest.approx(0.05, rel=1e-6)
    if good < n:
        assert binom.cdf(good, n, high) == pytest.approx(0.05, rel=1e-6)


@pytest.mark.parametrize(("n", "p"), [(20, 0.9), (59, 0.95), (149, 0.98), (300, 0.95), (300, 0.5)])
def test_a_bound_is_wrong_at_most_once_in_twenty(n: int, p: float) -> None:
    wrong = sum(float(binom.pmf(k, n, p)) for k in range(n + 1) if lower_bound(k, n) > p)
    assert wrong <= 0.05 + 1e-12


def test_nothing_good_and_nothing_bad_are_the_ends() -> None:
    assert (lower_bound(0, 10), upper_bound(10, 10)) == (0.0, 1.0)
    assert upper_bound(0, 200) == pytest.approx(1 - 0.05 ** (1 / 200))


@settings(deadline=None)
@given(n=st.integers(1, 2000), good=st.integers(0, 2000))
def test_one_more_good_request_never_lowers_the_bound(n: int, good: int) -> None:
    good = min(good, n - 1)
    assert lower_bound(good, n) <= lower_bound(good + 1, n)


def test_the_largest_numbers_have_a_bound_or_an_error_but_no_wrong_bound() -> None:
    assert lower_bound(5e7, 1e8) == pytest.approx(beta.ppf(0.05, 5e7, 5e7 + 1), rel=1e-9)
    assert 1 - 1e-15 < lower_bound(2**53 - 1, 2**53) < 1
    assert lower_bound(1e18, 1e18) == 1
    with pytest.raises(ArithmeticError, match="did not converge"):
        lower_bound(2**52, 2**53)


@pytest.mark.parametrize("arguments", [(-1, 10), (11, 10), (0, 0), (1, 2, 0.0), (1, 2, 1.0), (math.nan, 10)])
def test_what_is_no_proportion_is_refused(arguments: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"good <= n|confidence"):
        lower_bound(*arguments)


MINIMUM = {
    (0.90, 0): 29, (0.95, 0): 59, (0.98, 0): 149, (0.99, 0): 299, (0.995, 0): 598, (0.999, 0): 2995,
    (0.90, 1): 46, (0.95, 1): 93, (0.98, 1): 236, (0.99, 1): 473, (0.995, 1): 947, (0.999, 1): 4742,
    (0.90, 5): 103, (0.95, 5): 208, (0.98, 5): 523, (0.99, 5): 1049, (0.995, 5): 2100, (0.999, 5): 10511,
}  # fmt: skip


@pytest.mark.parametrize(("case", "n"), MINIMUM.items(), ids=str)
def test_the_minimum_n_is_that_of_the_published_table(case: tuple[float, int], n: int) -> None:
    objective, bad = case
    assert minimum_n(objective, bad=bad) == n


@settings(deadline=None)
@given(objective=st.floats(0.01, 0.9995), bad=st.integers(0, 8), confidence=confidences)
def test_the_minimum_n_proves_it_and_one_less_does_not(objective: float, bad: int, confidence: float) -> None:
    n = minimum_n(objective, confidence, bad)
    assert lower_bound(n - bad, n, confidence) >= objective
    if n > bad + 1:
        assert lower_bound(n - 1 - bad, n - 1, confidence) < objective


@pytest.mark.parametrize("objective", [0.0, 1.0, 1.5, -0.1])
def test_what_no_number_of_requests_proves_is_refused(objective: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        minimum_n(objective)


def series(n: int, rho: float, seed: int) -> list[float]:
    """Return an AR(1) series of variance 1."""
    source, value, values = random.Random(seed), 0.0, []
    for _ in range(n):
        value = rho * value + source.gauss(0, math.sqrt(1 - rho * rho))
        values.append(value)
    return values


@pytest.mark.parametrize("n", [0, 1, 2, 19])
def test_a_short_series_is_worth_its_length(n: int) -> None:
    assert effective_n([float(i) for i in range(n)]) == n


@pytest.mark.parametrize("n", [20, 50, 99, 100, 1000])
def test_a_constant_series_is_worth_its_length(n: int) -> None:
    assert effective_n([1.0] * n) == n


def test_a_series_of_equal_batches_is_worth_its_length() -> None:
    assert effective_n([0.0, 1.0] * 10) == 20


@settings(deadline=None)
@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300))
def test_the_effective_size_is_never_above_the_size(values: list[float]) -> None:
    assert 0 < effective_n(values) <= len(values)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_a_correlated_series_is_worth_what_theory_says(rho: float) -> None:
    n, repeats = 4000, 25
    mean = sum(effective_n(series(n, rho, seed)) for seed in range(repeats)) / repeats
    theory = n * (1 - rho) / (1 + rho)
    assert 0.6 * theory < mean < 1.6 * theory


def test_a_service_that_is_sick_for_a_while_is_worth_less() -> None:
    scattered = [float(i % 20 != 0) for i in range(1000)]
    lumped = [float(i >= 50) for i in range(1000)]
    assert sum(scattered) == sum(lumped)
    assert effective_n(lumped) < 0.2 * effective_n(scattered)


def ranks(n: int, q: float, effective: float | None = None) -> tuple[float, float]:
    """Return the interval as ranks from 1: the sample is its own ranks."""
    return quantile_interval([float(rank) for rank in range(1, n + 1)], q, effective)


@pytest.mark.parametrize("q", [0.01, 0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [1, 10, 59, 100, 300, 1000])
def test_each_side_of_the_interval_is_missed_with_at_most_its_tail(n: int, q: float) -> None:
    low, high = ranks(n, q)
    if low != -math.inf:
        assert binom.cdf(low - 1, n, q) <= 0.025
        assert binom.cdf(low, n, q) > 0.025
    else:
        assert binom.cdf(0, n, q) > 0.025
    if high != math.inf:
        assert binom.sf(high - 1, n, q) <= 0.025
        assert binom.sf(high - 2, n, q) > 0.025
    else:
        assert binom.sf(n - 1, n, q) > 0.025


def test_the_interval_covers_the_quantile_as_often_as_it_says() -> None:
    source, covered, repeats = random.Random(1), 0, 1000
    for _ in range(repeats):
        low, high = quantile_interval(sorted(source.random() for _ in range(100)), 0.9)
        covered += low <= 0.9 <= high
    assert covered / repeats > 0.94


def test_too_few_values_leave_the_side_open() -> None:
    assert ranks(10, 0.95)[1] == math.inf
    assert ranks(10, 0.05)[0] == -math.inf
    assert ranks(1, 0.5) == (-math.inf, math.inf)


def test_a_smaller_effective_size_widens_the_interval() -> None:
    low, high = ranks(1000, 0.9)
    wide_low, wide_high = ranks(1000, 0.9, 200.7)
    assert wide_low < low < high < wide_high
    assert ranks(1000, 0.9, 5000) == (low, high)
    assert ranks(1000, 0.9, 0.3) == (-math.inf, math.inf)


def test_an_empty_sample_has_no_quantile() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        quantile_interval([], 0.5)
