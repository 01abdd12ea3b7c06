"""Handles on the fake providers on the wire, and the environment that leads clients to them."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from langchain_prodtest.script import Call, Match, Request, Script, Step

__all__ = ["KEY", "FakeProvider", "FakeProviders", "redirected"]

KEY = "prodtest-fixture-key-not-a-secret"
SETTLE = 0.25
LOOPBACK = "127.0.0.1,localhost"

# What must be gone, because it would win over the base URL or change what is sent: each client reads
# OPENAI_API_BASE and LANGSMITH_GATEWAY before OPENAI_BASE_URL.
REMOVED = (
    "OPENAI_API_BASE",
    "OPENAI_PROXY",
    "OPENAI_CUSTOM_HEADERS",
    "OPENAI_ORG_ID",
    "OPENAI_ORGANIZATION",
    "OPENAI_PROJECT_ID",
    "LC_OUTPUT_VERSION",
)
REMOVED_PREFIX = "LANGSMITH_GATEWAY"

# Quiet what else would use the network beside the provider: tracers, telemetry, tokenizers, cost maps.
QUIET = {
    "NO_PROXY": LOOPBACK,
    "no_proxy": LOOPBACK,
    "AWS_EC2_METADATA_DISABLED": "true",
    "HF_HUB_OFFLINE": "1",
    "LANGSMITH_TRACING": "false",
    "LANGSMITH_TRACING_V2": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "NVIDIA_USAGE_TELEMETRY_ENABLED": "0",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}

# Functions that keep a client, or a variable, for the life of the process.
CACHES = {
    "langchain_openai.chat_models._client_utils": ("_cached_sync_httpx_client", "_cached_async_httpx_client"),
    "langsmith.utils": ("get_env_var",),
}


class FakeProvider:
    """One fake provider: where it listens, what it is to answer, what it was asked."""

    def __init__(self, name: str, url: str, providers: "FakeProviders") -> None:
        self.name, self.url, self._providers = name, url, providers

    def script(self, *steps: Step) -> None:
        """Answer this provider's next requests with `steps`, one each, in this order."""
        self._providers.journal.add(*steps, match=Match(provider=self.name))

    @property
    def calls(self) -> list[Call]:
        """The finished requests to this provider, oldest first."""
        return [call for call in self._providers.calls if call.provider == self.name]


class FakeProviders:
    """All fake providers of a test; they share one Script, so a step for no one in particular serves any.

    A mistake in a script shows on the wire as it is.
    """

    mistakes: Sequence[str] = ()

    def __init__(self, script: Script, urls: Mapping[str, str], open: Callable[[], list[Request]]) -> None:  # noqa: A002
        self.journal = script
        self._open = open
        self.openai = FakeProvider("openai", urls["openai"], self)

    def script(self, *steps: Step) -> None:
        """Answer the next requests to any provider with `steps`, one each, in this order."""
        self.journal.add(*steps)

    @property
    def calls(self) -> list[Call]:
        """The finished requests to all providers, oldest first.

        A client may have read its answer a moment before the server wrote the Call down; that moment is
        waited for. A request that hangs is not finished, and is left out after SETTLE seconds.
        """
        deadline = time.monotonic() + SETTLE
        while self._open() and time.monotonic() < deadline:
            self.journal.wait_for(len(self.journal.calls) + 1, SETTLE / 10)
        return self.journal.calls

    @property
    def open(self) -> list[Request]:
        """The requests that are being answered now."""
        return self._open()

    @property
    def unexpected(self) -> list[Call]:
        """The requests that came after their script was used up; the provider refused them."""
        return [call for call in self.calls if call.unexpected]


@contextmanager
def redirected(openai_url: str) -> Iterator[None]:
    """Lead every client that is built in this block to the fakes, by environment variables."""
    wanted: dict[str, str | None] = {**QUIET, "OPENAI_BASE_URL": openai_url, "OPENAI_API_KEY": KEY}
    wanted.update((name, None) for name in os.environ if name.startswith(REMOVED_PREFIX))
    wanted.update(dict.fromkeys(REMOVED))
    before = {name: os.environ.get(name) for name in wanted}
    _set(wanted)
    _clear_caches()
    try:
        yield
    finally:
        _set(before)
        _clear_caches()


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _clear_caches() -> None:
    """Forget cached clients, so that neither proxy settings nor event loops of another test survive."""
    for module, names in CACHES.items():
        for name in names:
            cached = getattr(sys.modules.get(module), name, None)
            if cached is not None:
                cached.cache_clear()
