"""The catalogue of what goes wrong between a client and a provider, in named sets.

The statuses and streams are those that were met at the providers; 529 is Anthropic's "overloaded", and
OpenAI's `insufficient_quota` is a 429 that waiting does not cure.
"""

from collections.abc import Iterable
from typing import NamedTuple

from langchain_prodtest.errors import UsageError, unknown_name
from langchain_prodtest.script import Fault, Reply, Step, answer_for

__all__ = ["CASES", "SETS", "Case", "cases", "table"]

SETS = ("transient", "streams", "answers", "rate-limits")
_QUOTA = '{"error": {"message": "quota", "type": "insufficient_quota", "code": "insufficient_quota"}}'
_HTML = "<html><body>502 Bad Gateway</body></html>"
_HALF = answer_for("")[:40]

AGAIN = "tries again, a few times, later each time; then a fallback or an error"
WHOLE = "gives an error, or the whole answer by a new try if nothing was shown yet"
ENDS = "ends by its own deadline"


class Case(NamedTuple):
    """One thing that goes wrong: `step` is scripted for it, `right` is what a right client does."""

    name: str
    set: str
    step: Step
    provider: str
    place: str
    right: str


def _status(status: int, provider: str = "any", body: str | None = None) -> Case:
    fault = Fault(status=status, body=body)
    return Case(str(status), "transient", fault, provider, "instead of an answer", AGAIN)


CASES = (
    *(_status(status) for status in (429, 500, 502, 503, 504)),
    _status(529, "anthropic"),
    Case("refuse", "transient", Fault(how="refuse"), "any", "at the connection", AGAIN),
    Case("reset", "transient", Fault(how="reset"), "any", "before the answer", AGAIN),
    Case("html-502", "transient", Fault(status=502, body=_HTML), "a proxy", "instead of an answer", AGAIN),
    Case("clean-end", "streams", Fault(how="clean_end", after=6), "a proxy", "inside the answer", WHOLE),
    Case("eof", "streams", Fault(how="eof", after=6), "any", "inside the answer", WHOLE),
    Case("reset-inside", "streams", Fault(how="reset", after=6), "any", "inside the answer", WHOLE),
    Case("reset-first", "streams", Fault(how="reset", after=1), "any", "before the first word", AGAIN),
    Case("garbage", "streams", Fault(how="garbage", after=6), "any", "inside the answer", WHOLE),
    Case("error-event", "streams", Fault(how="error_event", after=6), "any", "inside the answer", WHOLE),
    Case("html-200", "streams", Fault(how="html"), "a proxy", "instead of an answer", WHOLE),
    Case("hang", "streams", Fault(how="hang"), "any", "before the answer", ENDS),
    Case("stall", "streams", Fault(how="stall", after=6), "any", "inside the answer", ENDS),
    Case("drip", "streams", Fault(how="drip", delay=0.5), "any", "all along the answer", ENDS),
    Case(
        "token-limit", "answers", Reply(_HALF, finish="length"), "any", "at the end",
        "says that the answer is cut, or asks for the rest",
    ),
    Case(
        "content-filter", "answers", Reply("", finish="content_filter"), "openai, azure", "at the end",
        "says that there is no answer",
    ),
    Case("empty", "answers", Reply(""), "any", "at the end", "says that there is no answer"),
    Case(
        "retry-after", "rate-limits", Fault(status=429, retry_after=1), "any", "instead of an answer",
        "waits that long, then tries again",
    ),
    Case(
        "retry-after-past", "rate-limits",
        Fault(status=429, retry_after="Thu, 01 Jan 1970 00:00:00 GMT"), "any", "instead of an answer", AGAIN,
    ),
    Case(
        "retry-after-a-day", "rate-limits", Fault(status=429, retry_after=86400), "any",
        "instead of an answer", "gives up or asks a fallback, within its own deadline",
    ),
    Case(
        "retry-after-nonsense", "rate-limits", Fault(status=429, retry_after="soon"), "any",
        "instead of an answer", "waits as it does without the header, then tries again",
    ),
    Case(
        "no-quota", "rate-limits", Fault(status=429, body=_QUOTA), "openai", "instead of an answer",
        "gives up or asks a fallback: waiting does not help",
    ),
)  # fmt: skip
"""All cases; a case is in one set, and every case in the set `all`."""


def cases(wanted: str | Iterable[str]) -> list[Case]:
    """Return the cases of sets, or by name, in the catalogue's order; UsageError names what is unknown."""
    names = {wanted} if isinstance(wanted, str) else set(wanted)
    known = {"all", *SETS, *(case.name for case in CASES)}
    for name in sorted(names - known):
        raise UsageError(unknown_name("fault set", name, known))
    return [case for case in CASES if names & {"all", case.set, case.name}]


def table() -> str:
    """Return the catalogue as a text table, one line a case."""
    head = ("name", "set", "provider", "place", "what a right client does")
    rows = [head, *((case.name, case.set, case.provider, case.place, case.right) for case in CASES)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)
