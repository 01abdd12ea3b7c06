"""What a toxic is, and what it may do to the bytes of one direction of one connection.

An effect maps a chunk that is due at one time to chunks that are due at the same or a later time. It never
waits itself, so several effects add up, and a seed makes them reproducible.
"""

import enum
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from langchain_prodtest.toxiproxy.attributes import Number

__all__ = ["CHUNK", "Chunk", "Effect", "End", "Plan", "Toxic"]


CHUNK = 32 * 1024
"""The largest chunk, in bytes: the original's."""


class End(enum.Enum):
    """How a direction ends: the peer finished sending or was lost, both sides are closed, or reset."""

    EOF = "eof"
    LOST = "reset"
    CLOSE = "close"
    RESET = "reset_peer"


@dataclass(slots=True)
class Chunk:
    """Bytes, or an end, due at `at` (seconds of the event loop's clock)."""

    at: float
    data: bytes = b""
    end: End | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """When and on which connections a toxic acts: an extension of this server.

    It begins `start` ms after it was added, reaches its toxicity linearly within `ramp` ms, and is removed
    `duration` ms after its start. It acts on the first `connections` it meets; a `shared` bandwidth is one
    line for all connections.
    """

    start: int = 0
    duration: int | None = None
    ramp: int = 0
    connections: int | None = None
    shared: bool = False


@dataclass(slots=True)
class Toxic:
    """A toxic of a proxy; `toxicity` is the share of connections that it acts on."""

    name: str
    type: str
    stream: str
    toxicity: float = 1.0
    attributes: dict[str, float] = field(default_factory=dict)
    plan: Plan = Plan()
    added: float = 0.0
    met: int = 0
    free_at: float = 0.0
    """When the line of a shared bandwidth is free again."""

    @property
    def upstream(self) -> bool:
        """Whether it acts on what clients send."""
        return self.stream.lower() == "upstream"


class Effect:
    """A toxic at work on one direction of one connection; this one, `noop`, passes everything.

    The draw that decides whether it acts is made once per connection. At `deadline` (None: never) the
    connection is closed. `strict` is the behaviour of Toxiproxy 2.12 where later ones differ.
    """

    type: ClassVar[str] = "noop"
    numbers: ClassVar[Mapping[str, Number]] = {}
    """The attributes, in the order they are shown."""
    reads_ahead: ClassVar[bool] = False
    """Whether the sender may go on while its bytes are held back."""
    restarts: ClassVar[bool] = False
    """Whether an update lets what is held wait anew, instead of letting it go."""
    since_2_13: ClassVar[bool] = False
    """Whether Toxiproxy 2.12 does not know it; strict mode then does not either."""

    def __init__(self, toxic: Toxic, rng: random.Random, at: float, strict: bool = False) -> None:
        self.toxic = toxic
        self.rng = rng
        self.strict = strict
        self.deadline: float | None = None
        self.waits = False
        self.redraw()
        self.start(at)

    @classmethod
    def check(cls, attributes: Mapping[str, float]) -> None:
        """Refuse (ToxiproxyError 400) attributes that contradict each other."""

    @property
    def acts(self) -> bool:
        """Whether this connection is among the share that the toxic acts on."""
        return self._draw < self.toxic.toxicity and not self.waits

    @property
    def takes(self) -> int:
        """The bytes that it should get at once at most: more may take longer than a turn should."""
        return CHUNK

    @property
    def begins_after(self) -> float:
        """Seconds from the adding of the toxic until it acts here: its start, and our place in the ramp."""
        plan = self.toxic.plan
        place = self._draw / self.toxic.toxicity if plan.ramp and self.toxic.toxicity else 0.0
        return (plan.start + plan.ramp * place) / 1000

    def redraw(self) -> None:
        """Decide anew whether this connection is among the share."""
        self._draw = self.rng.random()

    def start(self, at: float) -> None:
        """Begin, or begin again with changed attributes."""

    def apply(self, chunk: Chunk) -> Iterator[Chunk]:
        """Yield what becomes of `chunk`."""
        yield chunk

    def removed(self) -> End | None:
        """Return the end that the removal of the toxic brings to this connection."""
        return None
