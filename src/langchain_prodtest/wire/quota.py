"""A provider's rate limit: requests and tokens per minute, in buckets that refill."""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.measure import now
from langchain_prodtest.script import Fault, Request, text_of
from langchain_prodtest.wire.tokens import count_tokens

__all__ = ["Quota"]

_MOST_TOKENS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_SILENT = ("bedrock", "ollama", "gemini", "cohere")  # providers that tell nothing of their limits in headers


class Quota:
    """A rule for `Script.rule`: lets requests through while there is quota, else answers 429.

    `requests` and `tokens` are per minute; both buckets are full at first and refill evenly. A request costs
    its prompt's tokens and what it allows the answer (`max_tokens`), at most a whole bucket; one that is
    refused costs nothing. The 429 carries `retry-after` (whole seconds until it would pass) and the
    rate-limit headers of the `dialect`, the provider's name unless given. Answers that pass carry none.
    """

    def __init__(
        self,
        requests: int | None = None,
        tokens: int | None = None,
        *,
        dialect: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if requests is None and tokens is None:
            raise ScriptError("Quota: give requests, tokens or both, per minute")
        self._buckets = {
            kind: _Bucket(size, clock)
            for kind, size in (("requests", requests), ("tokens", tokens))
            if size is not None
        }
        self._dialect = dialect

    def __call__(self, request: Request) -> Fault | None:
        """Return None and take from the buckets, or the 429."""
        costs = {"requests": 1.0, "tokens": float(_tokens(request))}
        waits = [bucket.wait(costs[kind]) for kind, bucket in self._buckets.items()]
        if max(waits) == 0:
            for kind, bucket in self._buckets.items():
                bucket.take(costs[kind])
            return None
        seconds = math.ceil(max(waits))
        return Fault(
            status=429, retry_after=seconds, headers=self._headers(self._dialect or request.provider)
        )

    def _headers(self, dialect: str) -> dict[str, str]:
        if dialect in _SILENT:
            return {}
        anthropic = dialect == "anthropic"
        headers: dict[str, str] = {}
        for kind, bucket in self._buckets.items():
            told = {
                "limit": str(bucket.size),
                "remaining": str(int(bucket.level())),
                "reset": _moment(bucket.until_full()) if anthropic else f"{bucket.until_full():.3f}s",
            }
            for what, value in told.items():
                headers[
                    f"anthropic-ratelimit-{kind}-{what}" if anthropic else f"x-ratelimit-{what}-{kind}"
                ] = value
        return headers


class _Bucket:
    """Refills evenly from empty to `size` in a minute."""

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        if size < 1:
            raise ScriptError(f"Quota: a limit per minute must be at least 1, not {size}")
        self.size, self._clock = size, clock
        self._level, self._at = float(size), clock()

    def level(self) -> float:
        at = self._clock()
        self._level = min(self.size, self._level + (at - self._at) * self.size / 60)
        self._at = at
        return self._level

    def wait(self, cost: float) -> float:
        """Return the seconds until it holds `cost`, or all that it can hold."""
        return max(0.0, min(cost, self.size) - self.level() - 1e-9) * 60 / self.size

    def take(self, cost: float) -> None:
        self._level = max(0.0, self.level() - cost)

    def until_full(self) -> float:
        return (self.size - self.level()) * 60 / self.size


def _tokens(request: Request) -> int:
    allowed = next((most for name in _MOST_TOKENS if isinstance(most := request.body.get(name), int)), 0)
    return count_tokens(text_of(request.messages)) + allowed


def _moment(seconds: float) -> str:
    return (datetime.fromtimestamp(now(), UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
