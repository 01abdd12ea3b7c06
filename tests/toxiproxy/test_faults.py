"""Injected faults: in effect, undone whatever happens, and verified to be gone."""

import contextlib
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import toxiproxy  # type: ignore[import-untyped]

from langchain_prodtest.errors import ToxiproxyError, UsageError
from langchain_prodtest.measure import now
from langchain_prodtest.toxiproxy.client import Proxy
from langchain_prodtest.toxiproxy.faults import inject
from langchain_prodtest.toxiproxy.undo import Watchdog

LATENCY = {"type": "latency", "attributes": {"latency": 1}}


@pytest.fixture(scope="module")
def watchdog() -> Iterator[Any]:
    with Watchdog() as watchdog:
        yield watchdog


@pytest.fixture
def upstream(peer: Any) -> Iterator[Any]:
    """An upstream that accepts connections and keeps them, as servers do."""
    done, kept = threading.Event(), []

    def accept() -> None:
        peer._listener.settimeout(0.05)
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                kept.append(peer._listener.accept()[0])

    thread = threading.Thread(target=accept)
    thread.start()
    yield peer
    done.set()
    thread.join()
    for sock in kept:
        sock.close()


@pytest.fixture
def proxy(toxi: Any, upstream: Any) -> Any:
    return toxi.create(upstream.address, "p")


def test_down_refuses_clients_until_the_block_ends(
    toxi: Any, proxy: Proxy, watchdog: Watchdog, dial: Any
) -> None:
    begun = now()
    with inject(proxy, watchdog, down=True) as fault:
        inside = now()
        with pytest.raises(ConnectionRefusedError):
            dial(proxy.listen)
        assert begun <= fault.effective <= inside
        assert math.isnan(fault.gone)
    assert inside <= fault.gone <= now()
    dial(proxy.listen).close()


def test_toxic_is_there_until_the_block_ends(proxy: Proxy, watchdog: Watchdog) -> None:
    with inject(proxy, watchdog, toxic=LATENCY) as fault:
        (toxic,) = proxy.toxics().values()
        assert toxic.name.startswith("prodtest-")
        assert (toxic.type, toxic.attributes["latency"]) == ("latency", 1)
    assert fault.effective < fault.gone
    assert proxy.toxics() == {}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("what", [{"down": True}, {"toxic": LATENCY}])
def test_fault_is_undone_when_the_block_raises(
    toxi: Any, proxy: Proxy, watchdog: Watchdog, error: Any, what: dict[str, Any]
) -> None:
    with pytest.raises(error), inject(proxy, watchdog, **what):
        raise error
    assert (toxi.get_proxy("p").enabled, proxy.toxics()) == (True, {})


@pytest.mark.parametrize("what", [{"down": True}, {"toxic": LATENCY}])
def test_lease_is_renewed_as_long_as_the_block_runs(
    toxi: Any, proxy: Proxy, watchdog: Watchdog, what: dict[str, Any]
) -> None:
    with inject(proxy, watchdog, **what, lease=1.5):
        time.sleep(2.5)
        assert toxi.get_proxy("p").enabled is ("toxic" in what)
        kinds = [toxic.type for toxic in proxy.toxics().values()]
        assert ("latency" in kinds) is ("toxic" in what)


@pytest.mark.parametrize("what", [{"down": True}, {"toxic": LATENCY}])
def test_fault_that_somebody_ended_is_no_fault(
    toxi: Any, proxy: Proxy, watchdog: Watchdog, what: dict[str, Any]
) -> None:
    with pytest.raises(ToxiproxyError, match="ended before it should"), inject(proxy, watchdog, **what):
        toxi.reset()


def lose_lease(proxy: Proxy) -> None:
    proxy.disable(lease=0.1)
    time.sleep(0.4)
    proxy.disable()


def test_fault_whose_lease_ran_out_is_no_fault(embedded: Any, upstream: Any) -> None:
    proxy = embedded.create(upstream.address, "e")
    with pytest.raises(ToxiproxyError, match="its lease ran out"), inject(proxy, None, down=True, lease=9):
        lose_lease(proxy)


def test_refused_toxic_leaves_nothing(proxy: Proxy, watchdog: Watchdog) -> None:
    with (
        pytest.raises(ToxiproxyError, match="invalid toxic type"),
        inject(proxy, watchdog, toxic={"type": "wrong"}),
    ):
        pytest.fail("the block must not run")
    assert proxy.toxics() == {}


@pytest.mark.parametrize(
    "what", [{}, {"down": True, "toxic": LATENCY}, {"down": True, "lease": 31}, {"down": True, "lease": 0}]
)
def test_unclear_fault_is_a_usage_error(proxy: Proxy, watchdog: Watchdog, what: dict[str, Any]) -> None:
    with pytest.raises(UsageError), inject(proxy, watchdog, **what):
        pytest.fail("the block must not run")


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verification gives up soon."""
    monkeypatch.setattr("langchain_prodtest.toxiproxy.faults._PATIENCE", 0.5)


def test_rollback_without_a_live_upstream_is_not_verified(
    toxi: Any, watchdog: Watchdog, hurried: None, peer: Any
) -> None:
    proxy = toxi.create(peer.address, "p")
    with (
        pytest.raises(ToxiproxyError, match=r"rollback not verified.*accepts no connection"),
        inject(proxy, watchdog, toxic=LATENCY),
    ):
        peer._listener.close()


def test_toxic_of_an_earlier_run_is_not_verified_away(
    proxy: Proxy, watchdog: Watchdog, hurried: None
) -> None:
    proxy.add_toxic(name="prodtest-left", type="noop")
    with (
        pytest.raises(ToxiproxyError, match=r"rollback not verified.*prodtest-left"),
        inject(proxy, watchdog, down=True),
    ):
        pass


def test_proxy_that_is_gone_is_not_verified(
    toxi: Any, proxy: Proxy, watchdog: Watchdog, hurried: None
) -> None:
    with (
        pytest.raises(ToxiproxyError, match=r"rollback not verified.*it is gone"),
        inject(proxy, watchdog, down=True),
    ):
        proxy.destroy()


def destroy_and_raise(proxy: Proxy) -> None:
    proxy.destroy()
    raise ValueError("mine")


def test_error_of_the_block_goes_first_and_carries_the_rollbacks(
    proxy: Proxy, watchdog: Watchdog, hurried: None
) -> None:
    with pytest.raises(ValueError, match="mine") as caught, inject(proxy, watchdog, down=True):
        destroy_and_raise(proxy)
    assert "rollback not verified" in caught.value.__notes__[0]


def test_undo_is_registered_before_the_deed(toxi: Any, proxy: Proxy) -> None:
    enabled = []

    class Recorder(Watchdog):
        def add_http(self, *args: Any, **kwargs: Any) -> int:
            enabled.append(toxi.get_proxy("p").enabled)
            return super().add_http(*args, **kwargs)

    with Recorder() as recorder, inject(proxy, recorder, down=True):
        pass
    assert set(enabled) == {True}


def test_faults_on_one_proxy_may_overlap(toxi: Any, proxy: Proxy, watchdog: Watchdog) -> None:
    other = {"type": "limit_data", "stream": "upstream", "attributes": {"bytes": 9}}
    with inject(proxy, watchdog, toxic=LATENCY):
        with inject(proxy, watchdog, toxic=other), inject(proxy, watchdog, down=True):
            assert {toxic.type for toxic in proxy.toxics().values()} >= {"latency", "limit_data"}
            assert not toxi.get_proxy("p").enabled
        assert toxi.get_proxy("p").enabled
        assert [toxic.type for toxic in proxy.toxics().values()] == ["latency"]
    assert proxy.toxics() == {}


def test_faults_may_end_in_another_order_than_they_began(proxy: Proxy, watchdog: Watchdog) -> None:
    first = inject(proxy, watchdog, toxic=LATENCY)
    second = inject(proxy, watchdog, toxic={"type": "noop"})
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert [toxic.type for toxic in proxy.toxics().values()] == ["noop"]
    second.__exit__(None, None, None)
    assert proxy.toxics() == {}


def test_proxy_is_down_once_at_a_time(toxi: Any, proxy: Proxy, watchdog: Watchdog) -> None:
    with (
        inject(proxy, watchdog, down=True),
        pytest.raises(ToxiproxyError, match="is down already"),
        inject(proxy, watchdog, down=True),
    ):
        pytest.fail("the block must not run")
    assert toxi.get_proxy("p").enabled


def test_faults_at_once_are_limited(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langchain_prodtest.toxiproxy.faults._MAX_FAULTS", 1)
    with (
        inject(proxy, None, toxic=LATENCY),
        pytest.raises(ToxiproxyError, match="1 faults are in place already"),
        inject(proxy, None, toxic=LATENCY),
    ):
        pytest.fail("the block must not run")
    assert proxy.toxics() == {}


@pytest.mark.parametrize("what", [{"down": True}, {"toxic": LATENCY}])
def test_stop_file_ends_a_fault_within_a_second_and_it_is_no_fault(
    toxi: Any, proxy: Proxy, watchdog: Watchdog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: Any
) -> None:
    """Within a second in one of five attempts at least: a busy machine may delay anybody."""
    file = tmp_path / "stop"
    monkeypatch.setenv("PRODTEST_STOP_FILE", str(file))
    for _ in range(5):
        file.unlink(missing_ok=True)
        with (
            pytest.raises(ToxiproxyError, match=f"ended before it should: {file} appeared"),
            inject(proxy, watchdog, **what),
        ):
            took = until_gone(toxi, file)
        if took < 1:
            break
    assert took < 1
    with (
        pytest.raises(ToxiproxyError, match="delete it to inject faults again"),
        inject(proxy, watchdog, **what),
    ):
        pytest.fail("the block must not run")


def until_gone(toxi: Any, file: Path) -> float:
    file.touch()
    begun = time.monotonic()
    while not toxi.get_proxy("p").enabled or toxi.get_proxy("p").toxics():
        assert time.monotonic() < begun + 10
        time.sleep(0.02)
    return time.monotonic() - begun


def test_proxy_of_toxiproxy_python_is_taken(toxi: Any, proxy: Proxy, watchdog: Watchdog) -> None:
    package = toxiproxy.Toxiproxy()
    host, port = urlsplit(toxi.url).netloc.split(":")
    package.update_api_consumer(host, int(port))
    with inject(package.get_proxy("p"), watchdog, toxic=LATENCY):
        assert len(proxy.toxics()) == 1
    assert proxy.toxics() == {}
