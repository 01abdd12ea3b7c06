"""The closed network refuses and journals what would leave; loopback, UNIX sockets and allowed hosts pass.

Events are given to `check` directly, so that no packet could leave even if it were wrong.
"""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from langchain_prodtest.isolation.network import EgressError, Network

FOREIGN = "192.0.2.7"  # TEST-NET-1, RFC 5737: routed nowhere


@pytest.fixture
def network() -> Network:
    return Network(Path(__file__).parent)


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket() as made:
        yield made


@pytest.fixture
def sock6() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET6) as made:
        yield made


def test_a_foreign_connect_is_refused_and_journalled(network: Network, sock: socket.socket) -> None:
    with pytest.raises(EgressError, match=r"connect 192\.0\.2\.7:443 was refused: the network is closed"):
        network.check("socket.connect", (sock, (FOREIGN, 443)))
    ((attempt,),) = network.take()
    assert (attempt.target, attempt.how) == (f"{FOREIGN}:443", "connect")


def test_clients_see_a_refused_connection(network: Network, sock: socket.socket) -> None:
    with pytest.raises(ConnectionRefusedError):
        network.check("socket.connect", (sock, (FOREIGN, 443)))


@pytest.mark.parametrize(
    ("event", "args", "target"),
    [
        ("socket.getaddrinfo", ("api.invalid", 443, 0, 0, 0), "api.invalid:443"),
        ("socket.getaddrinfo", (b"api.invalid", b"443", 0, 0, 0), "api.invalid:443"),
        ("socket.getaddrinfo", ("api.invalid", None, 0, 0, 0), "api.invalid"),
        ("socket.getaddrinfo", ("api.invalid", "https", 0, 0, 0), "api.invalid"),
        ("socket.gethostbyname", ("api.invalid",), "api.invalid"),
        ("socket.gethostbyaddr", ("api.invalid",), "api.invalid"),
    ],
)
def test_a_look_up_of_a_foreign_name_is_refused(
    network: Network, event: str, args: tuple[Any, ...], target: str
) -> None:
    with pytest.raises(EgressError, match="look-up"):
        network.check(event, args)
    assert network.take()[0][0].target == target


@pytest.mark.parametrize("event", ["socket.sendto", "socket.sendmsg"])
def test_a_datagram_to_a_foreign_host_is_refused(network: Network, sock: socket.socket, event: str) -> None:
    with pytest.raises(EgressError, match="datagram"):
        network.check(event, (sock, (FOREIGN, 53)))


def test_a_reverse_look_up_of_a_foreign_address_is_refused(network: Network) -> None:
    with pytest.raises(EgressError, match="look-up"):
        network.check("socket.gethostbyaddr", (FOREIGN,))


def test_a_foreign_address_of_ip_version_6_is_refused(network: Network, sock6: socket.socket) -> None:
    with pytest.raises(EgressError):
        network.check("socket.connect", (sock6, ("2001:db8::1", 443, 0, 0)))
    assert network.take()[0][0].target == "[2001:db8::1]:443"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "0.0.0.0"])
def test_loopback_passes(network: Network, sock: socket.socket, host: str) -> None:
    network.check("socket.connect", (sock, (host, 80)))
    network.check("socket.getaddrinfo", (host, 80, 0, 0, 0))
    assert network.take() == []


@pytest.mark.parametrize("host", ["::1", "::ffff:127.0.0.1", "::"])
def test_loopback_of_ip_version_6_passes(network: Network, sock6: socket.socket, host: str) -> None:
    network.check("socket.connect", (sock6, (host, 80, 0, 0)))
    assert network.take() == []


def test_a_mapped_foreign_address_does_not_pass_as_version_6(network: Network, sock6: socket.socket) -> None:
    with pytest.raises(EgressError):
        network.check("socket.connect", (sock6, (f"::ffff:{FOREIGN}", 80, 0, 0)))


def test_unix_sockets_and_datagrams_without_address_pass(network: Network, sock: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX) as local:
        network.check("socket.connect", (local, "/run/any.sock"))
    network.check("socket.sendmsg", (sock, None))
    network.check("socket.getaddrinfo", (None, 80, 0, 0, 0))
    assert network.take() == []


def test_an_address_needs_no_look_up_so_only_its_connect_is_an_attempt(network: Network) -> None:
    network.check("socket.getaddrinfo", (FOREIGN, 443, 0, 0, 0))
    assert network.take() == []


def test_an_allowed_address_passes_and_another_does_not(network: Network, sock: socket.socket) -> None:
    network.allow([FOREIGN])
    network.check("socket.connect", (sock, (FOREIGN, 443)))
    with pytest.raises(EgressError):
        network.check("socket.connect", (sock, ("192.0.2.8", 443)))


def test_the_addresses_of_an_allowed_name_pass(
    network: Network, sock: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (FOREIGN, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: answer)
    network.allow(["api.invalid"])
    network.check("socket.getaddrinfo", ("api.invalid", 443, 0, 0, 0))
    network.check("socket.connect", (sock, (FOREIGN, 443)))
    assert network.take() == []


def test_what_one_test_was_allowed_the_next_is_not(
    network: Network, sock: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (FOREIGN, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: answer)
    network.allow(["api.invalid"])
    network.check("socket.getaddrinfo", ("api.invalid", 443, 0, 0, 0))
    network.allow([])
    with pytest.raises(EgressError):
        network.check("socket.connect", (sock, (FOREIGN, 443)))


def test_an_allowed_name_that_does_not_resolve_stays_allowed(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unresolved(*_: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    network.allow(["api.invalid"])
    network.check("socket.getaddrinfo", ("api.invalid", 443, 0, 0, 0))
    network.check("socket.getaddrinfo", ("api.invalid", 443, 0, 0, 0))
    assert network.take() == []


def test_attempts_on_one_target_are_taken_together_and_once(network: Network, sock: socket.socket) -> None:
    network.when = "during a test"
    for host in (FOREIGN, FOREIGN, "192.0.2.8"):
        with pytest.raises(EgressError):
            network.check("socket.connect", (sock, (host, 443)))
    network.when = "after it"
    with pytest.raises(EgressError):
        network.check("socket.connect", (sock, (FOREIGN, 443)))
    assert [len(same) for same in network.take("during a test")] == [2, 1]
    assert [same[0].when for same in network.take()] == ["after it"]
    assert network.take() == []


def test_it_is_closed_for_as_long_as_the_block_runs(network: Network) -> None:
    with network.closed():
        assert network.is_closed
        with pytest.raises(EgressError):
            socket.getaddrinfo("api.invalid", 443)
    assert not network.is_closed
    assert len(network.take()) == 1
