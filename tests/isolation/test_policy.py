"""A test may reach what its own marker allows, and what pytest-socket's markers and options allow."""

import socket

import pytest

from langchain_prodtest.isolation.network import EgressError, Network
from langchain_prodtest.isolation.policy import apply_policy

HOST = "192.0.2.7"


def reaches(pytester: pytest.Pytester, *options: str, marker: str = "", allow: tuple[str, ...] = ()) -> bool:
    """Tell whether a test with this marker, in a run with these options, may connect to HOST."""
    path = pytester.makepyfile(f"import pytest\n{marker}\ndef test_a(): pass\n")
    (item,), _ = pytester.inline_genitems("-p", "no:asyncio", *options, str(path))
    network = Network(pytester.path)
    apply_policy(network, item, allow)
    with socket.socket() as sock:
        try:
            network.check("socket.connect", (sock, (HOST, 443)))
        except EgressError:
            return False
    return True


def test_nothing_is_allowed_unasked(pytester: pytest.Pytester) -> None:
    assert not reaches(pytester)


def test_a_host_of_the_test_s_own_options_is_allowed(pytester: pytest.Pytester) -> None:
    assert reaches(pytester, allow=(HOST,))


@pytest.mark.parametrize(
    "marker",
    [
        f"@pytest.mark.allow_hosts(['{HOST}'])",
        f"@pytest.mark.allow_hosts('127.0.0.1, {HOST}')",
        "@pytest.mark.enable_socket",
        "@pytest.mark.usefixtures('socket_enabled')",
    ],
)
def test_a_marker_or_fixture_of_pytest_socket_is_obeyed(pytester: pytest.Pytester, marker: str) -> None:
    assert reaches(pytester, marker=marker)


@pytest.mark.parametrize("options", [("--allow-hosts", f"127.0.0.1,{HOST}"), ("--force-enable-socket",)])
def test_an_option_of_pytest_socket_is_obeyed(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    assert reaches(pytester, *options)


def test_the_marker_comes_before_the_option(pytester: pytest.Pytester) -> None:
    marker = "@pytest.mark.allow_hosts(['127.0.0.1'])"
    assert not reaches(pytester, "--allow-hosts", HOST, marker=marker)


def test_it_works_without_pytest_socket(pytester: pytest.Pytester) -> None:
    assert not reaches(pytester, "-p", "no:socket")
