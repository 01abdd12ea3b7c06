"""How long after a fault the steady state is back for good."""

import math

from langchain_prodtest.limit import Limit
from langchain_prodtest.measure import Measurement, Sample, measure_samples
from langchain_prodtest.record import Record

__all__ = ["rto"]

SPAN = 5.0  # seconds of traffic that must hold the steady state at once
STEP = 0.5


def rto(record: Record) -> Measurement | None:
    """Measure the time from the end of each fault until every span of 5 s holds the steady state.

    The worst fault counts. A span holds if each steady limit is met by its point estimate. The search ends
    at the next fault or at the end of the run, and leaves out requests that were open when the next fault
    came; a fault followed by less than a span of traffic is not measured.
    """
    times: list[float] = []
    starts = sorted(w.start for w in record.faults)
    for window in record.faults:
        next_fault = min((start for start in starts if start >= window.end), default=math.inf)
        horizon = min(next_fault, record.finished)
        if horizon - window.end >= SPAN:
            untouched = [s for s in record.samples if (s.ended or math.inf) <= next_fault]
            times.append(_recovered(untouched, record.steady, window.end, horizon))
    if not times:
        return None
    worst = max(times)
    return Measurement(
        metric="recovery.rto",
        value=worst if math.isfinite(worst) else None,
        n=len(times),
        n_eff=len(times),
        detail="" if math.isfinite(worst) else "the steady state never came back",
    )


def _recovered(samples: list[Sample], steady: tuple[Limit, ...], end: float, horizon: float) -> float:
    """Return the seconds from `end` until the last broken span is over, inf if that is the last of all."""
    after = [s for s in samples if end <= s.intended < horizon]
    count = math.floor((horizon - SPAN - end) / STEP) + 1
    starts = [end + i * STEP for i in range(count)]
    bad = [i for i, t in enumerate(starts) if not _holds(after, steady, t)]
    if not bad:
        return 0.0
    return math.inf if bad[-1] == count - 1 else starts[bad[-1] + 1] - end


def _holds(samples: list[Sample], steady: tuple[Limit, ...], start: float) -> bool:
    span = [s for s in samples if start <= s.intended < start + SPAN]
    for limit in steady:
        found = measure_samples(span, limit.metric, limit.value, limit.confidence)
        if found is None or found.value is None:
            return False
        if not (found.value >= limit.value if limit.sign == ">=" else found.value <= limit.value):
            return False
    return True
