"""What the plugin's fixtures build: it takes a script, a server and an environment together."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from langchain_prodtest.marker import Options
from langchain_prodtest.replay import Rehearsal, Replay

if TYPE_CHECKING:
    from langchain_prodtest.fakes.providers import FakeProviders

__all__ = ["script_for", "served"]


def script_for(options: Options | None, replay: Replay | None) -> Rehearsal:
    """Return an empty Script; with the option `auto` its default is a model that helps itself."""
    if options is None or not options.auto:
        return Rehearsal(replay=replay)
    from langchain_prodtest.wire.auto import auto

    return Rehearsal(auto, replay)


@contextmanager
def served(options: Options | None, replay: Replay | None) -> Iterator["FakeProviders"]:
    """Serve every provider, and lead clients there, by base URL or (option `transparent`) by proxy.

    Where pytest-socket forbids ports, the server listens on a UNIX socket.
    """
    from langchain_prodtest.fakes.environment import directed, redirected
    from langchain_prodtest.fakes.providers import FakeProviders
    from langchain_prodtest.fakes.unix import led_to_a_file, led_url
    from langchain_prodtest.isolation.policy import ports_are_forbidden
    from langchain_prodtest.isolation.tokenizer import offline_tokenizer
    from langchain_prodtest.wire.providers import PROVIDERS
    from langchain_prodtest.wire.server import FakeServer

    script, transparent = script_for(options, replay), options is not None and options.transparent
    mounts = {name: name for name in PROVIDERS}
    with (
        led_to_a_file() if ports_are_forbidden(transparent) else nullcontext() as unix,
        FakeServer(script, mounts, transparent=transparent, unix=unix) as server,
        offline_tokenizer(),
    ):
        urls = {name: server.url(name) if unix is None else led_url(server.url(name)) for name in PROVIDERS}
        with directed(server.environment(), urls) if transparent else redirected(urls):
            yield FakeProviders(script, urls, lambda: server.open, unix)
    for owner in sorted({call.real_key for call in script.calls} - {""}):
        text = (
            f"A key that looks like a real one of {owner} reached a fake provider, which keeps it nowhere. "
        )
        warnings.warn(
            f"{text}Let the code take its key from the environment, as the fixture sets it.", stacklevel=1
        )
