"""What each toxic does to a raw TCP pair; each claim holds for both servers."""

import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from langchain_prodtest.toxiproxy.client import Proxy


@pytest.fixture
def proxy(toxi: Any, peer: Any) -> Any:
    return toxi.create(peer.address, "p")


@pytest.fixture
def pair(peer: Any, proxy: Proxy) -> Iterator[Any]:
    """A fresh connection through the proxy: the client's and the upstream's socket."""
    opened = []

    def connect() -> Any:
        opened.append(peer.connect(proxy))
        return opened[-1]

    yield connect
    for each in opened:
        for sock in each:
            sock.close()


def ends_of(stream: str, client: Any, server: socket.socket) -> Any:
    """Sender and receiver of a direction."""
    return (client, server) if stream == "upstream" else (server, client)


def silent(sock: socket.socket, seconds: float = 0.3) -> Any:
    """Whether neither bytes nor an end come."""
    return not select.select([sock], [], [], seconds)[0]


def receive(sock: socket.socket, count: int) -> Any:
    data = b""
    while len(data) < count and (part := sock.recv(count - len(data))):
        data += part
    return data


def took(receiver: socket.socket, count: int = 1) -> Any:
    begun = time.monotonic()
    assert len(receive(receiver, count)) == count
    return time.monotonic() - begun


both_streams = pytest.mark.parametrize("stream", ["upstream", "downstream"])


@both_streams
def test_latency_delays_one_stream_only(proxy: Proxy, pair: Any, stream: str) -> None:
    proxy.add_toxic(type="latency", stream=stream, attributes={"latency": 400})
    sender, receiver = ends_of(stream, *pair())
    sender.sendall(b"x")
    assert took(receiver) > 0.39
    receiver.sendall(b"x")
    assert took(sender) < 0.3


def test_two_latencies_add_up(proxy: Proxy, pair: Any) -> None:
    for name in ("a", "b"):
        proxy.add_toxic(name=name, type="latency", attributes={"latency": 200})
    client, server = pair()
    server.sendall(b"x")
    assert 0.39 < took(client) < 1


def test_latency_is_pipelined_and_keeps_order(proxy: Proxy, pair: Any) -> None:
    proxy.add_toxic(type="latency", attributes={"latency": 300, "jitter": 100})
    client, server = pair()
    begun = time.monotonic()
    for number in range(10):
        server.sendall(bytes([number]))
        time.sleep(0.02)
    server.shutdown(socket.SHUT_WR)
    assert receive(client, 100) == bytes(range(10))
    assert 0.2 < time.monotonic() - begun < 2


def test_timeout_of_zero_swallows_and_never_closes(proxy: Proxy, pair: Any) -> None:
    proxy.add_toxic(type="timeout", attributes={"timeout": 0})
    client, server = pair()
    server.sendall(b"x")
    assert silent(client)


def test_timeout_closes_both_sides_without_data(proxy: Proxy, pair: Any) -> None:
    proxy.add_toxic(type="timeout", attributes={"timeout": 200})
    client, server = pair()
    assert (client.recv(1), server.recv(1)) == (b"", b"")


def test_removing_a_timeout_closes_the_connection_whose_bytes_it_swallowed(proxy: Proxy, pair: Any) -> None:
    proxy.add_toxic(name="t", type="timeout")
    client, server = pair()
    server.sendall(b"x")
    assert silent(client)
    proxy.destroy_toxic("t")
    assert client.recv(1) == b""


@both_streams
def test_reset_peer_resets_both_sides_at_the_first_data(proxy: Proxy, pair: Any, stream: str) -> None:
    proxy.add_toxic(type="reset_peer", stream=stream, attributes={"timeout": 0})
    client, server = pair()
    assert silent(client)
    ends_of(stream, client, server)[0].sendall(b"x")
    for sock in (client, server):
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_reset_peer_waits_its_timeout(proxy: Proxy, pair: Any) -> None:
    proxy.add_toxic(type="reset_peer", stream="upstream", attributes={"timeout": 300})
    client, _server = pair()
    client.sendall(b"x")
    begun = time.monotonic()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert time.monotonic() - begun > 0.25


@both_streams
def test_limit_data_cuts_after_exactly_its_bytes(proxy: Proxy, pair: Any, stream: str) -> None:
    proxy.add_toxic(type="limit_data", stream=stream, attributes={"bytes": 10})
    sender, receiver = ends_of(stream, *pair())
    sender.sendall(b"0123456")
    assert receive(receiver, 7) == b"0123456"
    sender.sendall(b"789abc")
    assert receive(receiver, 100) == b"789"


def test_limit_data_closes_when_the_count_is_reached(proxy: Proxy, pair: Any) -> None:
    proxy.add_toxic(type="limit_data", attributes={"bytes": 3})
    client, server = pair()
    server.sendall(b"abc")
    assert receive(client, 100) == b"abc"
    assert server.recv(1) == b""


def test_limit_data_of_zero_swallows_the_first_data_and_closes(proxy: Proxy, pair: Any) -> None:
    proxy.add_toxic(type="limit_data")
    client, server = pair()
    server.sendall(b"abc")
    assert client.recv(10) == b""


@both_streams
def test_noop_passes_everything_unchanged(proxy: Proxy, pair: Any, stream: str) -> None:
    proxy.add_toxic(type="noop", stream=stream)
    sender, receiver = ends_of(stream, *pair())
    data = bytes(range(256)) * 4000
    writer = threading.Thread(target=sender.sendall, args=(data,))
    writer.start()
    assert receive(receiver, len(data)) == data
    writer.join()


@pytest.mark.parametrize(("toxicity", "acts"), [(0, False), (1, True)])
def test_toxicity_of_zero_never_acts_and_of_one_always(
    proxy: Proxy, pair: Any, toxicity: float, acts: bool
) -> None:
    proxy.add_toxic(type="limit_data", toxicity=toxicity, attributes={"bytes": 0})
    for _ in range(10):
        client, server = pair()
        server.sendall(b"x")
        assert client.recv(1) == (b"" if acts else b"x")


def test_toxicity_is_a_share_of_connections(proxy: Proxy, pair: Any) -> None:
    proxy.add_toxic(type="limit_data", toxicity=0.5, attributes={"bytes": 0})
    spared = 0
    for _ in range(60):
        client, server = pair()
        server.sendall(b"x")
        spared += client.recv(1) == b"x"
    assert 5 < spared < 55


def test_added_toxic_acts_on_open_connections(proxy: Proxy, pair: Any) -> None:
    client, server = pair()
    proxy.add_toxic(type="latency", attributes={"latency": 300})
    server.sendall(b"x")
    assert took(client) > 0.29


def test_updated_toxic_acts_on_open_connections(toxi: Any, proxy: Proxy, pair: Any) -> None:
    client, server = pair()
    proxy.add_toxic(name="l", type="latency", attributes={"latency": 30_000})
    server.sendall(b"a")
    assert silent(client)
    toxi.request("PATCH", f"{proxy.path}/toxics/l", {"attributes": {"latency": 200}})
    server.sendall(b"b")
    assert took(client, 2) < 5


def test_removed_toxic_lets_go_of_what_it_holds_in_order(proxy: Proxy, pair: Any) -> None:
    client, server = pair()
    proxy.add_toxic(name="l", type="latency", attributes={"latency": 30_000})
    for number in range(5):
        server.sendall(bytes([number]))
        time.sleep(0.02)
    assert silent(client)
    proxy.destroy_toxic("l")
    assert receive(client, 5) == bytes(range(5))


def test_limit_data_keeps_its_count_over_an_update(toxi: Any, proxy: Proxy, pair: Any) -> None:
    proxy.add_toxic(name="l", type="limit_data", attributes={"bytes": 100})
    client, server = pair()
    server.sendall(b"01234")
    assert receive(client, 5) == b"01234"
    toxi.request("PATCH", f"{proxy.path}/toxics/l", {"attributes": {"bytes": 8}})
    server.sendall(b"56789")
    assert receive(client, 100) == b"567"
