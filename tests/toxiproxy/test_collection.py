"""What cannot be done changes nothing, also where the system and not the request is to blame."""

import socket
from pathlib import Path
from typing import Any

import pytest

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy import barrier, listen
from langchain_prodtest.toxiproxy.collection import Collection
from langchain_prodtest.toxiproxy.effect import Toxic
from langchain_prodtest.toxiproxy.policy import Policy
from langchain_prodtest.toxiproxy.wanted import WantedProxy

WANTED = {"name": "p", "upstream": "127.0.0.1:9", "listen": "127.0.0.1:0"}


class NoDescriptors:
    """The module socket of a process that may open no more."""

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)

    def socket(self, *_: Any) -> Any:
        raise OSError(24, "Too many open files")


@pytest.mark.asyncio
async def test_barrier_without_descriptors_leaves_no_toxic_and_lets_clients_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxies = Collection(Policy("1"))
    one = proxies.create(WantedProxy(WANTED))
    monkeypatch.setattr(barrier, "socket", NoDescriptors())
    with pytest.raises(OSError, match="Too many open files"):
        one.add_toxic(Toxic("t", "prodtest_connect", "downstream", 1.0, {"refuse": 0}))
    assert one.toxics == []
    host, port = one.listen.split(":")
    for _ in range(8):
        socket.create_connection((host, int(port)), timeout=10).close()
    await proxies.close()


@pytest.mark.asyncio
async def test_listener_without_descriptors_is_a_listen_error(monkeypatch: pytest.MonkeyPatch) -> None:
    proxies = Collection(Policy("1"))
    monkeypatch.setattr(listen, "socket", NoDescriptors())
    with pytest.raises(ToxiproxyError, match="too many open files") as caught:
        proxies.create(WantedProxy(WANTED))
    assert (caught.value.status, proxies.all()) == (500, [])


@pytest.mark.asyncio
async def test_populate_counts_disabled_proxies_among_the_faults(tmp_path: Path) -> None:
    proxies = Collection(Policy("1", max_faults=1))
    wanted = [WantedProxy({**WANTED, "name": name, "enabled": False}) for name in "ab"]
    with pytest.raises(ToxiproxyError, match="0 faults already"):
        proxies.check_all(wanted)
    await proxies.put(wanted[0])
    proxies.check_all(wanted[:1])
    with pytest.raises(ToxiproxyError, match="1 faults already"):
        proxies.check_all(wanted[1:])
    await proxies.close()
