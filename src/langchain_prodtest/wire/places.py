"""Where in a TOML or JSON text each key stands, so that a mistake can be told with its line."""

import re

__all__ = ["Place", "places"]

Place = tuple[str | int, ...]
"""The keys, and numbers of items from 0, that lead to a value."""

_TOKEN = re.compile(
    r"""
    \"{3}(?:\\.|[^\\])*?\"{3,5} | '{3}.*?'{3,5} | "(?:\\.|[^"\\])*" | '[^'\n]*'  # strings
    | \#[^\n]*  # a comment
    | [][{},=:\n]
    | [^][{},=:\n\#\s"']+
    """,
    re.VERBOSE | re.DOTALL,
)
_IN_STRINGS = re.compile(r"(?s)^(?:\"{3}|'{3}|\"|')(.*?)(?:\"{3}|'{3}|\"|')$")


def places(text: str) -> dict[Place, int]:
    """Return the line, from 1, of each key and item in `text`, which must be valid TOML or JSON."""
    return _Places(text).lines


class _Places:
    def __init__(self, text: str) -> None:
        self.lines: dict[Place, int] = {}
        self._tokens: list[tuple[str, int]] = []  # with their lines
        line, at = 1, 0
        for found in _TOKEN.finditer(text):
            line, at = line + text.count("\n", at, found.start()), found.start()
            if not found[0].startswith("#"):
                self._tokens.append((found[0], line))
        self._at = 0
        self._counts: dict[Place, int] = {}  # of the tables in each array of tables
        if text.lstrip().startswith("{"):
            self._value(())
        else:
            self._document()

    def _document(self) -> None:
        table: Place = ()
        while self._at < len(self._tokens):
            if self._skipped("\n"):
                continue
            if self._skipped("["):
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Place:
        many = self._skipped("[")
        line = self._tokens[self._at][1]
        path: Place = ()
        for key in self._key("]"):
            path = (*self._inside(path), key)
        self._skipped("]")
        if many:
            self._counts[path] = self._counts.get(path, 0) + 1
        path = self._inside(path)
        self.lines.setdefault(path, line)
        return path

    def _inside(self, path: Place) -> Place:
        return (*path, self._counts[path] - 1) if path in self._counts else path

    def _pair(self, path: Place) -> None:
        line = self._tokens[self._at][1]
        for key in self._key("=:"):
            path = (*path, key)
            self.lines.setdefault(path, line)
        self._value(path)

    def _key(self, ends: str) -> list[str]:
        keys: list[str] = []
        while (token := self._next()) not in ends:
            inside = _IN_STRINGS.match(token)
            keys += [inside[1]] if inside else [part for part in token.split(".") if part]
        return keys

    def _value(self, path: Place) -> None:
        while self._skipped("\n"):
            pass
        if self._skipped("{"):
            while not self._skipped("}"):
                if not (self._skipped(",") or self._skipped("\n")):
                    self._pair(path)
        elif self._skipped("["):
            number = 0
            while not self._skipped("]"):
                if not (self._skipped(",") or self._skipped("\n")):
                    self.lines[*path, number] = self._tokens[self._at][1]
                    self._value((*path, number))
                    number += 1
        else:
            while self._at < len(self._tokens) and self._tokens[self._at][0] not in (*",]}\n",):
                self._at += 1

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][0]

    def _skipped(self, token: str) -> bool:
        found = self._at < len(self._tokens) and self._tokens[self._at][0] == token
        self._at += found
        return found
