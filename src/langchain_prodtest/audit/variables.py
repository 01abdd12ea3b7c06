"""Variables of a Dockerfile: ENV, ARG, and their replacement in a word.

Source: the Dockerfile reference, its sections Environment replacement, ENV and ARG.
"""

import re
from collections.abc import Mapping

__all__ = ["Values", "arguments", "environment", "replace", "words"]

Values = dict[str, str | None]
"""Values by name; None where the build or the base image decides."""

_PIECE = re.compile(r"""'([^']*)'|\\(.)|\$(?:(\w+)|\{(\w+)(?:(:?[-+])([^{}$]*))?\})|(["$])""")
_WORD = re.compile(r"""(?:\\.|"(?:\\.|[^"\\])*"|'[^']*'|[^\s"'\\])+""")


def words(text: str) -> list[str]:
    """Cut a line at its white space, but not inside quotes; quotes stay."""
    return _WORD.findall(text)


def replace(text: str, values: Mapping[str, str | None]) -> str | None:
    """Return the text with its variables replaced and its quotes taken off; None if a value is not known."""
    result, end = "", 0
    for piece in _PIECE.finditer(text):
        value = _value(piece, values)
        if value is None:
            return None
        result += text[end : piece.start()] + value
        end = piece.end()
    return result + text[end:]


def _value(piece: re.Match[str], values: Mapping[str, str | None]) -> str | None:
    literal, escaped, plain, braced, sign, word, mark = piece.groups()
    if mark:
        return "" if mark == '"' else None  # a $ that begins a form this reader does not know
    if not plain and not braced:
        return literal or escaped or ""
    value = values.get(plain or braced)
    if sign == ":-":
        return value or word
    if sign == "-":
        return word if value is None else value
    if sign and value is not None:
        return word if value or sign == "+" else ""
    return value


def environment(rest: str, values: Mapping[str, str | None]) -> Values:
    """Return what `ENV a=1 b=$a`, or the old form `ENV a 1`, sets; all values are taken before it."""
    pairs = [word.partition("=") for word in words(rest)]
    if pairs and not pairs[0][1]:
        name, _, value = rest.partition(" ")
        return {name: replace(value.strip(), values)}
    return {name: replace(value, values) for name, _, value in pairs}


def arguments(rest: str, values: Mapping[str, str | None], before: Mapping[str, str | None]) -> Values:
    """Return what `ARG a=1 b` declares; without a default the ARG `before` the first FROM gives it."""
    pairs = [word.partition("=") for word in words(rest)]
    return {
        name: replace(value, values) if equals else values.get(name, before.get(name))
        for name, equals, value in pairs
    }
