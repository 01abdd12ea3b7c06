"""Where the embedded server differs from the real one on purpose; each row is observed on both."""

import select
import socket
import struct
from typing import Any

import pytest

from langchain_prodtest.errors import ToxiproxyError


def status_of(call: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        call(*args, **kwargs)
    except ToxiproxyError as error:
        return error.status
    return 200


def ending(sock: socket.socket) -> Any:
    try:
        return sock.recv(100)
    except ConnectionResetError:
        return "reset"


def toxicity_above_one(toxi: Any, proxy: Any, peer: Any) -> Any:
    return status_of(proxy.add_toxic, type="noop", toxicity=2.5)


def negative_time(toxi: Any, proxy: Any, peer: Any) -> Any:
    return status_of(proxy.add_toxic, type="latency", attributes={"latency": -1})


def foreign_upstream(toxi: Any, proxy: Any, peer: Any) -> Any:
    return status_of(toxi.create, "192.0.2.1:80", "foreign")


def update_with_one_bad_attribute(toxi: Any, proxy: Any, peer: Any) -> Any:
    proxy.add_toxic(name="l", type="latency")
    body = {"attributes": {"latency": "bad", "jitter": 9}}
    assert status_of(toxi.request, "PATCH", f"{proxy.path}/toxics/l", body) == 400
    return proxy.get_toxic("l").attributes["jitter"]


def leaked_logger_key(toxi: Any, proxy: Any, peer: Any) -> Any:
    return "Logger" in toxi.request("GET", proxy.path)


def toxic_types_still_to_come(toxi: Any, proxy: Any, peer: Any) -> Any:
    missing = ("bandwidth", "slow_close", "slicer")
    return [status_of(proxy.add_toxic, type=kind, attributes={"average_size": 1}) for kind in missing]


def lease_without_renewal(toxi: Any, proxy: Any, peer: Any) -> Any:
    return status_of(toxi.request, "PATCH", proxy.path, {"enabled": False}, lease=31)


def own_endpoint(toxi: Any, proxy: Any, peer: Any) -> Any:
    return toxi.events() is not None


def answer_after_half_close(toxi: Any, proxy: Any, peer: Any) -> Any:
    client, server = peer.connect(proxy)
    with client, server:
        client.shutdown(socket.SHUT_WR)
        assert server.recv(1) == b""
        select.select([client], [], [], 0.3)
        try:
            server.sendall(b"answer")
        except OSError:
            return b""
        return client.recv(100)


def reset_by_the_upstream(toxi: Any, proxy: Any, peer: Any) -> Any:
    client, server = peer.connect(proxy)
    with client, server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.close()
        return ending(client)


def reset_peer_on_an_older_connection(toxi: Any, proxy: Any, peer: Any) -> Any:
    client, server = peer.connect(proxy)
    with client, server:
        proxy.add_toxic(type="reset_peer", stream="upstream")
        client.sendall(b"x")
        return ending(client)


def removed_timeout_closes_spared_connections(toxi: Any, proxy: Any, peer: Any) -> Any:
    client, server = peer.connect(proxy)
    with client, server:
        proxy.add_toxic(name="t", type="timeout", toxicity=0)
        proxy.destroy_toxic("t")
        return bool(select.select([client], [], [], 0.5)[0])


def empty_update_lets_go_of_delayed_data(toxi: Any, proxy: Any, peer: Any) -> Any:
    client, server = peer.connect(proxy)
    with client, server:
        proxy.add_toxic(name="l", type="latency", attributes={"latency": 20_000})
        server.sendall(b"x")
        assert not select.select([client], [], [], 0.3)[0]
        toxi.request("PATCH", f"{proxy.path}/toxics/l", {})
        return bool(select.select([client], [], [], 0.5)[0])


DIFFERENCES = [
    # observation, real server (2.12), embedded server
    (toxicity_above_one, 200, 400),
    (negative_time, 200, 400),
    (foreign_upstream, 200, 400),
    (update_with_one_bad_attribute, 9, 0),
    (leaked_logger_key, True, False),
    (toxic_types_still_to_come, [200, 200, 200], [400, 400, 400]),
    (lease_without_renewal, 200, 400),
    (own_endpoint, False, True),
    (answer_after_half_close, b"", b"answer"),
    (reset_by_the_upstream, b"", "reset"),
    (reset_peer_on_an_older_connection, b"", "reset"),
    (removed_timeout_closes_spared_connections, True, False),
    (empty_update_lets_go_of_delayed_data, True, False),
]


@pytest.mark.parametrize(
    ("observe", "real", "embedded"), DIFFERENCES, ids=lambda each: getattr(each, "__name__", "")
)
def test_difference(toxi: Any, kind: str, peer: Any, observe: Any, real: Any, embedded: Any) -> None:
    proxy = toxi.create(peer.address, "p")
    assert observe(toxi, proxy, peer) == (real if kind == "real" else embedded)


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:80"])
def test_embedded_server_listens_on_loopback_only(embedded: Any, listen: str) -> None:
    assert status_of(embedded.create, "127.0.0.1:9", "p", listen=listen) == 400
    assert embedded.proxies() == {}


def test_embedded_server_takes_a_missing_host_as_loopback(embedded: Any) -> None:
    assert embedded.create("127.0.0.1:9", "p", listen=":0").listen.startswith("127.0.0.1:")
