"""From samples to measurements of named metrics. All times are Unix seconds, all durations seconds."""

import fnmatch
import math
import re
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import msgspec

from langchain_prodtest.errors import UsageError, unknown_name
from langchain_prodtest.outcome import GOOD, NOT_SERVED, Outcome
from langchain_prodtest.statistics import effective_n, lower_bound, minimum_n, quantile_interval, upper_bound

__all__ = [
    "METRICS",
    "Measurement",
    "Metric",
    "Sample",
    "find_metric",
    "measure_samples",
    "needed_n",
    "now",
    "quantile_of",
]

_EPOCH = time.time() - time.monotonic()


def now() -> float:
    """Return Unix time in seconds that never steps: the clocks of all processes of one host agree."""
    return _EPOCH + time.monotonic()


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One offered request as the client saw it; a time that never came is None.

    `intended` is when the schedule wanted it sent: latencies count from there, so that waiting for a free
    user counts (coordinated omission). `first_event` is the first event of any kind, `first_answer` the
    first with answer text. `longest_gap` is the longest silence between two events, `stalls` the number of
    silences over one second. `reads` counts the receives that brought answer text.
    """

    nonce: str
    scenario: str
    intended: float
    sent: float | None = None
    headers: float | None = None
    first_event: float | None = None
    first_answer: float | None = None
    ended: float | None = None
    longest_gap: float = 0.0
    stalls: int = 0
    outcome: Outcome
    status: int = 0
    tokens: int = 0
    reads: int = 0
    error: str = ""
    phase: str = ""
    instance: str = ""


Kind = Literal["proportion", "quantile", "count", "ratio", "duration"]


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """What can be measured, and how a limit on it is judged.

    ========== ===================================================================================
    proportion share of good requests; judged by its Clopper-Pearson bound
    quantile   seconds that a share of the requests stays within; judged as that proportion
    count      events that must not happen; 0 of at least `minimum_n` requests
    ratio      judged by the worst unit observed, of at least `minimum_n`
    duration   seconds; judged by the worst repeat observed, of at least `minimum_n`
    ========== ===================================================================================

    `pattern` is the name; `*` stands for a scenario, `*` in the last place for a quantile such as p95.
    """

    pattern: str
    kind: Kind
    unit: Literal["s", "share", "count", "ratio"]
    better: Literal["lower", "higher"]
    minimum_n: int = 1
    says: str
    remedy: str


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """A metric's value and how sure it is.

    A `value` or bound of None is infinite: it never happened. `good` is the number of requests that met the
    limit, for proportions and quantiles; `worst` the worst unit, for ratios and durations.
    """

    metric: str
    value: float | None
    n: Annotated[int, msgspec.Meta(ge=0, le=2**53)]  # what a file may claim; above it floats skip integers
    n_eff: float
    interval: tuple[float | None, float | None] = (None, None)
    good: int | None = None
    worst: float | None = None
    window: tuple[float, float] | None = None
    detail: str = ""


METRICS: tuple[Metric, ...] = (
    Metric(
        pattern="*.success", kind="proportion", unit="share", better="higher",
        says="share of offered requests that got the whole right answer",
        remedy="Read the outcomes in the detail: each names what clients got instead of the answer.",
    ),
    Metric(
        pattern="*.ttft.*", kind="quantile", unit="s", better="lower",
        says="time from the intended start to the first answer text",
        remedy="Stream from the first token, keep blocking calls off the event loop, add replicas.",
    ),
    Metric(
        pattern="*.e2e.*", kind="quantile", unit="s", better="lower",
        says="time from the intended start to the whole right answer",
        remedy="Shorten the answer, use a faster model, add replicas.",
    ),
    Metric(
        pattern="*.gap.*", kind="quantile", unit="s", better="lower",
        says="longest silence inside one answer",
        remedy="Look for a buffering proxy or a blocked event loop between provider and client.",
    ),
    Metric(
        pattern="*.streamed", kind="proportion", unit="share", better="higher",
        says="share of offered requests whose right answer came piece by piece (up to 4 tokens a receive)",
        remedy="Look for a model that does not stream, or a proxy or middleware that buffers or compresses.",
    ),
    Metric(
        pattern="retry.amplification", kind="ratio", unit="ratio", better="lower", minimum_n=20,
        says="provider requests per model call that started in the fault window (sees request faults only)",
        remedy="Keep one retry layer: max_retries=0 on the model, or drop the middleware.",
    ),
    Metric(
        pattern="stream.masked_failure", kind="count", unit="count", better="lower", minimum_n=59,
        says="answers presented as complete that are not the answer, while the provider was sick",
        remedy='Raise, do not answer: ModelRetryMiddleware(on_failure="error"), and no except that answers.',
    ),
    Metric(
        pattern="stream.silent_truncation", kind="count", unit="count", better="lower", minimum_n=29,
        says="answers presented as complete whose end is missing, while the provider cut its streams",
        remedy="Require a finish reason and strictly parsed tool arguments; send an error event otherwise.",
    ),
    Metric(
        pattern="stream.duplication", kind="count", unit="count", better="lower", minimum_n=29,
        says="answers in which a part came twice",
        remedy="Never retry or fall back after the first token reached the client.",
    ),
    Metric(
        pattern="timeout.total", kind="duration", unit="s", better="lower", minimum_n=10,
        says="longest time a request took from its send, good or bad, while the provider did not answer",
        remedy="Give the whole request a deadline; a client time-out bounds one read, not the total.",
    ),
    Metric(
        pattern="drain.sigterm", kind="count", unit="count", better="lower", minimum_n=3,
        says="streams in flight at SIGTERM that did not end in a whole answer, and a forced or unclean exit",
        remedy="On SIGTERM finish the open streams, then exit 0 within the grace period.",
    ),
    Metric(
        pattern="recovery.rto", kind="duration", unit="s", better="lower",
        says="time from the end of a fault until the steady state holds again and stays",
        remedy="Look for what outlives the fault: dead pooled connections, an open breaker, a crash loop.",
    ),
)  # fmt: skip


def find_metric(name: str) -> Metric:
    """Return the Metric of a name such as `chat.ttft.p95`; UsageError names the nearest if there is none."""
    plain = re.sub(r"(\.p\d+)\.\d+$", r"\1", name)  # the point in p99.9 separates nothing
    for metric in METRICS:
        same_parts = plain.count(".") == metric.pattern.count(".") and all(plain.split("."))
        if same_parts and fnmatch.fnmatchcase(plain, metric.pattern):
            if metric.kind == "quantile":
                quantile_of(name)
            return metric
    scope = name.split(".")[0]
    valid = [m.pattern.replace("*.", f"{scope}.", 1).replace(".*", ".p95") for m in METRICS]
    raise UsageError(unknown_name("metric", name, valid))


def quantile_of(name: str) -> float:
    """Return 0.95 for `chat.ttft.p95`, 0.999 for p99.9."""
    match = re.search(r"\.p(\d{1,2}(?:\.\d+)?)$", name)
    if not match or not 0 < float(match[1]) < 100:
        raise UsageError(f'metric "{name}" must end in a quantile such as .p50, .p95 or .p99.9')
    return float(match[1]) / 100


def needed_n(name: str, objective: float, confidence: float) -> int:
    """Return the smallest number of requests with which a limit on this metric can pass."""
    metric = find_metric(name)
    if metric.kind == "proportion":
        return minimum_n(objective, confidence) if 0 < objective < 1 else metric.minimum_n
    if metric.kind == "quantile":
        return minimum_n(quantile_of(name), confidence)
    return metric.minimum_n


TOGETHER = 4
"""Tokens that a receive may bring on average in an answer that is streamed: a busy client reads late."""

_CLOCKS: dict[str, Callable[[Sample], float | None]] = {
    "ttft": lambda s: None if s.first_answer is None else s.first_answer - s.intended,
    "e2e": lambda s: None if s.ended is None else s.ended - s.intended,
    "gap": lambda s: s.longest_gap,
}


def measure_samples(
    samples: Sequence[Sample], name: str, limit: float, confidence: float = 0.95
) -> Measurement | None:
    """Measure a client metric (`<scenario>.success`, `.streamed`, `.ttft.pNN`, `.e2e.pNN`, `.gap.pNN`).

    The denominator is the offered load: a request that failed, was refused or was never sent is as bad as an
    infinitely slow one; abandoned and censored ones are left out. None if no request was offered. The
    scenario `chat` means its steady part, `chat@spike` the phase of that name.
    """
    where, clock, *_ = name.split(".")
    scenario, _, phase = where.partition("@")
    offered = [
        s for s in samples if (s.scenario, s.phase) == (scenario, phase) and s.outcome not in NOT_SERVED
    ]
    if not offered:
        return None
    offered.sort(key=lambda s: s.intended)
    window = (offered[0].intended, offered[-1].intended)
    detail = _count_outcomes(offered)
    if clock == "success":
        return _proportion(name, [s.outcome in GOOD for s in offered], confidence, window, detail)
    if clock == "streamed":
        streamed = [s.outcome in GOOD and s.reads >= max(2, s.tokens / TOGETHER) for s in offered]
        lumps = sum(s.outcome in GOOD for s in offered) - sum(streamed)
        detail = ", ".join(filter(None, [f"{lumps} right answers came in a lump" if lumps else "", detail]))
        return _proportion(name, streamed, confidence, window, detail)
    read = _CLOCKS[clock]
    values = [(read(s) if s.outcome in GOOD else None) for s in offered]
    within = [v is not None and v <= limit for v in values]
    n_eff = effective_n([float(w) for w in within])
    ordered = sorted(math.inf if v is None else v for v in values)
    q = quantile_of(name)
    low, high = quantile_interval(ordered, q, n_eff, confidence)
    return Measurement(
        metric=name,
        value=_finite(ordered[math.ceil(round(q * len(ordered), 9)) - 1]),  # 0.55 * 100 is above 55
        n=len(ordered),
        n_eff=n_eff,
        interval=(_finite(low), _finite(high)),
        good=sum(within),
        window=window,
        detail=detail,
    )


def _proportion(
    name: str, good: Sequence[bool], confidence: float, window: tuple[float, float], detail: str
) -> Measurement:
    n, share = len(good), sum(good) / len(good)
    n_eff = effective_n([float(g) for g in good])
    interval = (
        lower_bound(share * n_eff, n_eff, confidence),
        upper_bound(share * n_eff, n_eff, confidence),
    )
    return Measurement(
        metric=name,
        value=share,
        n=n,
        n_eff=n_eff,
        interval=interval,
        good=sum(good),
        window=window,
        detail=detail,
    )


def _count_outcomes(samples: Sequence[Sample]) -> str:
    """Say what came instead of good answers, most frequent first: "3 http_error (503), 1 timeout"."""
    bad: dict[str, int] = {}
    for sample in samples:
        if sample.outcome not in GOOD:
            label = f"{sample.outcome} ({sample.status})" if sample.status >= 400 else str(sample.outcome)
            bad[label] = bad.get(label, 0) + 1
    return ", ".join(f"{count} {label}" for label, count in sorted(bad.items(), key=lambda item: -item[1]))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
