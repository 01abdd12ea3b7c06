"""What all protocols share: a question is a JSON body that is posted."""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from langchain_prodtest.config import Target
from langchain_prodtest.errors import UsageError
from langchain_prodtest.load.framing import Event, EventParser
from langchain_prodtest.load.reading import Reading

__all__ = ["Parser", "Posted", "unreadable"]

_VARIABLE = re.compile(r"\$(\w+)")


class Parser(Protocol):
    """Turns the bytes of a body into events."""

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events that this chunk completes."""

    def close(self) -> list[Event]:
        """Return what the end of the body completes."""


class Posted(ABC):
    """A way to ask and to read. A new protocol gives its class attributes, `read` and `speak`.

    `template` is the body; `{prompt}` and `{model}` in its strings are filled in. [target] may replace it
    and add headers, where `$NAME` stands for an environment variable. `at_end` tells what the clean end of a
    body means where no terminal marker came before it.
    """

    path = "/"
    template: Mapping[str, Any] = {}
    headers: Mapping[str, str] = {}
    parser: Callable[[], Parser] = EventParser
    at_end: Literal["closed", "complete"] = "closed"

    def __init__(self, target: Target = Target()) -> None:  # noqa: B008 - frozen
        self._template = target.body or self.template
        self._model = target.model
        self.headers = {**self.headers, **{name: _expanded(value) for name, value in target.headers.items()}}

    def body(self, prompt: str) -> bytes:
        """Return the JSON body that asks `prompt`."""
        return msgspec.json.encode(_filled(self._template, {"{prompt}": prompt, "{model}": self._model}))

    @abstractmethod
    def read(self, event: Event) -> Reading:
        """Return what an event says; an event that says nothing gives an empty Reading."""

    @abstractmethod
    def speak(self, pieces: Sequence[str]) -> bytes:
        """Return the body of a complete answer that says `pieces`, as such a service would send it."""


def unreadable(event: Event) -> Reading:
    """Return the in-band error of an event that is not what its protocol says."""
    return Reading(ending="error_event", detail=f"unreadable {event.name} event: {event.data[:80]}")


def _filled(template: Any, values: Mapping[str, str]) -> Any:
    if isinstance(template, str):
        parts = re.split(r"(\{prompt\}|\{model\})", template)  # once: a prompt that holds "{model}" stays
        return "".join(values.get(part, part) for part in parts)
    if isinstance(template, Mapping):
        return {key: _filled(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, values) for value in template]
    return template


def _expanded(value: str) -> str:
    def variable(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise UsageError(f"[target] headers: the environment variable {match[1]} is not set; export it")
        return os.environ[match[1]]

    found = _VARIABLE.sub(variable, value)
    if not found.isprintable() or not found.isascii():
        raise UsageError("[target] headers: a value may hold printable ASCII only")
    return found
