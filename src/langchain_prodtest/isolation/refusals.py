"""What pytest-socket refuses: its guards raise before there is any audit event, so they are listened to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_socket

from langchain_prodtest.isolation.network import Network

__all__ = ["journalled_refusals"]


@contextmanager
def journalled_refusals(network: Network) -> Iterator[None]:
    """Journal on `network` the connects and look-ups that pytest-socket refuses while the block runs.

    Not seen: a socket that `--disable-socket` does not even let be made, when no look-up came before it.
    """
    with pytest.MonkeyPatch.context() as patch:
        blocked = pytest_socket.SocketConnectBlockedError
        refuse = blocked.__init__

        def refused(self: Any, allowed: list[str], host: str | None, *args: Any, **kwargs: Any) -> None:
            network.report(host or "", None, "connect")
            refuse(self, allowed, host, *args, **kwargs)

        patch.setattr(blocked, "__init__", refused)
        for name in ("_guarded_getaddrinfo", "_guarded_gethostbyname"):
            patch.setattr(pytest_socket, name, _heard(network, getattr(pytest_socket, name)))
        yield


def _heard(network: Network, guard: Any) -> Any:
    def guarded(host: object, *args: Any, **kwargs: Any) -> Any:
        network.report(str(host or ""), None, "look-up")
        return guard(host, *args, **kwargs)

    return guarded
