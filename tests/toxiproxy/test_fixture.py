"""The pytest fixture `toxiproxy`."""

from typing import Any

from langchain_prodtest.toxiproxy.client import Toxiproxy
from langchain_prodtest.toxiproxy.resolve import lend, resolve


def test_fixture_is_a_client_that_answers(toxiproxy: Toxiproxy, peer: Any) -> None:
    proxy = toxiproxy.create(peer.address, "fixture")
    client, server = peer.connect(proxy)
    with client, server, proxy.toxic(type="limit_data"):
        server.sendall(b"x")
        assert client.recv(1) == b""


def test_proxies_of_an_earlier_test_are_gone(toxiproxy: Toxiproxy) -> None:
    assert "fixture" not in toxiproxy.proxies()


def test_proxies_that_were_there_before_stay(embedded: Any, peer: Any) -> None:
    embedded.create(peer.address, "theirs")
    with resolve(embedded.url) as resolved, lend(resolved) as client:
        client.create(peer.address, "ours")
    assert list(embedded.proxies()) == ["theirs"]
