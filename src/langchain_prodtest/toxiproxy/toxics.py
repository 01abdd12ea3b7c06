"""The toxics, a class each, on top of `effect`. To add one: its class here, and its name in TOXICS."""

import math
from collections.abc import Iterator, Mapping

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.attributes import COUNT, SHARE, TIME, Number
from langchain_prodtest.toxiproxy.effect import CHUNK, Chunk, Effect, End

__all__ = ["TOXICS", "Connect"]


class Latency(Effect):
    """Delays data by `latency` ± `jitter` ms; order is kept."""

    type = "latency"
    numbers = {"latency": TIME, "jitter": TIME}  # noqa: RUF012
    reads_ahead = True

    @classmethod
    def check(cls, attributes: Mapping[str, float]) -> None:
        """Refuse a jitter whose double has more than 64 bits: it ends the original."""
        if abs(attributes["jitter"]) > 2**62:
            raise ToxiproxyError("attribute jitter must be below 2^62", 400)

    def apply(self, chunk: Chunk) -> Iterator[Chunk]:
        """Yield the chunk later; an end comes right after the last byte."""
        if chunk.end is None:
            delay, jitter = self.toxic.attributes["latency"], int(self.toxic.attributes["jitter"])
            delay += self.rng.randrange(-jitter, jitter) if jitter > 0 else 0
            chunk.at += max(0, delay) / 1000
        yield chunk


class Bandwidth(Effect):
    """Lets `rate` KB (1000 bytes) a second pass, in slices of 100 ms; 0 is unlimited (strict: a stall)."""

    type = "bandwidth"
    numbers = {"rate": COUNT}  # noqa: RUF012
    free_at = 0.0

    @classmethod
    def check(cls, attributes: Mapping[str, float]) -> None:
        """Refuse a negative rate: it ends the original."""
        if attributes["rate"] < 0:
            raise ToxiproxyError(f"attribute rate must not be negative, but is {attributes['rate']}", 400)

    def apply(self, chunk: Chunk) -> Iterator[Chunk]:
        """Yield slices, each when the line has carried it."""
        rate = int(self.toxic.attributes["rate"])
        if chunk.end is not None or (rate == 0 and not self.strict):
            yield chunk
        elif rate == 0:
            yield Chunk(math.inf, chunk.data)
        else:
            line = self.toxic if self.toxic.plan.shared else self
            line.free_at = max(line.free_at, chunk.at)
            for begin in range(0, len(chunk.data), rate * 100):
                data = chunk.data[begin : begin + rate * 100]
                line.free_at += len(data) / (rate * 1000)
                yield Chunk(line.free_at, data)

    def start(self, at: float) -> None:
        """Forget what the line still owed: it goes out at once."""
        self.free_at = at


class SlowClose(Effect):
    """Holds the end of data back for `delay` ms."""

    type = "slow_close"
    numbers = {"delay": TIME}  # noqa: RUF012
    restarts = True
    _held: Chunk | None = None

    def start(self, at: float) -> None:
        """Let an end that is held wait the whole delay again."""
        if self._held is not None:
            self._held.at = at + max(0, self.toxic.attributes["delay"]) / 1000

    def apply(self, chunk: Chunk) -> Iterator[Chunk]:
        """Yield data as it is, the end later."""
        if chunk.end is not None:
            self._held = chunk
            self.start(chunk.at)
        yield chunk


class Timeout(Effect):
    """Swallows data and closes after `timeout` ms without any; 0 never closes."""

    type = "timeout"
    numbers = {"timeout": TIME}  # noqa: RUF012

    def start(self, at: float) -> None:
        """Start the idle timer."""
        timeout = self.toxic.attributes["timeout"]
        self.deadline = at + timeout / 1000 if timeout > 0 else None

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

    type = "reset_peer"
    numbers = {"timeout": TIME}  # noqa: RUF012

    def apply(self, chunk: Chunk) -> Iterator[Chunk]:
        """Yield the reset."""
        yield Chunk(chunk.at + max(0, self.toxic.attributes["timeout"]) / 1000, end=End.RESET)


class Slicer(Effect):
    """Cuts data into pieces of `average_size` ± `size_variation` bytes, `delay` µs after each."""

    type = "slicer"
    numbers = {"average_size": COUNT, "size_variation": COUNT, "delay": Number(86_400_000_000)}  # noqa: RUF012
    free_at = 0.0

    @classmethod
    def check(cls, attributes: Mapping[str, float]) -> None:
        """Refuse sizes that no piece can have: they end Toxiproxy 2.12, and 2.13 refuses them."""
        average, variation = attributes["average_size"], attributes["size_variation"]
        if average <= 0:
            raise ToxiproxyError(f"attribute average_size must be above 0, not {average}", 400)
        if not -average < variation <= average:
            raise ToxiproxyError(
                f"attribute size_variation must be from 0 to average_size ({average}), not {variation}", 400
            )

    def apply(self, chunk: Chunk) -> Iterator[Chunk]:
        """Yield the pieces; the delay comes after the last one too."""
        self.free_at = max(self.free_at, chunk.at)
        if chunk.end is not None:
            chunk.at = self.free_at
            yield chunk
            return
        delay = max(0, self.toxic.attributes["delay"]) / 1_000_000
        for begin, end in self._cut(0, len(chunk.data)):
            yield Chunk(self.free_at, chunk.data[begin:end])
            self.free_at += delay

    @property
    def takes(self) -> int:
        """So many bytes as make some hundred pieces; halves of a chunk, since it halves chunks anyway."""
        size = CHUNK
        while size > 512 * self.toxic.attributes["average_size"]:
            size //= 2
        return size

    def start(self, at: float) -> None:
        """Forget the delay after the last piece."""
        self.free_at = at

    def _cut(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """Halve, ± variation, until a piece is small enough: the original's way."""
        average = int(self.toxic.attributes["average_size"])
        variation = int(self.toxic.attributes["size_variation"])
        if end - begin - average <= variation:
            yield begin, end
            return
        middle = begin + (end - begin) // 2
        middle += self.rng.randrange(-variation, variation) if variation > 0 else 0
        middle = max(begin + 1, min(end - 1, middle))
        yield from self._cut(begin, middle)
        yield from self._cut(middle, end)


class LimitData(Effect):
    """Closes the connection after `bytes` bytes, counted per connection."""

    type = "limit_data"
    numbers = {"bytes": COUNT}  # noqa: RUF012
    count = 0

    def apply(self, chunk: Chunk) -> Iterator[Chunk]:
        """Yield what is within the limit, then the end."""
        if chunk.end is not None:
            yield chunk
            return
        left = max(0, int(self.toxic.attributes["bytes"]) - self.count)
        whole = len(chunk.data)
        if left:
            chunk.data = chunk.data[:left]
            self.count += len(chunk.data)
            yield chunk
        if whole >= left:
            yield Chunk(chunk.at, end=End.CLOSE)


class CloseAfter(Effect):
    """Closes the connection `after` ms, also while data flows: an extension of this server."""

    type = "prodtest_close"
    numbers = {"after": TIME}  # noqa: RUF012
    since_2_13 = True

    def start(self, at: float) -> None:
        """Start the timer."""
        self.deadline = at + self.toxic.attributes["after"] / 1000


class Connect(Effect):
    """Leaves attempts to connect unanswered (`refuse` 0) or refuses them (1): an extension of this server.

    Open connections go on. It acts on the listener (see `Proxy`), so it has no toxicity.
    """

    type = "prodtest_connect"
    numbers = {"refuse": Number(1)}  # noqa: RUF012
    since_2_13 = True


class PacketLoss(Effect):
    """Drops a chunk with probability `loss_rate`, plus `correlation` after a drop: the stream is corrupt."""

    type = "packet_loss"
    numbers = {"loss_rate": SHARE, "correlation": SHARE}  # noqa: RUF012
    since_2_13 = True
    _dropped = False

    def apply(self, chunk: Chunk) -> Iterator[Chunk]:
        """Yield the chunk, or nothing."""
        rate = self.toxic.attributes["loss_rate"]
        if self._dropped:
            rate = min(1, rate + self.toxic.attributes["correlation"])
        self._dropped = chunk.end is None and self.rng.random() < rate
        if not self._dropped:
            yield chunk


TOXICS: dict[str, type[Effect]] = {
    each.type: each
    for each in (
        *(Bandwidth, CloseAfter, Connect, Effect, Latency, LimitData, PacketLoss),
        *(ResetPeer, Slicer, SlowClose, Timeout),
    )
}
