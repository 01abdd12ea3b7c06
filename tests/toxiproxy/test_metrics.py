"""/metrics: the original's series, and when they move."""

import re
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from langchain_prodtest.toxiproxy.client import Toxiproxy


@pytest.fixture(params=["embedded", "strict", "real"])
def measured(request: pytest.FixtureRequest, serving: Any, environment: Any) -> Iterator[Any]:
    """The kind and the client of a server with both kinds of metrics on."""
    if request.param != "real":
        strict = ["--strict"] * (request.param == "strict")
        with serving("--proxy-metrics", "--runtime-metrics", *strict) as served:
            yield request.param, Toxiproxy(served.url)
        return
    env = environment("real")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = ["toxiproxy-server", "-port", port, "-proxy-metrics", "-runtime-metrics"]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as process:
        client = Toxiproxy(f"http://127.0.0.1:{port}")
        while not client.running():
            assert process.poll() is None
        yield "real", client
        process.kill()


def read(client: Toxiproxy, **headers: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(f"{client.url}/metrics", headers=headers)) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def moved(client: Toxiproxy) -> Any:
    lines = re.findall(
        r'^toxiproxy_proxy_(\w+)_bytes_total{direction="(\w+)",.*} (\d+)$', read(client)[1], re.M
    )
    return {(what, direction): int(count) for what, direction, count in lines if int(count)}


def test_bytes_are_counted_by_direction(measured: Any, peer: Any, until: Any) -> None:
    kind, client = measured
    proxy = client.create(peer.address, "p")
    one, other = peer.connect(proxy)
    with one, other:
        one.sendall(b"12345")
        assert other.recv(10) == b"12345"
        other.sendall(b"123")
        assert one.recv(10) == b"123"
        while_open = moved(client)
    whole = {
        ("received", "upstream"): 5, ("sent", "upstream"): 5,
        ("received", "downstream"): 3, ("sent", "downstream"): 3,
    }  # fmt: skip
    assert while_open == (whole if kind == "embedded" else {})
    until(lambda: moved(client).get(("received", "upstream")) == 5)


def test_text_names_proxy_listener_and_upstream(measured: Any, peer: Any, until: Any) -> None:
    _, client = measured
    proxy = client.create(peer.address, 'a "b')
    for sock in peer.connect(proxy):
        sock.close()
    labels = f'listener="{proxy.listen}",proxy="a \\"b",upstream="{peer.address}"'
    until(lambda: labels in read(client)[1])
    content_type, text = read(client)
    assert content_type.startswith("text/plain; version=0.0.4; charset=utf-8")
    assert "process_cpu_seconds_total " in text


def test_browsers_get_no_metrics(measured: Any) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403"):
        read(measured[1], **{"User-Agent": "Mozilla/5.0"})
