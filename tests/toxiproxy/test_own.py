"""What the embedded server can do beyond Toxiproxy, under its own prefix."""

import http.client
import select
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.client import Proxy, Toxiproxy

LIMIT: Any = {"type": "limit_data", "attributes": {"bytes": 0}}


@pytest.fixture
def proxy(embedded: Any, peer: Any) -> Any:
    return embedded.create(peer.address, "p")


def passes(proxy: Proxy, peer: Any) -> Any:
    """Whether a byte gets through a new connection."""
    client, server = peer.connect(proxy)
    with client, server:
        server.sendall(b"x")
        return client.recv(1) == b"x"


def test_proxy_is_created_with_its_toxics_in_one_call(embedded: Any, peer: Any) -> None:
    toxics = [{**LIMIT, "name": "l"}, {"type": "noop", "stream": "upstream", "connections": 3}]
    proxy = embedded.create(peer.address, "p", toxics=toxics)
    assert list(proxy.toxics()) == ["noop_upstream", "l"]
    assert not passes(proxy, peer)
    shown = embedded.request("GET", "/prodtest/proxies")["p"]["toxics"]
    assert [toxic["connections"] for toxic in shown] == [3, None]
    assert "connections" not in embedded.request("GET", "/proxies")["p"]["toxics"][0]


@pytest.mark.parametrize(
    ("toxics", "text"),
    [
        ([{"type": "wrong"}], "invalid toxic type"),
        ([LIMIT, LIMIT], "toxic already exists"),
        ([{"type": "bandwidth", "attributes": {"rate": -1}}], "rate"),
        ([{**LIMIT, "start": -1}], "start must be a whole number"),
        ([{**LIMIT, "duration": 1.5}], "duration must be a whole number"),
        ([{**LIMIT, "shared": True}], "only a bandwidth"),
        ([{**LIMIT, "duration": 5, "ramp": 6}], "ramp must not be longer"),
        ([{**LIMIT, "name": f"n{number}"} for number in range(101)], "too many|faults already"),
    ],
)
def test_bad_toxic_creates_no_proxy(embedded: Any, peer: Any, toxics: Any, text: str) -> None:
    with pytest.raises(ToxiproxyError, match=text) as caught:
        embedded.create(peer.address, "p", toxics=toxics)
    assert caught.value.status in (400, 409)
    assert embedded.proxies() == {}


def test_toxic_starts_and_ends_by_its_plan(proxy: Proxy, peer: Any, until: Any) -> None:
    proxy.add_toxic(**LIMIT, plan={"start": 700, "duration": 700})
    begun = time.monotonic()
    client, server = peer.connect(proxy)
    with client, server:
        server.sendall(b"x")
        assert client.recv(1) == b"x"
        assert time.monotonic() - begun < 0.7
        until(lambda: not passes(proxy, peer))
        assert time.monotonic() - begun > 0.65
        server.sendall(b"y")
        assert client.recv(1) == b""
    until(lambda: not proxy.toxics())
    assert time.monotonic() - begun > 1.3
    assert passes(proxy, peer)


def test_ramp_takes_connections_one_by_one(embedded: Any, proxy: Proxy, peer: Any, until: Any) -> None:
    last = embedded.events()[-1]["id"]
    pairs = [peer.connect(proxy) for _ in range(20)]
    proxy.add_toxic(type="prodtest_close", plan={"ramp": 1000})

    def closed() -> Any:
        return [event["at"] for event in embedded.events(last) if event["kind"] == "close"]

    until(lambda: len(closed()) == 20)
    steps = [round(at - min(closed()), 1) for at in closed()]
    assert len(set(steps)) > 3
    assert max(steps) > 0.4
    for pair in pairs:
        for sock in pair:
            sock.close()


def test_toxic_acts_on_the_first_connections_only(proxy: Proxy, peer: Any) -> None:
    client, server = peer.connect(proxy)
    with client, server:
        proxy.add_toxic(**LIMIT, plan={"connections": 3})
        server.sendall(b"x")
        assert client.recv(1) == b""
    assert [passes(proxy, peer) for _ in range(4)] == [False, False, True, True]


def test_shared_bandwidth_is_one_line_for_all(proxy: Proxy, peer: Any) -> None:
    proxy.add_toxic(type="bandwidth", attributes={"rate": 100}, plan={"shared": True})
    pairs = [peer.connect(proxy) for _ in range(4)]
    begun = time.monotonic()
    for _, server in pairs:
        server.sendall(b"x" * 15_000)
    for client, server in pairs:
        got = b""
        while len(got) < 15_000:
            got += client.recv(15_000)
        client.close()
        server.close()
    assert 0.58 < time.monotonic() - begun < 5


def test_close_comes_while_data_flows(proxy: Proxy, peer: Any) -> None:
    proxy.add_toxic(type="prodtest_close", attributes={"after": 400})
    client, server = peer.connect(proxy)
    begun, got = time.monotonic(), b""
    with client, server:
        while time.monotonic() < begun + 10:
            try:
                server.sendall(b"x")
            except OSError:
                break
            if select.select([client], [], [], 0.01)[0]:
                part = client.recv(100)
                if not part:
                    break
                got += part
    assert 0.35 < time.monotonic() - begun < 5
    assert len(got) > 3


def test_events_are_followed_as_they_happen(embedded: Any, proxy: Proxy) -> None:
    last = embedded.events()[-1]["id"]
    stream = embedded.follow(last)
    proxy.add_toxic(name="t", type="noop")
    first = next(stream)
    assert (first["kind"], first["toxic"], first["id"]) == ("toxic_added", "t", last + 1)
    proxy.destroy_toxic("t")
    assert next(stream)["kind"] == "toxic_removed"
    stream.close()


def test_events_are_lines_of_json(embedded: Any, proxy: Proxy) -> None:
    connection = http.client.HTTPConnection(urlsplit(embedded.url).netloc, timeout=10)
    connection.request("GET", "/prodtest/events?follow")
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.readline().startswith(b'{"id": ')
    connection.close()


def test_silent_events_are_an_error_after_the_time_out(embedded: Any) -> None:
    client = Toxiproxy(embedded.url, timeout=0.3)
    with pytest.raises(ToxiproxyError, match="timed out"):
        list(client.follow((client.events() or [{"id": 0}])[-1]["id"]))


@pytest.mark.parametrize("call", ["create", "plan", "follow"])
def test_other_servers_are_told_apart(toxi: Any, kind: str, peer: Any, call: str) -> None:
    if kind != "real":
        assert toxi.create(peer.address, "p", toxics=[LIMIT]).add_toxic(type="noop", plan={}).type == "noop"
        return
    proxy = toxi.create(peer.address, "p")
    calls = {
        "create": lambda: toxi.create(peer.address, "q", toxics=[LIMIT]),
        "plan": lambda: proxy.add_toxic(**LIMIT, plan={"start": 1}),
        "follow": lambda: next(toxi.follow()),
    }
    with pytest.raises(ToxiproxyError) as caught:
        calls[call]()
    assert caught.value.status == 404
    assert (list(toxi.proxies()), proxy.toxics()) == (["p"], {})


def test_upstream_may_be_a_unix_socket(embedded: Any, dial: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        proxy = embedded.create(f"unix:{path}", "p")
        proxy.add_toxic(type="latency", attributes={"latency": 50})
        with dial(proxy.listen) as client, listener.accept()[0] as server:
            client.sendall(b"question")
            assert server.recv(100) == b"question"
            server.sendall(b"answer")
            assert client.recv(100) == b"answer"


def test_tls_passes_untouched(toxi: Any, peer: Any, dial: Any) -> None:
    authority = trustme.CA()
    theirs, ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("service.example").configure_cert(theirs)
    authority.configure_trust(ours)
    proxy = toxi.create(peer.address, "p")
    proxy.add_toxic(type="slicer", attributes={"average_size": 100, "size_variation": 50})

    def serve() -> None:
        with theirs.wrap_socket(peer._listener.accept()[0], server_side=True) as server:
            server.sendall(server.recv(100).upper())
            server.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    with ours.wrap_socket(dial(proxy.listen), server_hostname="service.example") as client:
        client.sendall(b"question")
        assert client.recv(100) == b"QUESTION"
        assert "service.example" in str(client.getpeercert())
    thread.join()


def connects(listen: str, seconds: float) -> Any:
    host, port = listen.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=seconds).close()
    except (TimeoutError, ConnectionRefusedError) as error:
        return type(error)
    return True


def test_connection_attempts_get_no_answer_and_open_ones_go_on(
    embedded: Any, proxy: Proxy, peer: Any
) -> None:
    client, server = peer.connect(proxy)
    last = embedded.events()[-1]["id"]
    with client, server:
        proxy.add_toxic(name="c", type="prodtest_connect")
        assert [connects(proxy.listen, 0.3) for _ in range(3)] == [TimeoutError] * 3
        server.sendall(b"x")
        assert client.recv(1) == b"x"
        proxy.destroy_toxic("c")
        assert connects(proxy.listen, 5) is True
        assert passes_next(proxy, peer)
    accepted = [event for event in embedded.events(last) if event["kind"] == "accept"]
    assert len(accepted) == 2


def passes_next(proxy: Proxy, peer: Any) -> Any:
    """Whether a byte gets through; connections that ended before are passed over."""
    host, port = proxy.listen.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(b"mark")
        while True:
            with peer._listener.accept()[0] as server:
                if server.recv(4) == b"mark":
                    server.sendall(b"x")
                    return client.recv(1) == b"x"


def test_handshake_that_waits_goes_on_when_the_toxic_ends(proxy: Proxy) -> None:
    proxy.add_toxic(type="prodtest_connect", plan={"duration": 500})
    begun = time.monotonic()
    assert connects(proxy.listen, 15) is True
    assert time.monotonic() - begun > 0.45


def test_connection_attempts_are_refused_and_open_ones_go_on(proxy: Proxy, peer: Any) -> None:
    client, server = peer.connect(proxy)
    with client, server:
        proxy.add_toxic(name="c", type="prodtest_connect", attributes={"refuse": 1})
        assert connects(proxy.listen, 5) is ConnectionRefusedError
        proxy.update_toxic("c", {"refuse": 0})
        assert connects(proxy.listen, 0.3) is TimeoutError
        proxy.update_toxic("c", {"refuse": 1})
        assert connects(proxy.listen, 5) is ConnectionRefusedError
        server.sendall(b"x")
        assert client.recv(1) == b"x"
        proxy.destroy_toxic("c")
    assert passes_next(proxy, peer)


@pytest.mark.parametrize("refuse", [0, 1])
def test_barrier_survives_disable_and_enable(proxy: Proxy, peer: Any, refuse: int) -> None:
    expected = [TimeoutError, ConnectionRefusedError][refuse]
    proxy.add_toxic(name="c", type="prodtest_connect", attributes={"refuse": refuse})
    proxy.disable()
    assert connects(proxy.listen, 5) is ConnectionRefusedError
    proxy.enable()
    assert connects(proxy.listen, 0.3) is expected
    proxy.client.reset()
    assert passes_next(proxy, peer)


@pytest.mark.parametrize("given", [{"toxicity": 0.5}, {"plan": {"start": 5}}, {"attributes": {"refuse": 2}}])
def test_barrier_takes_no_share_and_no_start(proxy: Proxy, given: Any) -> None:
    with pytest.raises(ToxiproxyError) as caught:
        proxy.add_toxic(type="prodtest_connect", **given)
    assert (caught.value.status, proxy.toxics()) == (400, {})
