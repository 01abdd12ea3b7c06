"""What a prompt names: values for arguments, by name or by their looks."""

import re
from typing import Any

__all__ = ["Hints", "keys_in"]

_NONCE = re.compile(r"\bpt-[0-9a-f]{16}\b")
_QUOTED = re.compile(r"\"([^\"\n]+)\"|'([^'\n]+)'|`([^`\n]+)`|“([^”\n]+)”|「([^」\n]+)」|«([^»\n]+)»")
_NUMBER = re.compile(r"(?<![\w.:-])-?\d+(?:\.\d+)?(?![\w:]|-\d|\.\d)")
_NAME = r"(?<!\w)(?:[^\W\d_a-z][^\W_]+)"  # a word that begins with a capital, or in a script without case
_NAMES = re.compile(rf"{_NAME}(?:[ -]{_NAME})*(?:, [A-Z]{{2}}\b)?")
_ABOUT = re.compile(r"\b(?:in|about|for|at|of|named|called)\s+((?:the\s+)?\w[\w\s'-]*\w)", re.IGNORECASE)
_PREPOSITION = re.compile(r"\b(?:in|about|for|at|of|named|called)\s+$", re.IGNORECASE)
_SENTENCE = re.compile(r"(?:^|[.!?:\n]\s*)$")
_VERBATIM = frozenset({"query", "question", "prompt", "input", "text", "message", "content", "q", "task"})
_OPENER = re.compile(
    "a|add|an|and|answer|ask|book|call|create|do|extract|find|get|give|how|i|if|in|is|json|list|look|my|name|please"
    "|remove|return|save|say|search|send|tell|the|then|this|use|using|what|when|where|which|who|why|write|you",
    re.IGNORECASE,
)
_FILLER = re.compile(
    "a|an|and|as|at|by|for|in|is|it|of|on|or|that|the|then|there|this|to|use|using|with", re.IGNORECASE
)


class Hints:
    """The values that one prompt names; each is given out once."""

    def __init__(self, prompt: str = "") -> None:
        self._prompt = _NONCE.sub(" ", prompt)
        unquoted = _QUOTED.sub(lambda found: " " * len(found[0]), self._prompt)
        self._quoted = [next(filter(None, found.groups())) for found in _QUOTED.finditer(self._prompt)]
        names = [(_name(found, unquoted), found.start()) for found in _NAMES.finditer(unquoted)]
        names.sort(key=lambda name: not _PREPOSITION.search(unquoted[: name[1]]))
        self._names = [name for name, _ in names if name]
        self._about = [found[1] for found in _ABOUT.finditer(unquoted)]
        self._tokens = [token.strip(".,;:!?()[]{}\"'`<>") for token in self._prompt.split()]
        self._numbers = [_parsed(found[0]) for found in _NUMBER.finditer(self._prompt)]

    def named(self, name: str) -> list[Any]:
        """Return what stands behind `name`, as text and as number or truth value, or a number before it."""
        if not name:
            return []
        spoken = re.sub(r"[_\s-]+", r"[_ -]?", re.escape(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)))
        behind = re.compile(
            rf"(?<!\w)[\"'`]?{spoken}[\"'`]?([ \t]*(?:=|:|\bis\b|\bas\b|\bof\b|\bto\b)[ \t]*|[ \t]+|\()"
            rf"(?:{_QUOTED.pattern}|([\w.+@/-]*[\w/]))",
            re.IGNORECASE,
        )
        before = re.findall(rf"(?<![\w.-])(-?\d+(?:\.\d+)?)[ \t]+{spoken}(?!\w)", self._prompt, re.IGNORECASE)
        values: list[Any] = [_parsed(number) for number in before]
        for found in behind.finditer(self._prompt):
            text = next(filter(None, found.groups()[1:]), "")
            told = found[1].strip() or text[:1].isdigit() or found[0].endswith(tuple("\"'`”"))
            if told and not _FILLER.fullmatch(text):
                values += [_parsed(text), text]
        return values

    def strings(self, name: str) -> list[str]:
        """Return the texts that may be meant by an argument `name` that the prompt does not name."""
        whole = [self._prompt.strip()] if name.lower() in _VERBATIM and self._prompt.strip() else []
        return self._quoted + (whole or self._names + self._about)

    def tokens(self) -> list[str]:
        """Return all that may fit a format or a pattern."""
        return self._quoted + self._tokens

    def numbers(self) -> list[int | float]:
        """Return the numbers not given out yet."""
        return list(self._numbers)

    def mentions(self, word: str) -> bool:
        """Tell whether the prompt contains `word` as a word of its own."""
        return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", self._prompt, re.IGNORECASE) is not None

    def use(self, value: Any) -> None:
        """Do not give `value` out again."""
        for pool in (self._quoted, self._names, self._about, self._numbers):
            if value in pool and not isinstance(value, bool):
                pool.remove(value)


def keys_in(prompt: str) -> list[str]:
    """Return the JSON keys that a prompt asks for: identifiers in quotes or backticks."""
    quoted = [next(filter(None, found.groups())) for found in _QUOTED.finditer(prompt)]
    return list(dict.fromkeys(text for text in quoted if re.fullmatch(r"[^\W\d][\w-]*", text)))


def _name(found: re.Match[str], text: str) -> str:
    """Return the name without a word that has its capital because a sentence begins with it."""
    name = found[0]
    first, _, rest = name.partition(" ")
    begins = _SENTENCE.search(text[: found.start()]) is not None
    if name[0].islower():  # a letter with case that is not ASCII
        return ""
    if _OPENER.fullmatch(first) or (begins and not rest and first.isascii()):
        return rest
    return name


def _parsed(text: str) -> Any:
    """Return the number or truth value that a text says, else the text."""
    if text.lower() in ("true", "yes", "false", "no"):
        return text.lower() in ("true", "yes")
    for kind in (int, float):
        if re.fullmatch(r"-?\d+(\.\d+)?", text):
            try:
                return kind(text)
            except ValueError:
                continue
    return text
