"""Where the embedded server differs from the real one on purpose; each row is observed on both."""

import select
import socket
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from langchain_prodtest.errors import ToxiproxyError

PAGE = Path(__file__).parents[2] / "docs" / "toxiproxy.md"


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
        client.sendall(b"x")
        assert server.recv(1) == b"x"  # the link runs: one that begins after the toxic is no older connection
        proxy.add_toxic(type="reset_peer", stream="upstream")
        client.sendall(b"x")
        return ending(client)


def removed_timeout_closes_spared_connections(toxi: Any, proxy: Any, peer: Any) -> Any:
    client, server = peer.connect(proxy)
    with client, server:
        client.sendall(b"x")
        assert server.recv(1) == b"x"  # the link runs
        proxy.add_toxic(name="t", type="timeout", toxicity=0)
        proxy.destroy_toxic("t")
        return bool(select.select([client], [], [], 2.0)[0])


def empty_update_lets_go_of_delayed_data(toxi: Any, proxy: Any, peer: Any) -> Any:
    client, server = peer.connect(proxy)
    with client, server:
        proxy.add_toxic(name="l", type="latency", attributes={"latency": 20_000})
        server.sendall(b"x")
        assert not select.select([client], [], [], 0.3)[0]
        toxi.request("PATCH", f"{proxy.path}/toxics/l", {})
        return bool(select.select([client], [], [], 2.0)[0])


def bare_slicer(toxi: Any, proxy: Any, peer: Any) -> Any:
    return status_of(proxy.add_toxic, type="slicer")


def packet_loss(toxi: Any, proxy: Any, peer: Any) -> Any:
    return status_of(proxy.add_toxic, type="packet_loss", attributes={"loss_rate": 0.5})


def bandwidth_of_zero(toxi: Any, proxy: Any, peer: Any) -> Any:
    proxy.add_toxic(type="bandwidth")
    client, server = peer.connect(proxy)
    with client, server:
        server.sendall(b"x")
        return bool(select.select([client], [], [], 0.5)[0])


def listen_without_a_host(toxi: Any, proxy: Any, peer: Any) -> Any:
    return toxi.create(peer.address, "q", listen=":0").listen.rpartition(":")[0]


def draw_after_an_empty_update(toxi: Any, proxy: Any, peer: Any) -> Any:
    """The share of 40 open connections whose draw stays the same when the toxic is sent again."""
    proxy.add_toxic(name="t", type="latency", toxicity=0.5, attributes={"latency": 400})
    pairs = [peer.connect(proxy) for _ in range(40)]
    before, _, after = (
        fast_ones(pairs),
        toxi.request("PATCH", f"{proxy.path}/toxics/t", {}),
        fast_ones(pairs),
    )
    for client, server in pairs:
        client.close()
        server.close()
    return before == after


def fast_ones(pairs: Any) -> Any:
    for _, server in pairs:
        server.sendall(b"x")
    time.sleep(0.2)
    fast = [bool(select.select([client], [], [], 0)[0]) for client, _ in pairs]
    for client, _ in pairs:
        assert client.recv(1) == b"x"
    return fast


def reset_with_a_proxy_that_cannot_start(toxi: Any, proxy: Any, peer: Any) -> Any:
    """How many of a proxy's toxics are left after a reset that fails because of the same proxy."""
    proxy.add_toxic(type="noop")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        toxi.request("PATCH", proxy.path, {"enabled": False})
        body = {"listen": f"127.0.0.1:{taken.getsockname()[1]}"}
        toxi.request("PATCH", proxy.path, body)
        assert status_of(toxi.reset) == 500
        return len(proxy.toxics())


def another_toxic_lets_go_of_delayed_data(toxi: Any, proxy: Any, peer: Any) -> Any:
    client, server = peer.connect(proxy)
    with client, server:
        proxy.add_toxic(type="latency", attributes={"latency": 20_000})
        server.sendall(b"x")
        assert not select.select([client], [], [], 0.3)[0]
        proxy.add_toxic(type="noop")
        return bool(select.select([client], [], [], 0.5)[0])


def address_that_is_none(toxi: Any, proxy: Any, peer: Any) -> Any:
    return status_of(toxi.create, peer.address, "q", listen="127.0.0.1:99999")


def populate_with_a_bad_address_in_the_middle(toxi: Any, proxy: Any, peer: Any) -> Any:
    """How many proxies it has created."""
    listens = ["127.0.0.1:0", "127.0.0.1:99999"]
    wanted = [{"name": f"n{n}", "upstream": peer.address, "listen": at} for n, at in enumerate(listens)]
    assert status_of(toxi.request, "POST", "/populate", wanted) in (400, 500)
    return len(toxi.proxies()) - 1


def move_to_a_port_in_use(toxi: Any, proxy: Any, peer: Any) -> Any:
    """Whether the proxy goes on where it was."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        body = {"listen": f"127.0.0.1:{taken.getsockname()[1]}"}
        assert status_of(toxi.request, "PATCH", proxy.path, body) == 500
        return toxi.get_proxy("p").enabled


DIFFERENCES = [
    # what, observation, real server (2.12), strict, default
    ("`toxicity` outside 0 to 1 (status)", toxicity_above_one, 200, 200, 400),
    ("an attribute below 0 or above its range (status)", negative_time, 200, 200, 400),
    ("`{\"type\":\"slicer\"}`: its data ends the real server (status)", bare_slicer, 200, 400, 400),
    ("type `packet_loss` (status)", packet_loss, 400, 400, 200),
    ("`bandwidth` of rate 0 lets data pass", bandwidth_of_zero, False, False, True),
    ("an upstream or listener off this machine (status)", foreign_upstream, 200, 400, 400),
    ("`listen` without a host means", listen_without_a_host, "[::]", "127.0.0.1", "127.0.0.1"),
    ("`jitter` after a refused `{\"latency\":\"bad\",\"jitter\":9}`", update_with_one_bad_attribute, 9, 9, 0),
    ("`Logger` in a proxy's JSON", leaked_logger_key, True, True, False),
    ("a lease above 30 s (status); the real server has none", lease_without_renewal, 200, 400, 400),
    ("`/prodtest/` answers", own_endpoint, False, True, True),
    ("an answer after the client's half-close", answer_after_half_close, b"", b"", b"answer"),
    ("what the client sees of a reset by the upstream", reset_by_the_upstream, b"", b"", "reset"),
    ("`reset_peer` on a connection older than it", reset_peer_on_an_older_connection, b"", b"", "reset"),
    ("removing a `timeout` closes connections it spared", removed_timeout_closes_spared_connections,
     True, True, False),
    ("`PATCH {}` lets go of delayed data", empty_update_lets_go_of_delayed_data, True, True, False),
    ("adding a toxic lets go of data that the one before delays", another_toxic_lets_go_of_delayed_data,
     True, True, False),
    ("connections keep their draw over `PATCH {}`", draw_after_an_empty_update, False, False, True),
    ("a `listen` that is no address (status)", address_that_is_none, 500, 500, 400),
    ("proxies that `/populate` creates before a bad `listen`", populate_with_a_bad_address_in_the_middle,
     1, 1, 0),
    ("a proxy that cannot move to a port in use goes on", move_to_a_port_in_use, False, False, True),
    ("toxics left when a reset fails", reset_with_a_proxy_that_cannot_start, 1, 1, 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("what", "observe", "real", "strict", "default"),
    DIFFERENCES,
    ids=[row[1].__name__ for row in DIFFERENCES],
)
def test_difference(
    toxi: Any, kind: str, peer: Any, what: str, observe: Any, real: Any, strict: Any, default: Any
) -> None:
    proxy = toxi.create(peer.address, "p")
    expected = {"real": real, "strict": strict, "embedded": default}[kind]
    assert observe(toxi, proxy, peer) == expected


def table() -> str:
    """The differences as they stand in the documentation."""
    head = "| | Toxiproxy 2.12 | `--strict` | default |\n|---|---|---|---|\n"
    lines = (
        f"| {what} | {shown(real)} | {shown(strict)} | {shown(default)} |"
        for what, _, real, strict, default in DIFFERENCES
    )
    return head + "\n".join(lines) + "\n"


def shown(value: Any) -> str:
    words = {True: "yes", False: "no", b"": "a plain end", b"answer": "arrives", "reset": "a reset"}
    return f"`{value}`" if type(value) is int or value not in words else words[value]


def test_documentation_holds_the_table_of_differences() -> None:
    assert table() in PAGE.read_text("utf-8"), f"it should hold:\n{table()}"


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:80"])
def test_embedded_server_listens_on_loopback_only(embedded: Any, listen: str) -> None:
    assert status_of(embedded.create, "127.0.0.1:9", "p", listen=listen) == 400
    assert embedded.proxies() == {}


def test_embedded_server_takes_a_missing_host_as_loopback(embedded: Any) -> None:
    assert embedded.create("127.0.0.1:9", "p", listen=":0").listen.startswith("127.0.0.1:")
