"""Events out of a byte stream that may be cut anywhere: server-sent, one a line, or one a body.

Source of the first: https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6.
"""

from typing import NamedTuple

__all__ = ["Event", "EventParser", "FramingError", "LineParser", "WholeParser"]

MAX_EVENT = 1 << 20  # bytes


class Event(NamedTuple):
    """One event; `name` is "message" where the stream names none."""

    name: str
    data: str


class FramingError(ValueError):
    """The stream holds an event that is larger than any answer of use."""


class EventParser:
    """Turns bytes into events; lines may end in LF, CRLF or CR, and any of it may be split.

    A named event without data, which browsers skip, is an event: LangServe ends its streams with one.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._skip_lf = False
        self._first = True
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events that this chunk completes; FramingError for one over 1 MiB."""
        if self._skip_lf and chunk:
            self._skip_lf = False
            if chunk[0] == 0x0A:
                chunk = chunk[1:]
        if b"\r" in chunk:
            self._skip_lf = chunk[-1] == 0x0D
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MAX_EVENT:
            raise FramingError(f"an event is larger than {MAX_EVENT} bytes")
        events: list[Event] = []
        for line in lines:
            if line:
                self._take(line)
            elif self._data or self._name:
                text = b"\n".join(self._data).decode("utf-8", "replace")
                events.append(Event(self._name or "message", text))
                self._name, self._data, self._size = "", [], 0
        return events

    def close(self) -> list[Event]:
        """Return nothing: an event that no blank line ended is discarded."""
        return []

    def _take(self, line: bytes) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._size += len(value)
            if self._size > MAX_EVENT:
                raise FramingError(f"an event is larger than {MAX_EVENT} bytes")
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")


class LineParser:
    """Turns bytes into one event a line (NDJSON); empty lines are none."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events that this chunk completes; FramingError for one over 1 MiB."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MAX_EVENT:
            raise FramingError(f"a line is larger than {MAX_EVENT} bytes")
        return [_message(line) for line in lines if line.strip()]

    def close(self) -> list[Event]:
        """Return the last line, if no line feed ended it."""
        return [_message(self._rest)] if self._rest.strip() else []


class WholeParser:
    """Takes the whole body for one event."""

    def __init__(self) -> None:
        self._body = b""

    def feed(self, chunk: bytes) -> list[Event]:
        """Return nothing yet; FramingError for a body over 1 MiB."""
        self._body += chunk
        if len(self._body) > MAX_EVENT:
            raise FramingError(f"the body is larger than {MAX_EVENT} bytes")
        return []

    def close(self) -> list[Event]:
        """Return the event."""
        return [_message(self._body)]


def _message(data: bytes) -> Event:
    return Event("message", data.decode("utf-8", "replace").strip())
