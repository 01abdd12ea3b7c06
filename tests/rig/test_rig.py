"""The rig wires target, proxies and fakes together, and refuses names it does not have."""

import urllib.request
from pathlib import Path

import msgspec
import pytest

from langchain_prodtest.chaos.experiment import FaultSpec, read_experiment
from langchain_prodtest.config import Config, Proxy, Target
from langchain_prodtest.errors import UsageError
from langchain_prodtest.evidence import Run
from langchain_prodtest.rig.bundled import bundled
from langchain_prodtest.rig.rig import Rig

SHOW = """import http.server, os, sys
print(os.environ['BASE'], os.environ['AT'], flush=True)
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind='127.0.0.1')"""


def config(tmp_path: Path, **env: str) -> Config:
    target = Target(
        url="http://127.0.0.1:{port}/chat",
        command=f'{{python}} -c "{SHOW}" {{port}}',
        env=env or {"BASE": "{openai.url}", "AT": "{openai}"},
        ready="/",
    )
    return Config(
        path=tmp_path / "prodtest.toml",
        target=target,
        proxies=(Proxy(name="openai", upstream="fake:openai"),),
    )


def test_the_service_reaches_the_fake_through_the_proxy(tmp_path: Path) -> None:
    """The base URL in its environment leads through the proxy; the journal sees the call."""
    said: list[str] = []
    run = Run(tmp_path / "run")
    with Rig(config(tmp_path), run, None, lambda name, _: said.append(name)) as rig:
        base, address = (run.path / "service.log").read_text().split()[:2]
        assert base == f"http://{address}/openai/v1"
        request = urllib.request.Request(
            f"{base}/chat/completions", b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            assert answer.status == 200
        assert [call.provider for call in rig.calls()] == ["openai"]
    assert said == ["fakes", "toxiproxy", "service"]


def test_an_unknown_placeholder_is_said_with_the_valid_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'BASE = "\{opanai\.url\}".*Did you mean "openai"'):
        Rig(config(tmp_path, BASE="{opanai.url}"), Run(tmp_path / "run"), None, lambda *_: None).__enter__()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (FaultSpec(provider="opanai", status=503), 'unknown fake provider "opanai". Did you mean "openai"'),
        (FaultSpec(proxy="postgres", down=True), 'unknown proxy "postgres"'),
    ],
)
def test_a_fault_on_something_unknown_is_refused_before_the_load(
    fault: FaultSpec, says: str, tmp_path: Path
) -> None:
    experiment = read_experiment(bundled("chaos") / "provider-outage.toml")
    wrong = msgspec.structs.replace(experiment, faults=(fault,))
    with Rig(config(tmp_path), Run(tmp_path / "run"), None, lambda *_: None) as rig:
        with pytest.raises(UsageError) as raised, rig.start_load(wrong):
            pass
        assert says in str(raised.value)


def test_a_signal_needs_a_service_of_ours(tmp_path: Path) -> None:
    """A service that was not started here is never signalled."""
    import http.server
    import threading

    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        target = Target(url=f"http://127.0.0.1:{server.server_port}/chat")
        experiment = read_experiment(bundled("chaos") / "sigterm.toml")
        with (
            Rig(Config(target=target), Run(tmp_path / "run"), None, lambda *_: None) as rig,
            pytest.raises(UsageError, match=r"needs \[target\] command"),
            rig.start_load(experiment),
        ):
            pass
    finally:
        server.shutdown()
        server.server_close()
