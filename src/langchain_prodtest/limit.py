"""A limit on a metric, and the finding that a measurement against it gives."""

import math
import re
from typing import Literal

import msgspec

from langchain_prodtest.errors import UsageError
from langchain_prodtest.measure import Measurement, Metric, find_metric, needed_n, quantile_of
from langchain_prodtest.statistics import lower_bound, upper_bound

__all__ = ["Finding", "Grade", "Limit", "judge", "parse_duration", "parse_limit", "parse_limits"]

Sign = Literal["<=", ">=", "=="]
Grade = Literal["pass", "fail", "unknown", "not_applicable"]


class Limit(msgspec.Struct, frozen=True):
    """`metric` `sign` `value`; `text` is the limit as the user wrote it."""

    metric: str
    sign: Sign
    value: float
    text: str = ""
    confidence: float = 0.95


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found.

    `detail` says what happened, `where` names the file or test, `remedy` the one thing to do.
    """

    check: str
    outcome: Grade
    measurement: Measurement | None = None
    limit: Limit | None = None
    detail: str = ""
    where: str = ""
    remedy: str = ""


_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)")
_LIMIT = re.compile(r"(<=|>=|==)\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|%)?")


def parse_duration(text: str) -> float:
    """Return the seconds of "250ms", "2s", "1.5m" or "24h"; UsageError for anything else."""
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise UsageError(
            f'"{text}" is not a duration; write a number and ms, s, m or h, such as "250ms" or "2s"'
        )
    return float(match[1]) * _UNITS[match[2]]


def parse_limit(metric: str, text: str) -> Limit:
    """Return the Limit of `"chat.ttft.p95" = "<= 1.5s"`; UsageError says what is wrong with it."""
    found = find_metric(metric)
    match = _LIMIT.fullmatch(text.strip()) if isinstance(text, str) else None
    if not match:
        raise UsageError(f'"{metric}" = "{text}" is not a limit; write it such as {_example(metric, found)}')
    sign, number, unit = match[1], float(match[2]), match[3]
    _check_unit(metric, found, text, unit)
    value = number / 100 if unit == "%" else number * _UNITS.get(unit or "", 1.0)
    wanted = ">=" if found.better == "higher" else "=="  if found.kind == "count" else "<="  # fmt: skip
    if sign != wanted or (found.kind == "count" and value != 0):
        raise UsageError(f'"{metric}" = "{text}": write it such as {_example(metric, found)}')
    if found.unit == "share" and not 0 < value < 1:
        raise UsageError(f'"{metric}" = "{text}": a share that n requests can prove lies between 0% and 100%')
    return Limit(metric, sign, value, f"{sign} {text.strip()[2:].strip()}")  # type: ignore[arg-type]


def parse_limits(table: dict[str, str]) -> tuple[Limit, ...]:
    """Return the Limits of a table such as [slo], [steady] or [expect]."""
    return tuple(parse_limit(metric, text) for metric, text in table.items())


def judge(limit: Limit, measurement: Measurement | None, unmeasured: str = "") -> Finding:
    """Return the Finding: pass or fail only where the numbers prove it, unknown otherwise.

    `unmeasured` says why there is no measurement and what would give one.
    """
    metric = find_metric(limit.metric)
    if measurement is None or measurement.n == 0:
        return Finding(
            check=limit.metric,
            outcome="unknown",
            measurement=measurement,
            limit=limit,
            detail=unmeasured or "nobody measured it",
        )
    if metric.kind in ("proportion", "quantile"):
        outcome = _judge_share(metric, limit, measurement)
    else:
        outcome = _judge_worst(metric, limit, measurement)
    detail, remedy = measurement.detail, metric.remedy if outcome == "fail" else ""
    if outcome == "unknown":
        detail, remedy = _what_is_missing(limit, measurement)
    return Finding(
        check=limit.metric,
        outcome=outcome,
        measurement=measurement,
        limit=limit,
        detail=detail,
        remedy=remedy,
    )


def _judge_share(metric: Metric, limit: Limit, found: Measurement) -> Grade:
    objective = quantile_of(limit.metric) if metric.kind == "quantile" else limit.value
    good, n = found.good, found.n_eff
    if good is None or not 0 <= good <= found.n or not 0 < n <= found.n:
        return "unknown"
    share = good / found.n
    if lower_bound(share * n, n, limit.confidence) >= objective:
        return "pass"
    return "fail" if upper_bound(share * n, n, limit.confidence) < objective else "unknown"


def _judge_worst(metric: Metric, limit: Limit, found: Measurement) -> Grade:
    """Judge what was observed, not what it lets expect: one bad unit is one too many."""
    value = math.inf if found.value is None else found.value
    worst = value if found.worst is None else max(value, found.worst)
    if worst > limit.value:
        return "fail"
    return "pass" if found.n >= metric.minimum_n else "unknown"


def _what_is_missing(limit: Limit, found: Measurement) -> tuple[str, str]:
    need = needed_n(limit.metric, limit.value, limit.confidence)
    if found.n < need:
        more = need - found.n
        return f"n = {found.n}, at least {need} needed", f"{more} more (n = {need})"
    worth = f", worth {found.n_eff:.0f} independent ones" if found.n_eff < found.n else ""
    return f"n = {found.n}{worth}: the interval straddles the limit", "a longer run, or a limit further away"


def _check_unit(metric: str, found: Metric, text: str, unit: str | None) -> None:
    allowed = {"s": ("ms", "s", "m", "h"), "share": ("%",), "count": (None,), "ratio": (None,)}[found.unit]
    if unit not in allowed:
        raise UsageError(
            f'"{metric}" = "{text}" has the wrong unit; write it such as {_example(metric, found)}'
        )


def _example(metric: str, found: Metric) -> str:
    value = {"s": "<= 1.5s", "share": ">= 98%", "count": "== 0", "ratio": "<= 3"}[found.unit]
    return f'"{metric}" = "{value}"'
