"""Numbers as people read them: 312 ms, 3.2 s, 100 %, [99.0, 100] %, worst 3."""

from langchain_prodtest.errors import UsageError
from langchain_prodtest.limit import Limit
from langchain_prodtest.measure import Measurement, Metric, find_metric
from langchain_prodtest.statistics import upper_bound

__all__ = ["certainty", "count", "limit", "measured", "printable"]


def measured(found: Measurement) -> str:
    """Return the measured value with its unit: "312 ms", "100 %", "2.0"; "never" if it is infinite."""
    return _with_unit(_metric(found), found.value)


def certainty(found: Measurement) -> str:
    """Return how sure the value is: its interval, its worst unit, or the upper bound that 0 of n proves."""
    metric = _metric(found)
    if metric is None or found.n < 1:
        return ""
    if metric.kind == "count":
        return f"<= {_percent(upper_bound(0, found.n))} %" if found.value == 0 else ""
    if metric.kind == "duration" and found.n == 1:
        return "1 repeat"
    if metric.kind in ("ratio", "duration"):
        return "" if found.worst is None else f"worst {_worst(metric, found.worst)}"
    low, high = found.interval
    if low is None or high is None:
        known, sign = (low, ">=") if high is None else (high, "<=")
        return "" if known is None else f"{sign} {_with_unit(metric, known)}"
    scale, unit = _unit(metric, high)
    return f"[{_plain(metric, low, scale)}, {_plain(metric, high, scale)}] {unit}"


def count(found: Measurement) -> str:
    """Return n; empty for the one repeat of a duration, which `certainty` names."""
    metric = _metric(found)
    return "" if metric and metric.kind == "duration" and found.n == 1 else str(found.n)


def limit(asked: Limit) -> str:
    """Return the limit as the user wrote it."""
    return asked.text or f"{asked.sign} {asked.value:g}"


def printable(text: str) -> str:
    """Return the text with every control, format and surrogate character escaped; line breaks stay."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _metric(found: Measurement) -> Metric | None:
    try:
        return find_metric(found.metric)
    except UsageError:
        return None


def _with_unit(metric: Metric | None, value: float | None) -> str:
    if value is None:
        return "never"
    scale, unit = _unit(metric, value)
    return f"{_plain(metric, value, scale)} {unit}".rstrip()


def _worst(metric: Metric, value: float) -> str:
    return f"{value:g}" if metric.kind == "ratio" else _with_unit(metric, value)


def _unit(metric: Metric | None, value: float) -> tuple[float, str]:
    if metric and metric.unit == "s":
        return (1.0, "s") if value >= 1 else (1000.0, "ms")
    return 1.0, "%" if metric and metric.unit == "share" else ""


def _plain(metric: Metric | None, value: float, scale: float) -> str:
    if metric is None:
        return f"{value:g}"
    if metric.unit == "share":
        return _percent(value)
    if metric.unit == "count":
        return f"{value:g}"
    scaled = value * scale
    whole = scaled == 0 or scaled >= (100 if scale == 1 else 10)
    return f"{scaled:.0f}" if whole else f"{scaled:.1f}"


def _percent(share: float) -> str:
    """Return a share in per cent; only what is 0 or 1 exactly is written as 0 or 100."""
    if share in (0, 1):
        return f"{100 * share:.0f}"
    for digits in range(1, 6):
        text = f"{100 * share:.{digits}f}"
        if 0 < float(text) < 100:
            return text
    return f"{100 * share}"
