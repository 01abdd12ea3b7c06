"""Toxics: what each one does to the bytes of one direction of one connection.

An effect maps a chunk that is due at one time to chunks that are due at the same or a later time. It never
waits itself, so several effects add up, and a seed makes them reproducible. To add a toxic: one class here.
"""

import enum
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from langchain_prodtest.errors import ToxiproxyError

__all__ = ["TOXICS", "Chunk", "Effect", "End", "Toxic", "read_attributes"]

_DAY = 86_400_000
_MAX = 2**63 - 1


class End(enum.Enum):
    """How a direction ends: the peer finished sending, both sides are closed, both sides are reset."""

    EOF = "eof"
    CLOSE = "close"
    RESET = "reset"


@dataclass(slots=True)
class Chunk:
    """Bytes, or an end, due at `at` (seconds of the event loop's clock)."""

    at: float
    data: bytes = b""
    end: End | None = None


@dataclass(slots=True)
class Toxic:
    """A toxic of a proxy; `toxicity` is the share of connections that it acts on."""

    name: str
    type: str
    stream: str
    toxicity: float = 1.0
    attributes: dict[str, int] = field(default_factory=dict)

    @property
    def upstream(self) -> bool:
        """Whether it acts on what clients send."""
        return self.stream.lower() == "upstream"


class Effect:
    """A toxic at work on one direction of one connection; this one passes everything (`noop`).

    The draw that decides whether it acts is made once per connection. At `deadline` (None: never) the
    connection is closed.
    """

    bounds: ClassVar[dict[str, int]] = {}
    """Attribute names and their largest values, in the order they are shown."""
    reads_ahead: ClassVar[bool] = False
    """Whether the sender may go on while its bytes are held back."""

    def __init__(self, toxic: Toxic, rng: random.Random, at: float) -> None:
        self.toxic = toxic
        self.rng = rng
        self.deadline: float | None = None
        self._draw = rng.random()
        self.start(at)

    @property
    def acts(self) -> bool:
        """Whether this connection is among the share that the toxic acts on."""
        return self._draw < self.toxic.toxicity

    def start(self, at: float) -> None:
        """Begin, or begin again with changed attributes."""

    def apply(self, chunk: Chunk) -> Iterator[Chunk]:
        """Yield what becomes of `chunk`."""
        yield chunk

    def removed(self) -> End | None:
        """Return the end that the removal of the toxic brings to this connection."""
        return None


class Latency(Effect):
    """Delays data by `latency` ± `jitter` ms; order is kept."""

    bounds = {"latency": _DAY, "jitter": _DAY}  # noqa: RUF012
    reads_ahead = True

    def apply(self, chunk: Chunk) -> Iterator[Chunk]:
        """Yield the chunk later; an end comes right after the last byte."""
        if chunk.end is None:
            delay, jitter = self.toxic.attributes["latency"], self.toxic.attributes["jitter"]
            delay += self.rng.randrange(-jitter, jitter) if jitter else 0
            chunk.at += max(0, delay) / 1000
        yield chunk


class Timeout(Effect):
    """Swallows data and closes after `timeout` ms without any; 0 never closes."""

    bounds = {"timeout": _DAY}  # noqa: RUF012

    def start(self, at: float) -> None:
        """Start the idle timer."""
        timeout = self.toxic.attributes["timeout"]
        self.deadline = at + timeout / 1000 if timeout else None

    def apply(self, chunk: Chunk) -> Iterator[Chunk]:
        """Swallow data; an end passes."""
        if chunk.end is not None:
            yield chunk
        elif self.deadline is not None and chunk.at > self.deadline:
            yield Chunk(self.deadline, end=End.CLOSE)
        else:
            self.start(chunk.at)

    def removed(self) -> End:
        """Close: bytes are missing, so the connection must not go on."""
        return End.CLOSE


class ResetPeer(Effect):
    """Resets both sides `timeout` ms after the first data or end."""

    bounds = {"timeout": _DAY}  # noqa: RUF012

    def apply(self, chunk: Chunk) -> Iterator[Chunk]:
        """Yield the reset."""
        yield Chunk(chunk.at + self.toxic.attributes["timeout"] / 1000, end=End.RESET)


class LimitData(Effect):
    """Closes the connection after `bytes` bytes, counted per connection."""

    bounds = {"bytes": _MAX}  # noqa: RUF012
    count = 0

    def apply(self, chunk: Chunk) -> Iterator[Chunk]:
        """Yield what is within the limit, then the end."""
        if chunk.end is not None:
            yield chunk
            return
        left = max(0, self.toxic.attributes["bytes"] - self.count)
        whole = len(chunk.data)
        if left:
            chunk.data = chunk.data[:left]
            self.count += len(chunk.data)
            yield chunk
        if whole >= left:
            yield Chunk(chunk.at, end=End.CLOSE)


TOXICS: dict[str, type[Effect]] = {
    "latency": Latency,
    "limit_data": LimitData,
    "noop": Effect,
    "reset_peer": ResetPeer,
    "timeout": Timeout,
}


def read_attributes(kind: str, given: dict[str, Any], before: dict[str, int]) -> dict[str, int]:
    """Return all attributes of a toxic type: those given, else those before, else 0; ToxiproxyError 400."""
    folded = {key.lower(): value for key, value in given.items() if value is not None}
    return {
        name: _read_integer(name, folded.get(name, before.get(name, 0)), bound)
        for name, bound in TOXICS[kind].bounds.items()
    }


def _read_integer(name: str, value: Any, bound: int) -> int:
    if type(value) is not int or not -_MAX <= value <= _MAX:
        raise ToxiproxyError(
            f"bad request body: attribute {name} must be a 64-bit integer, not {value!r:.80}", 400
        )
    if not 0 <= value <= bound:
        raise ToxiproxyError(f"attribute {name} must be from 0 to {bound}, not {value!r:.80}", 400)
    return value
