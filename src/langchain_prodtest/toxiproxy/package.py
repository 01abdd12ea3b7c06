"""Objects of the package toxiproxy-python, taken where a client of this package is asked for."""

import sys
from typing import Any

from langchain_prodtest.errors import UsageError
from langchain_prodtest.toxiproxy.client import Proxy, Toxiproxy

__all__ = ["adopt_proxy", "adopt_toxiproxy"]


def adopt_toxiproxy(given: Any) -> Toxiproxy:
    """Return the client that `given` is, or one for the server that toxiproxy-python's object talks to now.

    The package keeps host and port on a class: two of its objects cannot talk to two servers.
    """
    if isinstance(given, Toxiproxy):
        return given
    if _is_of_the_package(given, "Toxiproxy"):
        consumer = sys.modules["toxiproxy.api"].APIConsumer
        return Toxiproxy(f"http://{consumer.host}:{consumer.port}")
    raise UsageError(f"a Toxiproxy is needed, not {given!r:.80}")


def adopt_proxy(given: Any) -> Proxy:
    """Return the proxy that `given` is, or the one that toxiproxy-python's object names."""
    if isinstance(given, Proxy):
        return given
    if _is_of_the_package(given, "Proxy"):
        server = sys.modules["toxiproxy.server"].Toxiproxy()
        return Proxy(adopt_toxiproxy(server), given.name, given.listen, given.upstream, given.enabled)
    raise UsageError(f"a proxy of a Toxiproxy is needed, not {given!r:.80}")


def _is_of_the_package(given: Any, name: str) -> bool:
    kind = type(given)
    return kind.__name__ == name and kind.__module__.partition(".")[0] == "toxiproxy"
