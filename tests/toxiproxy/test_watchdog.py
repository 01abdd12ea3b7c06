"""The watchdog process: what it undoes, when, and what cannot stop it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from langchain_prodtest.errors import ExperimentError
from langchain_prodtest.toxiproxy.client import Proxy
from langchain_prodtest.toxiproxy.undo import Watchdog
from langchain_prodtest.toxiproxy.watchdog import start_time


@pytest.fixture
def watchdog() -> Iterator[Any]:
    with Watchdog() as watchdog:
        yield watchdog


@pytest.fixture
def proxy(toxi: Any, peer: Any) -> Any:
    return toxi.create(peer.address, "p")


@pytest.fixture
def hold(watchdog: Watchdog) -> Any:
    """Disable a proxy and let the watchdog hold the undo."""

    def disable(proxy: Proxy, lease: float | None = None) -> Any:
        undo = watchdog.add_http("PATCH", proxy.client.url + proxy.path, {"enabled": True}, {}, lease)
        proxy.disable()
        return undo

    return disable


def test_end_of_input_undoes_what_is_left(toxi: Any, proxy: Proxy, hold: Any, watchdog: Watchdog) -> None:
    hold(proxy)
    proxy.add_toxic(name="t", type="noop")
    watchdog.add_http("DELETE", f"{toxi.url}{proxy.path}/toxics/t")
    watchdog.close()
    assert (toxi.get_proxy("p").enabled, proxy.toxics()) == (True, {})


def test_newest_is_undone_first(embedded: Any, peer: Any, watchdog: Watchdog) -> None:
    embedded.create(peer.address, "q")
    first = len(embedded.events())
    for name in ("one", "two", "three"):
        embedded.get_proxy("q").add_toxic(name=name, type="noop")
        watchdog.add_http("DELETE", f"{embedded.url}/proxies/q/toxics/{name}")
    watchdog.close()
    removed = [e["toxic"] for e in embedded.events()[first:] if e["kind"] == "toxic_removed"]
    assert removed == ["three", "two", "one"]


def test_lease_that_runs_out_is_undone_while_input_is_open(
    toxi: Any, proxy: Proxy, hold: Any, until: Any
) -> None:
    hold(proxy, lease=0.3)
    assert not toxi.get_proxy("p").enabled
    until(lambda: toxi.get_proxy("p").enabled)


def test_renewed_lease_is_not_undone(toxi: Any, proxy: Proxy, hold: Any, watchdog: Watchdog) -> None:
    undo = hold(proxy, lease=1.5)
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        watchdog.renew(undo)
        time.sleep(0.1)
    assert not toxi.get_proxy("p").enabled


def test_what_is_done_is_not_undone(toxi: Any, proxy: Proxy, hold: Any, watchdog: Watchdog) -> None:
    watchdog.done(hold(proxy, lease=0.2))
    time.sleep(0.5)
    watchdog.close()
    assert not toxi.get_proxy("p").enabled


def test_signals_do_not_end_it(toxi: Any, proxy: Proxy, hold: Any, watchdog: Watchdog) -> None:
    hold(proxy)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(watchdog.pid, number)
    assert os.getsid(watchdog.pid) == watchdog.pid
    watchdog.close()
    assert toxi.get_proxy("p").enabled


def test_server_that_is_gone_does_not_keep_it(watchdog: Watchdog) -> None:
    watchdog.add_http("PATCH", "http://127.0.0.1:1/proxies/p", {"enabled": True})
    begun = time.monotonic()
    watchdog.close()
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize("stubborn", [False, True])
def test_kill_ends_a_process_and_the_group_it_leads(watchdog: Watchdog, until: Any, stubborn: bool) -> None:
    ignore = "trap '' TERM; " if stubborn else ""
    leader: Any = subprocess.Popen(
        ["sh", "-c", f"{ignore}sleep 600 & echo $!; wait"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    child = int(leader.stdout.readline())
    watchdog.add_kill(leader.pid)
    watchdog.close()
    assert leader.wait(15) != 0
    leader.stdout.close()
    until(lambda: start_time(child) is None)


def test_kill_spares_a_process_that_took_over_the_id(watchdog: Watchdog) -> None:
    other = subprocess.Popen(["sleep", "600"])
    watchdog._send({"add": 99, "kill": {"pid": other.pid, "started": 1}})
    watchdog.close()
    assert other.poll() is None
    other.kill()
    other.wait()


def test_kill_leaves_the_group_of_a_process_that_leads_none(watchdog: Watchdog) -> None:
    other = subprocess.Popen(["sleep", "600"])
    watchdog.add_kill(other.pid)
    watchdog.close()
    assert other.wait(15) == -signal.SIGTERM


def test_garbage_on_its_input_does_not_end_it(toxi: Any, proxy: Proxy) -> None:
    lines = [
        b"garbage",
        b"[]",
        b"null",
        b'{"add": 1}',
        b'{"add": [1]}',
        b'{"renew": 7}',
        b'{"add": 2, "http": 3}',
    ]
    call = {"method": "PATCH", "url": toxi.url + proxy.path, "body": {"enabled": True}}
    good = json.dumps({"add": 3, "http": call})
    proxy.disable()
    done = subprocess.run(
        [sys.executable, "-m", "langchain_prodtest.toxiproxy.watchdog"],
        input=b"\n".join([*lines, good.encode(), b""]), capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert toxi.get_proxy("p").enabled


def test_dead_watchdog_is_an_error_before_the_next_deed(watchdog: Watchdog) -> None:
    os.kill(watchdog.pid, signal.SIGKILL)
    watchdog._running().wait()
    with pytest.raises(ExperimentError, match="the watchdog has died"):
        watchdog.add_http("GET", "http://127.0.0.1:1/")


def test_watchdog_that_was_not_started_is_an_error() -> None:
    with pytest.raises(ExperimentError, match="start it before"):
        Watchdog().add_kill(1)


def test_threads_may_share_it(watchdog: Watchdog) -> None:
    ids = []

    def work() -> None:
        for _ in range(100):
            undo = watchdog.add_http("GET", "http://127.0.0.1:1/" + "x" * 500, lease=60)
            ids.append(undo)
            watchdog.renew(undo)
            watchdog.done(undo)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 800
    begun = time.monotonic()
    watchdog.close()
    assert time.monotonic() - begun < 15
