"""What a test may reach: our marker, and the markers and options of pytest-socket."""

import socket
import warnings
from collections.abc import Iterable, Sequence

import pytest

from langchain_prodtest.errors import UsageError
from langchain_prodtest.isolation.network import Network

__all__ = ["apply_policy", "ports_are_forbidden"]


def apply_policy(network: Network, item: pytest.Item, allow_hosts: Sequence[str]) -> None:
    """Allow on `network` what the test's own `allow_hosts`, the run's and pytest-socket's settings allow."""
    of_the_run = item.config.getini("prodtest_allow_hosts")
    hosts = [*allow_hosts, *of_the_run, *_hosts_of_pytest_socket(item)]
    network.allow(hosts, _is_opened_by_pytest_socket(item))


def _hosts_of_pytest_socket(item: pytest.Item) -> Iterable[str]:
    marker = item.get_closest_marker("allow_hosts")
    hosts = marker.args[0] if marker and marker.args else item.config.getoption("--allow-hosts", None)
    return [host.strip() for host in (hosts.split(",") if isinstance(hosts, str) else hosts or ())]


def _is_opened_by_pytest_socket(item: pytest.Item) -> bool:
    return bool(
        item.get_closest_marker("enable_socket")
        or "socket_enabled" in getattr(item, "fixturenames", ())
        or item.config.getoption("--force-enable-socket", False)
    )


def ports_are_forbidden(needed: bool = False) -> bool:
    """Tell whether pytest-socket lets this test make no socket but a UNIX one.

    UsageError: a port is `needed` all the same, or it lets the test make no socket at all.
    """
    if socket.socket.__module__ != "pytest_socket":  # its guard, put there for the length of a test
        return False
    if needed:
        raise UsageError(
            "transparent=True leads clients through a proxy on a port, and --disable-socket forbids ports. "
            "Use --allow-hosts=127.0.0.1 in its stead."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of every socket besides
            socket.socket(socket.AF_UNIX).close()
    except RuntimeError:
        raise UsageError(
            "--disable-socket leaves the fake providers nowhere to listen. "
            "Add --allow-unix-socket to the command line, or use --allow-hosts=127.0.0.1 in its stead."
        ) from None
    return True
