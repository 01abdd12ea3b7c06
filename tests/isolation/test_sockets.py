"""Ports of servers that have ended are kept from others while they are remembered."""

import os
import socket
from collections.abc import Iterator

import pytest

from langchain_prodtest.isolation.sockets import KEPT, Sockets


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    made = Sockets(run=os.getpid())
    yield made
    made.close()


def ended_server() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_kept_port_is_refused_to_clients_and_not_given_to_servers(sockets: Sockets) -> None:
    """Else a later server with this port would make its callers look like late callers of the first."""
    port = ended_server()
    sockets.keep(port, "test_a")
    assert sockets.kept([port, 1]) == {port: "test_a"}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("127.0.0.1", port))


def test_a_port_that_somebody_has_already_is_not_remembered(sockets: Sockets) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        sockets.keep(port, "test_a")
    assert sockets.kept([port]) == {}


def test_only_the_last_ports_are_kept_and_closing_frees_all(sockets: Sockets) -> None:
    ports: list[int] = []
    while len(ports) <= KEPT:
        ports.append(ended_server())
        sockets.keep(ports[-1], f"test_{len(ports)}")
    assert list(sockets.kept(ports)) == ports[1:]
    sockets.close()
    assert sockets.kept(ports) == {}
    with socket.create_server(("127.0.0.1", ports[-1])):
        pass
