"""Assertions on Calls; they read what a fake in the process or on the wire has recorded."""

from collections.abc import Iterable

from langchain_prodtest.script import Call

__all__ = ["peak_concurrency"]


def peak_concurrency(calls: Iterable[Call]) -> int:
    """Return the most calls that were open at once."""
    changes = sorted(change for call in calls for change in ((call.received, 1), (call.ended, -1)))
    peak = now = 0
    for _, change in changes:
        now += change
        peak = max(peak, now)
    return peak
