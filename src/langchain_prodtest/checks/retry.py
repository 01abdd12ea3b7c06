"""How many provider requests one model call becomes while the provider is sick."""

from collections import defaultdict

from langchain_prodtest.measure import Measurement
from langchain_prodtest.record import Record
from langchain_prodtest.script import Call

__all__ = ["amplification"]


def amplification(record: Record) -> Measurement | None:
    """Measure provider requests per model call that started while the provider answered with faults.

    A model call is one conversation state sent to a model: requests with the same nonce and messages belong
    together, whichever provider they went to; an agent's next step has other messages and is no retry.
    None without a request fault: under a TCP fault the provider sees nothing, so retries cannot be counted.
    """
    windows = [w for w in record.faults if w.seam == "provider"]
    groups: dict[tuple[str, str], list[Call]] = defaultdict(list)
    for call in record.calls:
        groups[call.nonce, call.digest].append(call)
    started = [
        calls
        for calls in groups.values()
        if any(w.holds(min(c.received for c in calls)) for w in windows)
    ]  # fmt: skip
    if not started:
        return None
    worst = max(started, key=len)
    return Measurement(
        metric="retry.amplification",
        value=sum(map(len, started)) / len(started),
        n=len(started),
        n_eff=len(started),
        worst=len(worst),
        window=(min(w.start for w in windows), max(w.end for w in windows)),
        detail=_explain(worst),
    )


def _explain(calls: list[Call]) -> str:
    """Say which layers multiplied: SDK retries count up in their header, a framework's start at 0 again."""
    parts = []
    for provider in dict.fromkeys(call.provider for call in calls):
        own = [call for call in calls if call.provider == provider]
        marked = [call for call in own if call.attempt_source == "header"]
        sdk = max((call.attempt for call in marked), default=1)
        framework = sum(call.attempt == 1 for call in marked)
        product = f" (SDK {sdk} × framework {framework})" if sdk > 1 and framework > 1 else ""
        parts.append(f"{len(own)} to {provider}{product}")
    plural = "s" if len(calls) > 1 else ""
    return f"{len(calls)} provider request{plural} for one model call: {', '.join(parts)}"
