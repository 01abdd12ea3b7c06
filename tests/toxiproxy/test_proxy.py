"""Listeners and connections; each claim holds for both servers."""

import socket
import threading
from typing import Any

import pytest

from langchain_prodtest.toxiproxy.client import Proxy


@pytest.fixture
def proxy(toxi: Any, peer: Any) -> Any:
    return toxi.create(peer.address, "p")


def test_bytes_pass_both_ways_unchanged(proxy: Proxy, peer: Any) -> None:
    client, server = peer.connect(proxy)
    data = bytes(range(256)) * 20_000
    with client, server:
        for sender, receiver in ((client, server), (server, client)):
            writer = threading.Thread(target=sender.sendall, args=(data,))
            writer.start()
            got = b""
            while len(got) < len(data):
                got += receiver.recv(1 << 20)
            writer.join()
            assert got == data


def test_upstream_is_dialled_before_any_byte(proxy: Proxy, peer: Any) -> None:
    client, server = peer.connect(proxy)
    with client, server:
        assert server.getpeername()


def test_end_comes_after_the_last_byte(proxy: Proxy, peer: Any) -> None:
    client, server = peer.connect(proxy)
    with client, server:
        server.sendall(b"last")
        server.close()
        assert client.recv(100) == b"last"
        assert client.recv(100) == b""


def test_disable_refuses_new_clients_and_ends_open_ones(proxy: Proxy, peer: Any, dial: Any) -> None:
    client, server = peer.connect(proxy)
    with client, server:
        proxy.disable()
        with pytest.raises(ConnectionRefusedError):
            dial(proxy.listen)
        assert (client.recv(1), server.recv(1)) == (b"", b"")


def test_disable_drops_what_a_toxic_holds(proxy: Proxy, peer: Any) -> None:
    proxy.add_toxic(type="latency", attributes={"latency": 30_000})
    client, server = peer.connect(proxy)
    with client, server:
        server.sendall(b"held")
        proxy.disable()
        assert client.recv(10) == b""


def test_enable_after_disable_accepts_at_once_at_the_same_address(proxy: Proxy, peer: Any) -> None:
    listen = proxy.listen
    for _ in range(20):
        client, server = peer.connect(proxy)
        proxy.disable()
        proxy.enable()
        client.close()
        server.close()
    client, server = peer.connect(proxy)
    with client, server:
        client.sendall(b"x")
        assert (server.recv(1), proxy.listen) == (b"x", listen)


def test_delete_ends_open_connections_and_frees_the_port(toxi: Any, proxy: Proxy, peer: Any) -> None:
    client, server = peer.connect(proxy)
    with client, server:
        proxy.destroy()
        assert client.recv(1) == b""
    assert toxi.create(peer.address, "q", listen=proxy.listen).listen == proxy.listen


def test_client_of_a_dead_upstream_is_accepted_then_closed(toxi: Any, dial: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = taken.getsockname()[1]
    with dial(toxi.create(f"127.0.0.1:{dead}", "dead").listen) as client:
        assert client.recv(1) == b""


def test_new_upstream_serves_new_connections(toxi: Any, proxy: Proxy, peer: Any, dial: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(10)
        toxi.request("PATCH", proxy.path, {"upstream": f"127.0.0.1:{other.getsockname()[1]}"})
        with dial(proxy.listen), other.accept()[0] as server:
            assert server.getsockname() == other.getsockname()


def test_hundred_connections_each_get_their_own_bytes(proxy: Proxy, peer: Any) -> None:
    proxy.add_toxic(type="latency", attributes={"latency": 50})
    pairs = [peer.connect(proxy) for _ in range(100)]
    for number, (client, _) in enumerate(pairs):
        client.sendall(b"%d\n" % number)
    for number, (_, server) in enumerate(pairs):
        assert server.recv(100) == b"%d\n" % number
        server.sendall(b"%d!\n" % number)
    for number, (client, _) in enumerate(pairs):
        assert client.recv(100) == b"%d!\n" % number
    proxy.disable()
    for client, server in pairs:
        with client, server:
            assert client.recv(1) == b""
