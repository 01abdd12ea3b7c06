"""What a test may reach: our marker, and the markers and options of pytest-socket."""

from collections.abc import Iterable, Sequence

import pytest

from langchain_prodtest.isolation.network import Network

__all__ = ["apply_policy"]


def apply_policy(network: Network, item: pytest.Item, allow_hosts: Sequence[str]) -> None:
    """Allow on `network` what the test's own `allow_hosts` and pytest-socket's settings allow."""
    network.allow([*allow_hosts, *_hosts_of_pytest_socket(item)], _is_opened_by_pytest_socket(item))


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
