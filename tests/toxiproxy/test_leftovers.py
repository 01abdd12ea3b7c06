"""The sweep of faults that a killed run left behind."""

import os
import subprocess
from typing import Any

import pytest

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.client import Proxy
from langchain_prodtest.toxiproxy.leftovers import own_name, sweep


@pytest.fixture
def proxy(toxi: Any, peer: Any) -> Any:
    return toxi.create(peer.address, "p")


@pytest.fixture
def dead() -> Any:
    """The id of a process that has ended."""
    done = subprocess.Popen(["true"])
    done.wait()
    return done.pid


def name_of(pid: int, started: int = 0) -> Any:
    return own_name().replace(f"-{os.getpid()}-", f"-{pid}-", 1).rsplit("-", 2)[0] + f"-{started}-1"


def test_toxics_of_a_dead_run_are_removed_and_others_stay(toxi: Any, proxy: Proxy, dead: int) -> None:
    proxy.add_toxic(name="mine", type="noop")
    for name in (name_of(dead, 5), "prodtest-of-an-older-kind"):
        proxy.add_toxic(name=name, type="noop")
    done = sweep(toxi)
    assert list(proxy.toxics()) == ["mine"]
    assert len(done) == 2
    assert all('from proxy "p"' in line for line in done)
    assert sweep(toxi) == []


def test_proxy_that_a_dead_run_disabled_is_enabled(toxi: Any, proxy: Proxy, dead: int) -> None:
    proxy.add_toxic(name=name_of(dead, 5) + "-down", type="noop")
    proxy.disable()
    assert sweep(toxi)[0] == 'enabled proxy "p"'
    assert (toxi.get_proxy("p").enabled, proxy.toxics()) == (True, {})


def test_proxy_that_somebody_else_disabled_stays_so(toxi: Any, proxy: Proxy) -> None:
    proxy.disable()
    assert sweep(toxi) == []
    assert not toxi.get_proxy("p").enabled


def test_id_that_another_process_has_got_is_a_dead_run(toxi: Any, proxy: Proxy) -> None:
    proxy.add_toxic(name=name_of(os.getpid(), 5), type="noop")
    assert len(sweep(toxi)) == 1


@pytest.mark.parametrize("other", [own_name, lambda: "prodtest-elsewhere-1-5-1"])
def test_faults_of_a_live_run_or_another_host_are_an_error_and_stay(
    toxi: Any, proxy: Proxy, other: Any
) -> None:
    name = other()
    proxy.add_toxic(name=name, type="noop")
    with pytest.raises(ToxiproxyError, match=f"{name}.*Wait for the end of that run"):
        sweep(toxi)
    assert list(proxy.toxics()) == [name]
