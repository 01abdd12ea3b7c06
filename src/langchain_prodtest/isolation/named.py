"""What reaches the network without an audit event, covered by name: uvloop's own sockets and look-ups."""

import functools
import sys
from collections.abc import Callable
from typing import Any

from langchain_prodtest.isolation.network import guard

__all__ = ["cover_uvloop"]

Target = tuple[str, Any, Any]


def _connection(factory: Any, host: Any = None, port: Any = None, **given: Any) -> Target:
    return "connect", host, port


def _datagram(factory: Any, local_addr: Any = None, remote_addr: Any = None, **given: Any) -> Target:
    return "datagram", *(remote_addr or (None, None))[:2]


def _look_up(host: Any, port: Any = None, **given: Any) -> Target:
    return "look-up", host, port


def _socket(sock: Any, address: Any) -> Target:
    return "connect", *(address if isinstance(address, tuple) else (None, None))[:2]


METHODS: dict[str, Callable[..., Target]] = {
    "create_connection": _connection,
    "create_datagram_endpoint": _datagram,
    "getaddrinfo": _look_up,
    "sock_connect": _socket,
}


def cover_uvloop() -> None:
    """Let uvloop's loops ask the closed network first; nothing where uvloop is not imported."""
    loop: Any = getattr(sys.modules.get("uvloop"), "Loop", None)
    if loop is None or hasattr(loop.create_connection, "__wrapped__"):
        return
    for name, target in METHODS.items():
        setattr(loop, name, _guarded(getattr(loop, name), target))


def _guarded(method: Any, target: Callable[..., Target]) -> Any:
    @functools.wraps(method)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        guard(*target(*args, **kwargs))
        return method(self, *args, **kwargs)

    return guarded
