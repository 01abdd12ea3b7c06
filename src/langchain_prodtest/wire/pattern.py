"""Texts that match a regular expression of the simple kind that JSON schemas contain.

Known: literals, escapes (`\\d \\w \\s \\.` and their kin), classes, groups, `|`, `.`, anchors, and the
quantifiers `? * + {m,n}`. Look-around, back references and Unicode categories are not: `matching` then yields
what it can read, and whoever asks must check it.
"""

import string
from collections.abc import Iterator
from random import Random

__all__ = ["matching"]

_WORD = string.ascii_lowercase + string.digits
_KINDS = {"d": string.digits, "w": _WORD, "s": " ", "D": string.ascii_lowercase, "W": "-", "S": _WORD}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r"}
_PRINTABLE = string.ascii_letters + string.digits + " -_.,:;/+*=!?#@$%&()[]{}<>|~^'\"`\\"
_MOST = 64  # repetitions of one part, at most


def matching(pattern: str, random: Random) -> Iterator[str]:
    """Yield some texts for `pattern`, each with more repetitions than the one before."""
    for more in (0, 1, 2, 4, 8, 16, 32, 64):
        try:
            yield _Reader(pattern, random, more).alternatives()
        except (IndexError, ValueError):
            return


class _Reader:
    """Reads a pattern from left to right and writes a text for it."""

    def __init__(self, pattern: str, random: Random, more: int) -> None:
        self._pattern, self._random, self._more = pattern, random, more
        self._at = 0

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self) -> str:
        self._at += 1
        return self._pattern[self._at - 1]

    def alternatives(self) -> str:
        branches = [self._sequence()]
        while self._peek() == "|":
            self._take()
            branches.append(self._sequence())
        return self._random.choice(branches)

    def _sequence(self) -> str:
        text = ""
        while self._peek() not in ("", "|", ")"):
            start = self._at
            text += self._atom()
            least, most = self._quantifier()
            again = self._at
            count = min(least + self._more, most)
            if count == 0:
                text = text[: len(text) - self._written]
            for _ in range(count - 1):
                self._at = start
                text += self._atom()
            self._at = again
        return text

    def _atom(self) -> str:
        atom = self._read_atom()
        self._written = len(atom)
        return atom

    def _read_atom(self) -> str:
        match self._take():
            case "^" | "$":
                return ""
            case ".":
                return self._random.choice(_WORD)
            case "(":
                return self._group()
            case "[":
                return self._random.choice(self._members())
            case "\\":
                return self._escape()
            case character:
                return character

    def _group(self) -> str:
        if self._peek() == "?":
            self._take()
            if self._peek() == "P":
                self._take()
            if self._peek() == "<" and self._pattern[self._at + 1] not in "=!":
                self._at = self._pattern.index(">", self._at) + 1
            elif self._take() != ":":
                raise ValueError("look-around and flags are not known")
        text = self.alternatives()
        self._take()
        return text

    def _escape(self) -> str:
        kind = self._take()
        if kind in "bBAZz":
            return ""
        return self._random.choice(_KINDS.get(kind) or _CONTROLS.get(kind, kind))

    def _members(self) -> str:
        """Return the characters of a class, or of those not in it."""
        negated = self._peek() == "^"
        if negated:
            self._take()
        members = ""
        while self._peek() != "]" or not members:
            character = self._take()
            if character == "\\":
                kind = self._take()
                character = _KINDS.get(kind) or _CONTROLS.get(kind, kind)
            if self._peek() == "-" and self._pattern[self._at + 1] != "]":
                self._take()
                end = self._take()
                members += "".join(map(chr, range(ord(character), ord(end) + 1)))
            else:
                members += character
        self._take()
        return "".join(c for c in _PRINTABLE if c not in members) if negated else members

    def _quantifier(self) -> tuple[int, int]:
        """Return the least and the most repetitions that are asked for."""
        match self._peek():
            case "?":
                bounds = 0, 1
            case "*":
                bounds = 0, _MOST
            case "+":
                bounds = 1, _MOST
            case "{" if self._pattern[self._at + 1].isdecimal():
                end = self._pattern.index("}", self._at)
                least, comma, most = self._pattern[self._at + 1 : end].partition(",")
                self._at = end
                bounds = int(least), int(most or _MOST if comma else least)
            case _:
                return 1, 1
        self._at += 1
        if self._peek() in ("?", "+"):
            self._take()
        return bounds
