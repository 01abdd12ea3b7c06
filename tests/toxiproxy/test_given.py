"""A rig on a Toxiproxy that was given: what is not ours is not touched. Each claim holds for every server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from langchain_prodtest.chaos.experiment import FaultSpec, read_experiment
from langchain_prodtest.config import Config, Proxy, Target
from langchain_prodtest.errors import ToxiproxyError, UsageError
from langchain_prodtest.evidence import Run
from langchain_prodtest.rig.bundled import bundled
from langchain_prodtest.rig.rig import Rig
from langchain_prodtest.toxiproxy import client


@pytest.fixture
def rig(toxi: Any, peer: Any, tmp_path: Path) -> Any:
    """Make a rig with a proxy "db" to the peer, on the given Toxiproxy; the service is the peer too."""

    def make(**proxy: str) -> Rig:
        target = Target(url=f"http://{peer.address}/chat")
        wanted = Proxy(**{"name": "db", "upstream": peer.address, **proxy})
        config = Config(path=tmp_path / "prodtest.toml", target=target, proxies=(wanted,))
        return Rig(config, Run(tmp_path / "run"), toxi.url, lambda *_: None)

    return make


@pytest.fixture
def theirs(toxi: Any, peer: Any) -> Iterator[Any]:
    """Somebody's proxy "db" with a toxic and an open connection; all of that must outlive the test."""
    proxy = toxi.create(peer.address, "db")
    proxy.add_toxic(name="theirs", type="noop")
    before = toxi.request("GET", "/proxies")
    one, other = peer.connect(proxy)
    with one, other:
        yield proxy
        other.sendall(b"x")
        assert one.recv(1) == b"x"
    assert toxi.request("GET", "/proxies") == before


@pytest.mark.parametrize("wanted", [{"upstream": "127.0.0.1:9"}, {"listen": "127.0.0.1:9"}])
def test_proxy_of_the_same_name_that_leads_elsewhere_is_refused(rig: Any, theirs: Any, wanted: Any) -> None:
    with (
        pytest.raises(UsageError, match=f'has a proxy "db" already, from {theirs.listen} to .*another name'),
        rig(**wanted),
    ):
        pytest.fail("the rig must not start")


def test_proxy_of_the_same_name_and_addresses_is_used_and_stays(rig: Any, theirs: Any) -> None:
    with rig(listen=theirs.listen) as started:
        assert started._proxies["db"].listen == theirs.listen


def test_proxy_that_somebody_creates_meanwhile_is_not_deleted(
    rig: Any, theirs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.Toxiproxy, "get_proxy", lambda *_: None)
    with pytest.raises(ToxiproxyError, match="proxy already exists"), rig():
        pytest.fail("the rig must not start")


@pytest.mark.parametrize(
    "fault",
    [
        FaultSpec(proxy="db", toxic="prodtest_close", after_time="1s"),
        FaultSpec(proxy="db", toxic="packet_loss", loss_rate=0.5),
    ],
    ids=lambda fault: fault.toxic,
)
def test_toxic_that_the_server_does_not_take_is_refused_before_the_load(
    rig: Any, theirs: Any, toxi: Any, kind: str, fault: FaultSpec
) -> None:
    """The embedded server knows both toxics, Toxiproxy 2.12 neither."""
    experiment = read_experiment(bundled("chaos") / "provider-outage.toml")
    with rig(listen=theirs.listen) as started:
        wrong = msgspec.structs.replace(experiment, faults=(fault,))
        if kind == "embedded":
            started._check_names(wrong)
        else:
            with pytest.raises(UsageError, match=f"toxic {fault.toxic} is refused by Toxiproxy"):
                started._check_names(wrong)
        assert list(toxi.proxies()) == ["db"]
