"""In what two JSON values differ, place by place, in words."""

from collections.abc import Iterator
from itertools import takewhile
from typing import Any

import msgspec

__all__ = ["differences"]

_WIDTH = 60
_BEFORE = 20  # characters that a text has in common with the other, shown before where they part


def differences(recorded: Any, asked: Any, place: str) -> Iterator[str]:
    """Yield a sentence for each place, from `place` on, where `asked` is not as `recorded`; none if equal.

    The order of keys does not count, nor whether a whole number is written as a fraction; a place is written
    as in `body.messages[0].content`.
    """
    if isinstance(recorded, dict) and isinstance(asked, dict):
        yield from _of_objects(recorded, asked, place)
    elif isinstance(recorded, list) and isinstance(asked, list):
        for number, (one, other) in enumerate(zip(recorded, asked, strict=False)):
            yield from differences(one, other, f"{place}[{number}]")
        if len(recorded) != len(asked):
            yield f"{place} has {len(asked)} items, recorded {len(recorded)}"
    elif isinstance(recorded, bool) is not isinstance(asked, bool) or recorded != asked:
        begin = _parting(recorded, asked)
        yield f"{place} is {_shown(asked, begin)}, recorded {_shown(recorded, begin)}"


def _of_objects(recorded: dict[str, Any], asked: dict[str, Any], place: str) -> Iterator[str]:
    for name in sorted(recorded.keys() | asked.keys()):
        inside = f"{place}.{name}" if place else name
        if name not in asked:
            yield f"{inside} is missing, recorded {_shown(recorded[name])}"
        elif name not in recorded:
            yield f"{inside} is {_shown(asked[name])}, not recorded"
        else:
            yield from differences(recorded[name], asked[name], inside)


def _parting(one: Any, other: Any) -> int:
    """Return where to begin to show two texts so that their first difference is seen."""
    if not (isinstance(one, str) and isinstance(other, str)):
        return 0
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    return max(0, same - _BEFORE)


def _shown(value: Any, begin: int = 0) -> str:
    if value is msgspec.UNSET:
        return "nothing"
    if isinstance(value, str):
        inside = (
            ("…" if begin else "")
            + value[begin : begin + _WIDTH]
            + ("…" if begin + _WIDTH < len(value) else "")
        )
        return msgspec.json.encode(inside).decode()
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}…"
