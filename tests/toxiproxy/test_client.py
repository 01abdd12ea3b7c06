"""The client; each claim holds for both servers unless it names one."""

import asyncio
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
import toxiproxy  # type: ignore[import-untyped]

from langchain_prodtest.errors import ToxiproxyError, UsageError
from langchain_prodtest.toxiproxy.async_client import AsyncProxy, AsyncToxiproxy
from langchain_prodtest.toxiproxy.client import Proxy, Toxiproxy
from langchain_prodtest.toxiproxy.package import adopt_proxy, adopt_toxiproxy

UPSTREAM = "127.0.0.1:9"


@pytest.fixture(params=["this package", "toxiproxy-python"])
def library(request: pytest.FixtureRequest, toxi: Any) -> Any:
    """A Toxiproxy object of either library that talks to the server, and a client of ours beside it."""
    made = Toxiproxy() if request.param == "this package" else toxiproxy.Toxiproxy()
    host, port = urlsplit(toxi.url).netloc.split(":")
    made.update_api_consumer(host, int(port))
    return made


def test_script_written_for_toxiproxy_python_runs_with_both(library: Any) -> None:
    assert library.running()
    library.destroy_all()
    proxy = library.create(name="test", upstream=UPSTREAM, listen="127.0.0.1:0")
    assert (proxy.name, proxy.upstream, proxy.enabled) == ("test", UPSTREAM, True)
    assert library.get_proxy("test").listen == proxy.listen
    assert library.get_proxy("none") is None
    assert list(library.proxies()) == ["test"]
    proxy.add_toxic(type="latency", attributes={"latency": 100, "jitter": 25})
    proxy.add_toxic(name="mine", type="timeout", stream="upstream", toxicity=0.5, attributes={"timeout": 7})
    toxic = proxy.get_toxic("mine")
    assert (toxic.name, toxic.type, toxic.stream, toxic.toxicity) == ("mine", "timeout", "upstream", 0.5)
    assert toxic.attributes == {"timeout": 7}
    assert sorted(proxy.toxics()) == ["latency_downstream", "mine"]
    assert proxy.get_toxic("none") is None
    assert proxy.destroy_toxic("mine") is True
    proxy.disable()
    assert (proxy.enabled, library.get_proxy("test").enabled) == (False, False)
    proxy.enable()
    with proxy.down():
        assert not library.get_proxy("test").enabled
    assert library.get_proxy("test").enabled
    assert library.reset() is True
    assert proxy.toxics() == {}
    listen = library.get_proxy("test").listen
    wanted = [
        {"name": "a", "upstream": UPSTREAM},
        {"name": "test", "upstream": UPSTREAM, "listen": listen},
    ]
    assert [each.name for each in library.populate(wanted)] == ["a"]
    wanted[1]["upstream"] = "127.0.0.1:10"
    assert [each.upstream for each in library.populate(wanted[1:])] == ["127.0.0.1:10"]
    assert library.destroy(library.get_proxy("a")) is True
    assert library.get_proxy("test").destroy() is True
    assert library.proxies() == {}


def test_objects_of_toxiproxy_python_are_adopted(library: Any) -> None:
    proxy = library.create(name="test", upstream=UPSTREAM)
    assert adopt_toxiproxy(library).proxies()["test"].listen == proxy.listen
    with adopt_proxy(proxy).toxic(type="noop"):
        assert list(proxy.toxics()) == ["noop_downstream"]


@pytest.mark.parametrize("adopt", [adopt_toxiproxy, adopt_proxy])
def test_other_objects_are_not_adopted(adopt: Any) -> None:
    with pytest.raises(UsageError, match="is needed, not 'http"):
        adopt("http://127.0.0.1")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_toxic_of_a_block_is_removed_when_the_body_raised(toxi: Any, error: Any) -> None:
    proxy = toxi.create(UPSTREAM, "p")
    seen = []
    with pytest.raises(error), proxy.toxic(type="latency", attributes={"latency": 3}):
        raise_after(error, lambda: seen.extend(proxy.toxics()))
    assert (seen, proxy.toxics()) == (["latency_downstream"], {})


def raise_after(error: type[BaseException], look: Any) -> None:
    look()
    raise error


def test_toxic_that_is_gone_already_does_not_disturb_the_end_of_the_block(toxi: Any) -> None:
    proxy = toxi.create(UPSTREAM, "p")
    with proxy.toxic(type="noop"):
        toxi.reset()
    assert proxy.toxics() == {}


def test_update_keeps_what_it_does_not_name(toxi: Any) -> None:
    proxy = toxi.create(UPSTREAM, "p")
    proxy.add_toxic("t", "latency", attributes={"latency": 3, "jitter": 1})
    assert proxy.update_toxic("t", toxicity=0.5).attributes == {"latency": 3, "jitter": 1}
    updated = proxy.update_toxic("t", {"latency": 4})
    assert (updated.attributes, updated.toxicity) == ({"latency": 4, "jitter": 1}, 0.5)


def test_reset_reads_back(stranger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Toxiproxy(stranger)
    shown: dict[str, Any] = {"p": {"enabled": False, "toxics": []}}
    monkeypatch.setattr(client, "request", lambda method, path: shown if method == "GET" else None)
    with pytest.raises(ToxiproxyError, match='"p" is disabled after a reset'):
        client.reset()
    shown["p"] = {"enabled": True, "toxics": [{"name": "t"}]}
    with pytest.raises(ToxiproxyError, match='"p" has the toxic t after a reset'):
        client.reset()


@pytest.mark.asyncio
async def test_async_client_does_the_same(toxi: Any) -> None:
    client = AsyncToxiproxy(toxi.url)
    assert await client.running()
    assert await client.version() == toxi.version()
    proxy = await client.create(UPSTREAM, "p")
    other: Any = await client.get_proxy("p")
    assert other.sync.listen == proxy.sync.listen
    assert await client.get_proxy("none") is None
    async with proxy.toxic(name="t", type="latency", attributes={"latency": 1}):
        assert (await proxy.update_toxic("t", {"latency": 2})).attributes["latency"] == 2
        assert list(await proxy.toxics()) == ["t"]
    assert await proxy.toxics() == {}
    async with proxy.down():
        assert not toxi.get_proxy("p").enabled
    await proxy.disable()
    assert await client.reset()
    assert list(await client.proxies()) == ["p"]
    assert toxi.get_proxy("p").enabled
    assert [each.sync.name for each in await client.populate([{"name": "q", "upstream": UPSTREAM}])] == ["q"]
    assert await proxy.destroy()
    await client.destroy_all()
    assert await client.proxies() == {}


@pytest.mark.asyncio
async def test_cancelled_task_leaves_no_fault(toxi: Any) -> None:
    proxy = AsyncProxy(toxi.create(UPSTREAM, "p"))
    entered = asyncio.Event()

    async def hold() -> None:
        async with proxy.down(), proxy.toxic(type="noop"):
            entered.set()
            await asyncio.sleep(60)

    for wait in (entered.wait(), asyncio.sleep(0), asyncio.sleep(0.003)):
        task = asyncio.create_task(hold())
        await wait
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        deadline = asyncio.get_running_loop().time() + 10
        while not (toxi.get_proxy("p").enabled and not toxi.get_proxy("p").toxics()):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.02)


class Old(http.server.BaseHTTPRequestHandler):
    """Toxiproxy before 2.6: no PATCH, and the version is bare text."""

    asked: ClassVar[list[str]] = []

    def answer(self, status: int, body: bytes) -> None:
        Old.asked.append(self.command)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer(200, b"2.1.4")

    def do_PATCH(self) -> None:
        self.answer(405, b"")

    def do_POST(self) -> None:
        shown = {"name": "p", "listen": "127.0.0.1:1", "upstream": UPSTREAM, "enabled": False, "toxics": []}
        self.answer(200, json.dumps(shown).encode())

    def log_message(self, *args: Any) -> None:
        pass


def test_server_before_2_6_is_updated_by_post() -> None:
    with serving_http(Old) as url:
        client = Toxiproxy(url)
        assert client.version() == "2.1.4"
        Old.asked.clear()
        proxy = Proxy(client, "p", "127.0.0.1:1", UPSTREAM, True)
        proxy.disable()
        proxy.disable()
    assert Old.asked == ["PATCH", "POST", "POST"]
    assert not proxy.enabled


def test_script_with_default_arguments_runs(toxi: Any) -> None:
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
    assert [each.name for each in proxies] == ["a"]
    toxi.destroy(proxies[0])
    proxy.destroy()
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
    with serving_http(Stranger) as url:
        yield url


@contextmanager
def serving_http(handler: Any) -> Iterator[Any]:
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
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
