"""Leases and events of the embedded server: a fault that nobody renews ends by itself."""

import time
from typing import Any

import pytest

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.measure import now
from langchain_prodtest.toxiproxy.client import Proxy


@pytest.fixture
def proxy(embedded: Any, peer: Any) -> Any:
    return embedded.create(peer.address, "p")


@pytest.fixture
def happened(embedded: Any) -> Any:
    """The kinds of the events of a proxy since the fixture was made."""
    first = len(embedded.events())

    def kinds() -> Any:
        return [event["kind"] for event in embedded.events()[first:]]

    return kinds


def test_leased_toxic_is_removed_when_its_lease_runs_out(proxy: Proxy, until: Any, happened: Any) -> None:
    proxy.add_toxic(type="latency", lease=0.3)
    assert list(proxy.toxics()) == ["latency_downstream"]
    until(lambda: not proxy.toxics())
    assert happened()[-3:] == ["toxic_added", "lease_expired", "toxic_removed"]


def test_leased_disable_is_undone_when_its_lease_runs_out(
    embedded: Any, proxy: Proxy, peer: Any, until: Any, happened: Any
) -> None:
    proxy.disable(lease=0.3)
    assert not embedded.get_proxy("p").enabled
    until(lambda: embedded.get_proxy("p").enabled)
    client, server = peer.connect(proxy)
    client.close()
    server.close()
    assert happened()[:3] == ["disabled", "lease_expired", "enabled"]


def test_renewed_lease_goes_on(embedded: Any, proxy: Proxy) -> None:
    proxy.add_toxic(name="t", type="latency", lease=1.5)
    proxy.disable(lease=1.5)
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        embedded.request("PATCH", f"{proxy.path}/toxics/t", {}, lease=1.5)
        proxy.disable(lease=1.5)
        time.sleep(0.2)
    assert list(proxy.toxics()) == ["t"]
    assert not embedded.get_proxy("p").enabled


def test_without_a_lease_nothing_ends(embedded: Any, proxy: Proxy) -> None:
    proxy.add_toxic(type="latency")
    proxy.disable()
    time.sleep(0.5)
    assert (len(proxy.toxics()), embedded.get_proxy("p").enabled) == (1, False)


def test_undone_by_hand_the_lease_is_over(proxy: Proxy, happened: Any) -> None:
    proxy.add_toxic(name="t", type="latency", lease=0.2)
    proxy.destroy_toxic("t")
    proxy.add_toxic(name="t", type="latency")
    proxy.disable(lease=0.2)
    proxy.enable()
    proxy.disable()
    time.sleep(0.5)
    assert "lease_expired" not in happened()


def test_lease_of_a_proxy_that_was_replaced_is_over(embedded: Any, proxy: Proxy) -> None:
    proxy.disable(lease=0.2)
    body = [{"name": "p", "upstream": proxy.upstream, "listen": "127.0.0.1:0", "enabled": False}]
    embedded.request("POST", "/populate", body)
    time.sleep(0.5)
    assert not embedded.get_proxy("p").enabled
    assert embedded.create(proxy.upstream, "q", listen=proxy.listen).listen == proxy.listen


@pytest.mark.parametrize("lease", [0, -1, 31, float("nan"), float("inf")])
def test_lease_out_of_range_is_refused_and_changes_nothing(embedded: Any, proxy: Proxy, lease: float) -> None:
    with pytest.raises(ToxiproxyError, match="lease is seconds"):
        proxy.add_toxic(type="latency", lease=lease)
    with pytest.raises(ToxiproxyError, match="lease is seconds"):
        proxy.disable(lease=lease)
    assert (proxy.toxics(), embedded.get_proxy("p").enabled) == ({}, True)


def test_events_say_when_and_why_connections_ended(
    embedded: Any, proxy: Proxy, peer: Any, until: Any
) -> None:
    before = now()

    def events(kind: str) -> Any:
        return [event for event in embedded.events() if event["at"] >= before and event["kind"] == kind]

    client, server = peer.connect(proxy)
    with client, server:
        server.close()
        assert client.recv(1) == b""
    until(lambda: events("close"))
    client, server = peer.connect(proxy)
    with client, server:
        proxy.disable()
    causes = {event["connection"]: event["cause"] for event in events("close")}
    assert causes == {1: "closed by upstream", 2: "proxy disabled"}
    assert all(before <= event["at"] <= now() for event in events("close"))
    last = embedded.events()[-1]
    assert embedded.events(since=last["id"] - 1) == [last]


def test_events_refuse_what_is_no_id(embedded: Any) -> None:
    with pytest.raises(ToxiproxyError, match="since must be the id"):
        embedded.request("GET", "/prodtest/events?since=x")
