"""What becomes of open streams when the service is told to stop."""

from langchain_prodtest.measure import Measurement
from langchain_prodtest.outcome import GOOD
from langchain_prodtest.record import Record

__all__ = ["sigterm"]

CLEAN = (0, -15)  # exit 0, or ended by SIGTERM itself (143 in a shell)


def sigterm(record: Record) -> Measurement | None:
    """Count streams that had begun before SIGTERM and did not end in a whole answer, and unclean exits.

    A process that had to be killed after its grace period counts as one more.
    """
    if not record.exits:
        return None
    open_then = [
        s
        for s in record.samples
        for exit_ in record.exits
        if s.first_event is not None
        and s.first_event <= exit_.signalled
        and (s.ended is None or s.ended > exit_.signalled)
    ]
    lost = [s for s in open_then if s.outcome not in GOOD]
    unclean = [e for e in record.exits if e.code not in CLEAN]
    parts = [f"{len(lost)} of {len(open_then)} open streams were lost"] if lost else []
    parts += ["had to be killed" if e.code is None else f"exit code {e.code}" for e in unclean]
    slowest = max(e.ended - e.signalled for e in record.exits)
    return Measurement(
        metric="drain.sigterm",
        value=len(lost) + len(unclean),
        n=len(open_then),
        n_eff=len(open_then),
        window=(min(e.signalled for e in record.exits), max(e.ended for e in record.exits)),
        detail=", ".join([*parts, f"{slowest:.1f} s from SIGTERM to exit"]),
    )
