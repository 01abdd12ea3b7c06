"""What a model says and what goes wrong, as data: Reply and Fault."""

import math
import re
from collections.abc import Sequence
from random import Random
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from langchain_prodtest.errors import ScriptError

__all__ = ["Fault", "How", "Reply", "Step", "ToolCall", "Usage", "lognormal"]


class ToolCall(msgspec.Struct, frozen=True):
    """A call of the tool `name` that the model asks for; an empty `id` is filled in by the fake."""

    name: str
    args: dict[str, Any] = {}
    id: str = ""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts of one answer; `cached` is a part of `input`, `reasoning` a part of `output`."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0


class Reply(msgspec.Struct, frozen=True):
    """What a model says.

    `finish` is in OpenAI's words (`stop`, `length`, `tool_calls`, `content_filter`), or `refusal`: the text
    says why the model will not answer; empty means it follows from the content. `chunks` is the number of
    pieces a streamed text comes in (None: one a word). `first_token` and `per_chunk` are seconds. `usage`
    None means it is counted. `gaps`, the seconds before each piece as they were recorded or drawn
    (`lognormal`), take the place of `first_token` and `per_chunk`; the last one goes on.

    A model that calls a tool wrongly is a Reply too: its ToolCall has arguments that the schema forbids.
    """

    text: str = ""
    tool_calls: Sequence[ToolCall] = ()
    usage: Usage | None = None
    reasoning: str = ""
    finish: str = ""
    chunks: int | None = None
    first_token: float = 0.0
    per_chunk: float = 0.0
    gaps: Sequence[float] = ()

    def __post_init__(self) -> None:
        if not all(map(_is_time, self.gaps)) or (self.gaps and (self.first_token or self.per_chunk)):
            raise ScriptError("Reply: gaps are seconds, not negative, and replace first_token and per_chunk")
        if not (_is_time(self.first_token) and _is_time(self.per_chunk)):
            raise ScriptError("Reply: first_token and per_chunk are seconds and cannot be negative")
        if self.chunks is not None and self.chunks < 1:
            raise ScriptError(f"Reply: chunks must be at least 1, not {self.chunks}")

    @property
    def finish_reason(self) -> str:
        """The finish reason that is sent: the one given, else what follows from the content."""
        return self.finish or ("tool_calls" if self.tool_calls else "stop")

    @property
    def paced(self) -> bool:
        """Whether it takes time."""
        return bool(self.first_token or self.per_chunk or any(self.gaps))

    def gap(self, piece: int) -> float:
        """Return the seconds that piece `piece` (from 0) comes after the one before or the request."""
        if self.gaps:
            return self.gaps[min(piece, len(self.gaps) - 1)]
        return self.per_chunk if piece else self.first_token

    def due(self, piece: int) -> float:
        """Return the seconds after the request at which piece number `piece` (from 0) is due."""
        if not self.gaps:
            return self.first_token + piece * self.per_chunk
        beyond = max(0, piece + 1 - len(self.gaps))
        return math.fsum(self.gaps[: piece + 1]) + beyond * self.gaps[-1]

    @property
    def count(self) -> int:
        """The words and tool calls in it: about as many pieces as it is streamed in."""
        return len(Reply(self.reasoning).pieces()) + len(self.pieces()) + len(self.tool_calls)

    @property
    def seconds(self) -> float:
        """How long it takes: when the last of so many pieces is due."""
        return self.due(max(self.count, 1) - 1)

    def later(self, seconds: float) -> "Reply":
        """Return it with all pieces so much later."""
        if self.gaps:
            first, *rest = self.gaps
            return replace(self, gaps=[first + seconds, *(rest or [first])])
        return replace(self, first_token=self.first_token + seconds)

    def slower(self, factor: float) -> "Reply":
        """Return it with all times multiplied."""
        gaps = tuple(gap * factor for gap in self.gaps)
        times = {"first_token": self.first_token * factor, "per_chunk": self.per_chunk * factor}
        return replace(self, gaps=gaps, **times)

    def pieces(self) -> list[str]:
        """Cut the text into the pieces in which it is streamed; joined they are the text again."""
        words = re.findall(r"\s*\S+|\s+$", self.text)
        if self.chunks is None or self.chunks >= len(words):
            return words
        size, rest = divmod(len(words), self.chunks)
        sizes = [size + (i < rest) for i in range(self.chunks)]
        ends = [sum(sizes[: i + 1]) for i in range(self.chunks)]
        return ["".join(words[end - n : end]) for end, n in zip(ends, sizes, strict=True)]


def _is_time(seconds: float) -> bool:
    return 0 <= seconds < math.inf


def lognormal(median: float, sigma: float, count: int, seed: int = 0, first: float = 0.0) -> list[float]:
    """Return `count` gaps for a Reply, log-normally distributed; piece 0 waits `first` seconds more.

    `sigma` is the deviation of the logarithm: 0 is constant, 0.5 common, 1 a long tail. Same seed, same gaps.
    """
    if median <= 0 or sigma < 0 or count < 1:
        raise ScriptError("lognormal: median must be more than 0, sigma not negative, count at least 1")
    random = Random(seed)
    gaps = [random.lognormvariate(math.log(median), sigma) for _ in range(count)]
    return [first + gaps[0], *gaps[1:]]


How = Literal[
    "refuse", "reset", "eof", "clean_end", "hang", "stall", "drip", "garbage",
    "duplicate", "reorder", "missing", "error_event", "html", "empty", "error_body",
]  # fmt: skip
What = Literal["finish", "usage", "terminal"]
Framing = Literal["length", "chunked", "close"]
_CUTS = ("reset", "eof", "clean_end", "stall")
_AT_AN_EVENT = ("clean_end", "stall", "duplicate", "reorder")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong with one answer.

    Either `status` (the provider answers with an error of that HTTP status) or `how`:

    =========== =================================================================================
    refuse      the connection is reset as soon as it is accepted; no byte of the request is read
    reset       TCP reset (RST)
    eof         the connection is closed (FIN) though the body is not finished
    clean_end   the body ends as HTTP wants it, but finish reason and terminal marker never came
    hang        no byte is answered; the connection stays open
    stall       as hang, but after the first events
    drip        the whole answer, one byte every `delay` seconds
    garbage     an event that is not JSON, then the answer goes on
    duplicate   event number `after` comes twice (streams only)
    reorder     event number `after` and the one behind it change places (streams only)
    missing     just `what` is left out: the "finish" reason, the "usage", or the "terminal" marker
                (streams only)
    error_event the provider's own error event after `after` events, and the stream ends; for an
                answer that is not streamed, as error_body
    html        status 200 with a page of HTML
    empty       status 200 with `{}`
    error_body  status 200 with the provider's error object
    =========== =================================================================================

    `after` is the number of streamed events sent before it happens (0: before the response head;
    for an answer that is not streamed, bytes of the body count instead of events). `after_bytes` cuts
    (reset, eof, clean_end, stall) at a byte of the body instead, be it inside a character or an argument.
    `framing` says how a cut body is delimited: Content-Length ("length"), "chunked", or by the "close" of
    the connection, where no client can see that the end is missing; without it streams are chunked.
    `delay` is seconds before the fault shows. `retry_after` is sent as given (seconds, date, or nonsense).
    """

    status: int | None = None
    how: How | None = None
    after: int = 0
    delay: float = 0.0
    retry_after: float | str | None = None
    headers: dict[str, str] = {}
    body: str | None = None
    what: What | None = None
    after_bytes: int = 0
    framing: Framing | None = None

    def __post_init__(self) -> None:
        if (self.status is None) == (self.how is None):
            raise ScriptError('Fault: give either status (such as 503) or how (such as "reset")')
        if self.status is not None and not 400 <= self.status <= 599:
            raise ScriptError(f"Fault: status must be 400 to 599, not {self.status}")
        if self.after < 0 or self.after_bytes < 0 or not _is_time(self.delay):
            raise ScriptError("Fault: after, after_bytes and delay cannot be negative")
        if self.how in _AT_AN_EVENT and not (self.after or self.after_bytes):
            raise ScriptError(f"Fault: {self.how} happens inside an answer; give after=1 or more")
        if self.how is not None and (self.retry_after is not None or self.body is not None):
            raise ScriptError("Fault: retry_after and body belong to a status")
        if (self.how == "missing") != (self.what is not None):
            raise ScriptError('Fault: missing needs what ("finish", "usage" or "terminal"), and only missing')
        if self.after_bytes and (self.after or self.how not in _CUTS):
            raise ScriptError(f"Fault: after_bytes cuts an answer ({', '.join(_CUTS)}), and replaces after")
        if self.framing and (self.how not in _CUTS or not (self.after or self.after_bytes)):
            raise ScriptError(f"Fault: framing is about answers cut ({', '.join(_CUTS)}) inside the body")


Step = Reply | Fault
