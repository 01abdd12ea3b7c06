"""Handles on the fake providers on the wire."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from langchain_prodtest.errors import unknown_name
from langchain_prodtest.script import Call, Match, Request, Script, Step

__all__ = ["FakeProvider", "FakeProviders"]

SETTLE = 0.25


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

    Each is an attribute: `fake_providers.openai`, `fake_providers.anthropic`, ... A mistake in a script
    shows on the wire as it is. `unix` is the socket file that they listen on in place of a port, or None.
    """

    mistakes: Sequence[str] = ()

    def __init__(
        self,
        script: Script,
        urls: Mapping[str, str],
        open: Callable[[], list[Request]],  # noqa: A002
        unix: Path | None = None,
    ) -> None:
        self.journal, self.unix = script, unix
        self._open = open
        self._providers = {name: FakeProvider(name, url, self) for name, url in urls.items()}

    def __getattr__(self, name: str) -> FakeProvider:
        if name.startswith("_") or name not in self._providers:
            raise AttributeError(unknown_name("provider", name, self.__dict__.get("_providers", {})))
        return self._providers[name]

    @property
    def port(self) -> int | None:
        """The port that all of them listen on; None on a UNIX socket."""
        return None if self.unix else urlsplit(next(iter(self._providers.values())).url).port

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
