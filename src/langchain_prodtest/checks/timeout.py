"""How long a request takes when the provider does not answer."""

from langchain_prodtest.measure import Measurement
from langchain_prodtest.outcome import Outcome
from langchain_prodtest.record import Record

__all__ = ["total"]


def total(record: Record) -> Measurement | None:
    """Measure the longest time of a request sent during a fault, good or bad; inf if one never ended."""
    sent = [s for s in record.sent_in_faults() if s.sent is not None and s.outcome != Outcome.ABANDONED]
    if not sent:
        return None
    times = [s.ended - s.sent if s.ended is not None and s.sent is not None else None for s in sent]
    never = times.count(None)
    known = [t for t in times if t is not None]
    gave_up = sum(s.outcome == Outcome.TIMEOUT for s in sent)
    return Measurement(
        metric="timeout.total",
        value=None if never else max(known),
        n=len(sent),
        n_eff=len(sent),
        window=(min(s.intended for s in sent), max(s.intended for s in sent)),
        detail=f"{gave_up} of {len(sent)} clients gave up waiting" if gave_up else "",
    )
