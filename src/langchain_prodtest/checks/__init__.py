"""Checks: pure functions from what was recorded to a measurement. One function, one metric."""

from collections.abc import Callable

from langchain_prodtest.checks import drain, recovery, retry, streams, timeout
from langchain_prodtest.limit import Limit
from langchain_prodtest.measure import Measurement, measure_samples
from langchain_prodtest.record import Record

__all__ = ["CHECKS", "measure", "needs"]

CHECKS: dict[str, tuple[Callable[[Record], Measurement | None], str]] = {
    "retry.amplification": (retry.amplification, "a [[fault]] with provider = ... (a request fault)"),
    "stream.masked_failure": (streams.masked_failure, "requests sent during a fault"),
    "stream.silent_truncation": (
        streams.silent_truncation,
        'a [[fault]] that cuts streams: how = "clean_end"',
    ),
    "stream.duplication": (streams.duplication, "requests sent during a fault"),
    "timeout.total": (timeout.total, "requests sent during a fault"),
    "drain.sigterm": (drain.sigterm, 'a [[fault]] with signal = "SIGTERM" and streams in flight'),
    "recovery.rto": (recovery.rto, f"at least {recovery.SPAN:.0f} s of traffic after a fault, and [steady]"),
}
"""By metric: the function, and what must be in an experiment so that it can measure."""


def measure(record: Record, limit: Limit) -> Measurement | None:
    """Measure what `limit` is about; None where the record holds nothing to measure it from."""
    if limit.metric in CHECKS:
        return CHECKS[limit.metric][0](record)
    return measure_samples(record.sent_in_faults(), limit.metric, limit.value, limit.confidence)


def needs(metric: str) -> str:
    """Say what an experiment must hold so that `metric` can be measured."""
    return CHECKS[metric][1] if metric in CHECKS else "requests sent during a fault"
