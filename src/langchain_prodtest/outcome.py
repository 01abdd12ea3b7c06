"""What a client got, and how that is decided. HTTP status says nothing about success."""

import os.path
from enum import StrEnum
from typing import Literal

import msgspec

__all__ = ["GOOD", "NOT_SERVED", "Answer", "Ending", "Outcome", "decide"]


class Outcome(StrEnum):
    """What one offered request came to."""

    OK = "ok"
    """The whole right answer, marked as complete."""
    SOFT_FAILURE = "soft_failure"
    """Presented as a complete answer, but it is not the answer."""
    SILENT_TRUNCATION = "silent_truncation"
    """Presented as complete, but the end of the answer is missing."""
    BROKEN_STREAM = "broken_stream"
    """Cut, and visibly so: the transport broke or the terminal marker never came."""
    DUPLICATED = "duplicated"
    """A part of the answer came twice."""
    ERROR_IN_BAND = "error_in_band"
    """Status 200, then an error event of the service's own protocol."""
    HTTP_ERROR = "http_error"
    """An error status."""
    TIMEOUT = "timeout"
    """Not finished when the client's patience ended."""
    REFUSED = "refused"
    """No connection, or it broke before a response head."""
    ABANDONED = "abandoned"
    """The simulated user left on purpose."""
    DROPPED = "dropped"
    """Due by the schedule but never sent, because all simulated users were busy."""
    CENSORED = "censored"
    """Still open when the run ended."""


GOOD = frozenset({Outcome.OK})
NOT_SERVED = frozenset({Outcome.ABANDONED, Outcome.CENSORED})
"""Outcomes that say nothing about the service; they leave the denominator, and are counted apart."""

Ending = Literal["complete", "error_event", "closed", "broken", "timeout", "refused"]
"""How the exchange ended: terminal marker seen; in-band error; closed without either; reset or cut;
the client's deadline; no response head at all."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the client saw of one exchange; `status` is 0 when no response head came."""

    status: int
    text: str
    ending: Ending
    detail: str = ""


def decide(answer: Answer, expected: str | None) -> Outcome:
    """Return the Outcome of an answer of which the whole right text is `expected`.

    With `expected` None nothing is known of the right text: a complete, non-empty answer is then ok.
    White space at the ends does not count.
    """
    if answer.ending == "timeout":
        return Outcome.TIMEOUT
    if answer.ending == "refused" or answer.status == 0:
        return Outcome.REFUSED
    if answer.status >= 400:
        return Outcome.HTTP_ERROR
    if answer.ending == "error_event":
        return Outcome.ERROR_IN_BAND
    if answer.ending in ("broken", "closed"):
        return Outcome.BROKEN_STREAM
    text = answer.text.strip()
    if expected is None:
        return Outcome.OK if text else Outcome.SOFT_FAILURE
    return _compare(text, expected.strip())


def _compare(text: str, expected: str) -> Outcome:
    if text == expected:
        return Outcome.OK
    if _repeats(text, expected):
        return Outcome.DUPLICATED
    if text and expected.startswith(text):
        return Outcome.SILENT_TRUNCATION
    return Outcome.SOFT_FAILURE


def _repeats(text: str, expected: str) -> bool:
    """Tell whether `text` is the answer with parts of its beginning in front of it, one or more times."""
    if not expected or not text.endswith(expected):
        return False
    extra = text[: -len(expected)].strip()
    while extra and (common := os.path.commonprefix([extra, expected])):  # noqa: RUF071
        extra = extra[len(common) :].lstrip()
    return not extra
