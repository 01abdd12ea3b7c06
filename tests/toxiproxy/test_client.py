"""The client; each claim holds for both servers unless it names one."""

import http.server
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.client import Toxiproxy

UPSTREAM = "127.0.0.1:9"


def test_script_written_for_toxiproxy_python_runs(toxi: Any) -> None:
    assert toxi.running()
    toxi.destroy_all()
    proxy = toxi.create(name="test", upstream=UPSTREAM)
    assert (proxy.name, proxy.upstream, proxy.enabled) == ("test", UPSTREAM, True)
    assert toxi.get_proxy("test").listen == proxy.listen
    assert list(toxi.proxies()) == ["test"]
    proxy.add_toxic(type="latency", attributes={"latency": 100, "jitter": 25})
    proxy.add_toxic(name="mine", type="timeout", stream="upstream", toxicity=0.5)
    toxic: Any = proxy.get_toxic("mine")
    assert (toxic.type, toxic.stream, toxic.toxicity, toxic.attributes) == (
        "timeout",
        "upstream",
        0.5,
        {"timeout": 0},
    )
    assert sorted(proxy.toxics()) == ["latency_downstream", "mine"]
    proxy.destroy_toxic("mine")
    proxy.disable()
    assert not toxi.get_proxy("test").enabled
    proxy.enable()
    with proxy.down():
        assert not toxi.get_proxy("test").enabled
    assert toxi.get_proxy("test").enabled
    toxi.reset()
    assert proxy.toxics() == {}
    proxies = toxi.populate([{"name": "a", "upstream": UPSTREAM}, {"name": "test", "upstream": UPSTREAM}])
    assert [each.name for each in proxies] == ["a", "test"]
    toxi.destroy(proxies[0])
    proxies[1].destroy()
    assert toxi.proxies() == {}


def test_missing_proxy_and_toxic_are_none(toxi: Any) -> None:
    assert toxi.get_proxy("none") is None
    assert toxi.create(UPSTREAM, "p").get_toxic("none") is None


def test_down_enables_again_when_the_body_raised(toxi: Any) -> None:
    proxy = toxi.create(UPSTREAM, "p")
    with pytest.raises(KeyboardInterrupt), proxy.down():
        raise KeyboardInterrupt
    assert toxi.get_proxy("p").enabled


@pytest.mark.parametrize(
    ("provoke", "status", "text"),
    [
        (lambda toxi: toxi.create(UPSTREAM, "p"), 409, "proxy already exists"),
        (lambda toxi: toxi.destroy("none"), 404, "proxy not found"),
        (lambda toxi: toxi.get_proxy("p").add_toxic(type="wrong"), 400, "invalid toxic type"),
        (lambda toxi: toxi.create("", "q"), 400, "missing required field: upstream"),
    ],
)
def test_errors_carry_the_servers_text_and_status(toxi: Any, provoke: Any, status: int, text: str) -> None:
    toxi.create(UPSTREAM, "p")
    with pytest.raises(ToxiproxyError, match=text) as caught:
        provoke(toxi)
    assert caught.value.status == status


def test_names_are_quoted_in_paths(toxi: Any) -> None:
    proxy = toxi.create(UPSTREAM, "a b?é#%")
    proxy.add_toxic(name="c d?", type="noop")
    proxy.destroy_toxic("c d?")
    assert toxi.get_proxy("a b?é#%").toxics() == {}


def test_two_servers_at_once_do_not_mix(toxi: Any, embedded: Any) -> None:
    toxi.create(UPSTREAM, "here")
    embedded.create(UPSTREAM, "there")
    assert list(embedded.proxies()) != list(toxi.proxies())


def test_proxy_variables_have_no_effect(toxi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert toxi.running()


def test_nobody_there_is_an_error_that_says_where_and_how_to_get_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = Toxiproxy(f"127.0.0.1:{port}")
    with pytest.raises(ToxiproxyError, match=f"127.0.0.1:{port} .*toxiproxy-server") as caught:
        client.proxies()
    assert caught.value.status == 0
    assert not client.running()


def test_silent_server_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = Toxiproxy(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)
        with pytest.raises(ToxiproxyError, match="timed out"):
            client.version()


@pytest.mark.parametrize("url", ["https://127.0.0.1:8474", "http://", "ftp://x"])
def test_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ToxiproxyError, match="is not the address of a Toxiproxy"):
        Toxiproxy(url)


class Stranger(http.server.BaseHTTPRequestHandler):
    seen: str | None = None

    def do_GET(self) -> None:
        Stranger.seen = self.headers["Authorization"]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>hello</html>")

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def stranger() -> Iterator[Any]:
    with http.server.HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_another_http_server_is_told_apart(stranger: str) -> None:
    with pytest.raises(ToxiproxyError, match="is no Toxiproxy"):
        Toxiproxy(stranger).version()
    assert not Toxiproxy(stranger).running()


def test_token_is_sent_as_bearer(stranger: str) -> None:
    Toxiproxy(stranger, token="secret").running()
    assert Stranger.seen == "Bearer secret"
