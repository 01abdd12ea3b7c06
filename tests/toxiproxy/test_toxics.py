"""What each toxic does to a raw TCP pair; each claim holds for both servers."""

import random
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.client import Proxy
from langchain_prodtest.toxiproxy.effect import Chunk, Toxic
from langchain_prodtest.toxiproxy.toxics import PacketLoss


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


@both_streams
def test_bandwidth_lets_its_rate_pass_and_no_more(proxy: Proxy, pair: Any, stream: str) -> None:
    proxy.add_toxic(type="bandwidth", stream=stream, attributes={"rate": 100})
    sender, receiver = ends_of(stream, *pair())
    data = bytes(range(250)) * 200
    begun = time.monotonic()
    sender.sendall(data)
    assert receive(receiver, 10_000) == data[:10_000]
    assert time.monotonic() - begun > 0.09
    assert receive(receiver, 40_000) == data[10_000:]
    assert 0.48 < time.monotonic() - begun < 5


def test_bandwidth_carries_what_it_owes_from_chunk_to_chunk(proxy: Proxy, pair: Any) -> None:
    proxy.add_toxic(type="bandwidth", attributes={"rate": 10})
    client, server = pair()
    begun = time.monotonic()
    for _ in range(10):
        server.sendall(b"x" * 500)
        time.sleep(0.005)
    assert receive(client, 5000) == b"x" * 5000
    assert time.monotonic() - begun > 0.48


def test_removed_bandwidth_lets_go_of_what_it_holds(proxy: Proxy, pair: Any) -> None:
    proxy.add_toxic(name="b", type="bandwidth", attributes={"rate": 1})
    client, server = pair()
    server.sendall(b"x" * 30_000)
    proxy.destroy_toxic("b")
    assert took(client, 30_000) < 5


@both_streams
def test_slow_close_holds_the_end_back_and_nothing_else(proxy: Proxy, pair: Any, stream: str) -> None:
    proxy.add_toxic(type="slow_close", stream=stream, attributes={"delay": 600})
    sender, receiver = ends_of(stream, *pair())
    sender.sendall(b"last")
    sender.shutdown(socket.SHUT_WR)
    assert took(receiver, 4) < 0.5
    begun = time.monotonic()
    assert receiver.recv(1) == b""
    assert time.monotonic() - begun > 0.3


def test_updated_slow_close_waits_the_new_delay(toxi: Any, proxy: Proxy, pair: Any) -> None:
    proxy.add_toxic(name="s", type="slow_close", attributes={"delay": 60_000})
    client, server = pair()
    server.shutdown(socket.SHUT_WR)
    assert silent(client)
    toxi.request("PATCH", f"{proxy.path}/toxics/s", {"attributes": {"delay": 600}})
    begun = time.monotonic()
    assert client.recv(1) == b""
    assert time.monotonic() - begun > 0.5


def test_removed_slow_close_lets_the_end_pass(proxy: Proxy, pair: Any) -> None:
    proxy.add_toxic(name="s", type="slow_close", attributes={"delay": 60_000})
    client, server = pair()
    server.shutdown(socket.SHUT_WR)
    assert silent(client)
    proxy.destroy_toxic("s")
    assert client.recv(1) == b""


@both_streams
def test_slicer_cuts_by_halves_and_waits_after_each_piece(proxy: Proxy, pair: Any, stream: str) -> None:
    attributes = {"average_size": 100, "size_variation": 0, "delay": 30_000}
    proxy.add_toxic(type="slicer", stream=stream, attributes=attributes)
    sender, receiver = ends_of(stream, *pair())
    data = bytes(range(250)) * 4
    sender.sendall(data)
    pieces: list[bytes] = []
    while len(b"".join(pieces)) < 1000:
        pieces.append(receiver.recv(1000))
    assert b"".join(pieces) == data
    assert len(pieces) > 8
    assert set(map(len, pieces)) & {62, 63}


def test_slicer_with_variation_loses_nothing(proxy: Proxy, pair: Any) -> None:
    proxy.add_toxic(type="slicer", attributes={"average_size": 3, "size_variation": 3})
    client, server = pair()
    data = bytes(range(256)) * 40
    server.sendall(data)
    server.shutdown(socket.SHUT_WR)
    assert receive(client, len(data) + 1) == data


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("slicer", {}),
        ("slicer", {"average_size": 10, "size_variation": 11}),
        ("bandwidth", {"rate": -1}),
        ("packet_loss", {"loss_rate": "x"}),
        ("packet_loss", {"loss_rate": True}),
    ],
)
def test_attributes_that_make_no_sense_are_refused(
    embedded: Any, peer: Any, kind: str, attributes: dict[str, Any]
) -> None:
    proxy = embedded.create(peer.address, "e")
    with pytest.raises(ToxiproxyError) as caught:
        proxy.add_toxic(type=kind, attributes=attributes)
    assert caught.value.status == 400
    assert proxy.toxics() == {}


@pytest.mark.parametrize(("rate", "passed"), [(0, 40), (1, 0), (7, 0), (-1, 40)])
def test_packet_loss_drops_its_share_of_chunks(embedded: Any, peer: Any, rate: float, passed: int) -> None:
    proxy = embedded.create(peer.address, "e")
    toxic = proxy.add_toxic(type="packet_loss", attributes={"loss_rate": rate})
    assert toxic.attributes == {"loss_rate": min(1, max(0, rate)), "correlation": 0}
    client, server = peer.connect(proxy)
    with client, server:
        for _ in range(40):
            server.sendall(b"x")
            time.sleep(0.001)
        server.shutdown(socket.SHUT_WR)
        assert len(receive(client, 100)) == passed


def test_packet_loss_correlation_drops_in_a_row() -> None:
    def longest_gap(correlation: float) -> int:
        toxic = Toxic("p", "packet_loss", "downstream")
        toxic.attributes = {"loss_rate": 0.2, "correlation": correlation}
        effect = PacketLoss(toxic, random.Random(1), 0.0)
        passed = "".join("x" if list(effect.apply(Chunk(0.0, b"x"))) else "." for _ in range(1000))
        return max(map(len, passed.split("x")))

    assert longest_gap(0.7) > 2 * longest_gap(0)


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
