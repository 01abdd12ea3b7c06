"""A service of one's own, by a few lines of configuration:

    [target]
    protocol = "mapped"
    body     = { question = "{prompt}" }
    answer   = { framing = "ndjson", text = "delta.text", done = "finished", error = "error.message" }

`text` and `error` are paths into each event's JSON (`choices.0.delta.content`). `done` names an event, is the
whole data of one, or a path to something true; without it, the end of the body ends the answer.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from langchain_prodtest.config import Target
from langchain_prodtest.errors import UsageError
from langchain_prodtest.load.framing import Event, EventParser, LineParser, WholeParser
from langchain_prodtest.load.protocols.posted import Parser, Posted, unreadable
from langchain_prodtest.load.reading import Reading

__all__ = ["Mapped"]

PARSERS: dict[str, Callable[[], Parser]] = {"sse": EventParser, "ndjson": LineParser, "json": WholeParser}


class Mapped(Posted):
    """See the module."""

    def __init__(self, target: Target) -> None:
        if not target.body or not target.answer.text:
            raise UsageError(
                '[target] protocol "mapped" needs body = { ... "{prompt}" } and answer = { text = "path" }'
            )
        super().__init__(target)
        self._answer = target.answer
        self.parser = PARSERS[target.answer.framing]
        self.at_end = "closed" if target.answer.done else "complete"

    def read(self, event: Event) -> Reading:
        """Return what an event says."""
        answer = self._answer
        if answer.done in (event.name, event.data):
            return Reading(ending="complete")
        try:
            data = msgspec.json.decode(event.data)
        except msgspec.MsgspecError:
            return unreadable(event)
        if error := _at(data, answer.error):
            return Reading(ending="error_event", detail=str(error))
        text = _at(data, answer.text)
        return Reading(
            text=text if isinstance(text, str) else "", ending="complete" if _at(data, answer.done) else ""
        )

    def speak(self, pieces: Sequence[str]) -> bytes:
        """Return the body of a complete answer."""
        answer = self._answer
        if answer.framing == "json":
            return msgspec.json.encode(_nested(answer.text, "".join(pieces)))
        said = [msgspec.json.encode(_nested(answer.text, piece)) for piece in pieces]
        end = [msgspec.json.encode(_nested(answer.done, True))] if answer.done else []
        if answer.framing == "ndjson":
            return b"".join(line + b"\n" for line in said + end)
        return b"".join(b"data: %b\n\n" % data for data in said + end)


def _at(data: Any, path: str) -> Any:
    """Return what lies at a path, None where it ends."""
    for key in path.split(".") if path else [""]:
        if isinstance(data, dict):
            data = data.get(key)
        elif isinstance(data, list) and key.isdecimal() and int(key) < len(data):
            data = data[int(key)]
        else:
            return None
    return data


def _nested(path: str, value: Any) -> Any:
    """Return the smallest JSON that has `value` at `path`."""
    for key in reversed(path.split(".")):
        value = [*([None] * int(key)), value] if key.isdecimal() else {key: value}
    return value
