"""The numbers that make up a toxic: their ranges, and how they are read from a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_prodtest.errors import ToxiproxyError

__all__ = ["COUNT", "SHARE", "TIME", "Number", "check_ranges", "read_attributes"]

_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Number:
    """An attribute from 0 to `largest`; a whole number of 64 bits unless it is a share."""

    largest: int
    share: bool = False


TIME = Number(86_400_000)
"""Milliseconds, at most a day."""
COUNT = Number(_MAX)
SHARE = Number(1, share=True)


def read_attributes(
    numbers: Mapping[str, Number], given: Mapping[str, Any], before: Mapping[str, float]
) -> tuple[dict[str, float], list[str]]:
    """Return every attribute (those given, else those before, else 0) and why some given ones are unreadable.

    Keys match in any case, null is absent, and a share is brought into 0 to 1, all as the original does it.
    """
    folded = {key.lower(): value for key, value in given.items() if value is not None}
    attributes, errors = {}, []
    for name, number in numbers.items():
        value = folded.get(name, before.get(name, 0))
        if number.share and type(value) in (int, float):
            value = min(1, max(0, value))
        elif type(value) is not int or not -_MAX <= value <= _MAX:
            kind = "a number" if number.share else "a 64-bit integer"
            errors.append(f"bad request body: attribute {name} must be {kind}, not {value!r:.80}")
            value = before.get(name, 0)
        attributes[name] = value
    return attributes, errors


def check_ranges(numbers: Mapping[str, Number], attributes: Mapping[str, float]) -> None:
    """Refuse (ToxiproxyError 400) an attribute out of its range."""
    for name, number in numbers.items():
        if not 0 <= attributes[name] <= number.largest:
            raise ToxiproxyError(
                f"attribute {name} must be from 0 to {number.largest}, not {attributes[name]!r:.80}", 400
            )
