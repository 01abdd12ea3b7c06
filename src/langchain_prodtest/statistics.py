"""Bounds instead of point estimates: what a run of n requests proves, and what it does not."""

import math
from collections.abc import Sequence

__all__ = ["effective_n", "lower_bound", "minimum_n", "quantile_interval", "upper_bound"]

CONFIDENCE = 0.95


def lower_bound(good: float, n: float, confidence: float = CONFIDENCE) -> float:
    """Return the one-sided Clopper-Pearson lower bound of a proportion; `n` may be an effective size.

    Clopper and Pearson, Biometrika 26 (1934): the beta quantile B(1 - confidence; good, n - good + 1).
    """
    _check(good, n, confidence)
    if good == 0:
        return 0.0
    return _beta_quantile(1 - confidence, good, n - good + 1)


def upper_bound(good: float, n: float, confidence: float = CONFIDENCE) -> float:
    """Return the one-sided Clopper-Pearson upper bound of a proportion; see `lower_bound`."""
    return 1 - lower_bound(n - good, n, confidence)


def minimum_n(objective: float, confidence: float = CONFIDENCE, bad: int = 0) -> int:
    """Return the smallest n that proves "at least `objective` are good" when `bad` of them are not.

    With no bad request this is ln(1 - confidence) / ln(objective), rounded up; objective 1 cannot be proven.
    """
    if not 0 < objective < 1:
        raise ValueError(f"an objective that n requests can prove lies between 0 and 1, not {objective}")
    low, high = bad + 1, bad + 1
    while lower_bound(high - bad, high, confidence) < objective:
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if lower_bound(middle - bad, middle, confidence) >= objective:
            high = middle
        else:
            low = middle + 1
    return high


def effective_n(series: Sequence[float]) -> float:
    """Return how many independent values a series in time order is worth, by batch means.

    The variance of the means of about sqrt(n) batches, each of about sqrt(n) values, is compared with what
    independent values would give (Law and Kelton, Simulation Modeling and Analysis, section 9.5.3).
    A constant series is worth its length; so is one too short to be cut into ten batches of two.
    """
    n = len(series)
    size = math.isqrt(n)
    if size < 2 or n // size < 10:
        size = max(2, n // 10)
    batches = n // size
    mean = math.fsum(series) / n if n else 0.0
    variance = math.fsum((x - mean) ** 2 for x in series) / (n - 1) if n > 1 else 0.0
    if variance == 0 or batches < 10:
        return float(n)
    means = [math.fsum(series[i * size : (i + 1) * size]) / size for i in range(batches)]
    centre = math.fsum(means) / batches
    of_means = math.fsum((m - centre) ** 2 for m in means) / (batches - 1)
    if of_means == 0:
        return float(n)
    return min(float(n), n * variance / (size * of_means))


def quantile_interval(
    ordered: Sequence[float], q: float, n: float | None = None, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return a two-sided order-statistic interval of the q-quantile of an ascending, non-empty sample.

    Distribution-free (David and Nagaraja, Order Statistics, section 7.1); each side is missed with
    probability (1 - confidence) / 2. `n` is the effective size if it is smaller than the sample: the ranks
    are found for n and stretched. Where too few values exist for a side, it is the extreme: -inf or inf.
    """
    if not ordered:
        raise ValueError("a quantile needs at least one value")
    size = len(ordered)
    effective = max(1, min(size, math.floor(n if n is not None else size)))
    tail = (1 - confidence) / 2
    below = _binomial_rank(effective, q, tail)  # P(X < below) <= tail
    above = _binomial_rank(effective, q, 1 - tail) + 1
    low = -math.inf if below < 1 else ordered[math.floor((below - 1) * size / effective)]
    high = math.inf if above > effective else ordered[min(size, math.ceil(above * size / effective)) - 1]
    return low, high


def _binomial_rank(n: int, p: float, probability: float) -> int:
    """Return the smallest k with P(X <= k) >= probability, X binomial(n, p)."""
    total, k = 0.0, 0
    while k < n:
        log_term = (
            math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
            + k * math.log(p) + (n - k) * math.log1p(-p)
        )  # fmt: skip
        total += math.exp(log_term)
        if total >= probability:
            return k
        k += 1
    return n


def _beta_quantile(probability: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(100):  # bisection: exact to the last bit in about 60 steps, and monotone for sure
        middle = (low + high) / 2
        if _beta_cdf(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function (continued fraction, DLMF 8.17.22)."""
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_cdf(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    tiny = 1e-300
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    value = d
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 + term * d
            d = 1 / (d if abs(d) > tiny else tiny)
            c = 1 + term / c
            c = c if abs(c) > tiny else tiny
            value *= d * c
        if abs(d * c - 1) < 1e-14:
            return front * value / a
    raise ArithmeticError(
        f"the beta function of {a} and {b} did not converge"
    )  # far above 100 million requests


def _check(good: float, n: float, confidence: float) -> None:
    if not 0 <= good <= n or n <= 0:
        raise ValueError(f"need 0 <= good <= n and n > 0, got {good} of {n}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence lies between 0 and 1, not {confidence}")
