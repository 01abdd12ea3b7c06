"""Answers that look complete and are not, while the provider was sick."""

from langchain_prodtest.measure import Measurement, Sample
from langchain_prodtest.outcome import NOT_SERVED, Outcome
from langchain_prodtest.record import Record

__all__ = ["duplication", "masked_failure", "silent_truncation"]


def masked_failure(record: Record) -> Measurement | None:
    """Count answers sent during a fault that were presented as complete and are not the answer."""
    return _count("stream.masked_failure", Outcome.SOFT_FAILURE, record.sent_in_faults())


def silent_truncation(record: Record) -> Measurement | None:
    """Count answers presented as complete whose end is missing.

    The denominator holds only requests of which a provider's stream really was cut, as its journal says.
    """
    cut = {call.nonce for call in record.calls if call.closed_by == "fault" and call.status == 200}
    samples = [s for s in record.sent_in_faults() if s.nonce in cut]
    return _count("stream.silent_truncation", Outcome.SILENT_TRUNCATION, samples)


def duplication(record: Record) -> Measurement | None:
    """Count answers sent during a fault in which a part came twice."""
    return _count("stream.duplication", Outcome.DUPLICATED, record.sent_in_faults())


def _count(metric: str, bad: Outcome, samples: list[Sample]) -> Measurement | None:
    served = [s for s in samples if s.outcome not in NOT_SERVED]
    if not served:
        return None
    found = [s for s in served if s.outcome == bad]
    return Measurement(
        metric=metric,
        value=len(found),
        n=len(served),
        n_eff=len(served),
        window=(min(s.intended for s in served), max(s.intended for s in served)),
        detail=f"{len(found)} of {len(served)} answers, first {found[0].nonce}" if found else "",
    )
