import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from langchain_prodtest.toxiproxy.client import Proxy, Toxiproxy
from langchain_prodtest.toxiproxy.resolve import Resolved, resolve

REAL = "toxiproxy-server"


def _environment(kind: str) -> Any:
    """The environment in which `resolve` finds this kind of server."""
    env = {name: value for name, value in os.environ.items() if name != "TOXIPROXY_URL"}
    return env if kind == "real" else {**env, "PATH": "/nowhere"}


def _need(kind: str) -> None:
    if kind == "real" and shutil.which(REAL) is None:
        pytest.skip(f"no {REAL} on PATH: go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0")


@pytest.fixture(scope="module", params=["embedded", "strict", "real"])
def kind(request: pytest.FixtureRequest) -> Any:
    _need(request.param)
    return request.param


@pytest.fixture(scope="module")
def running(kind: str) -> Iterator[Any]:
    if kind == "strict":
        with _serving("--strict") as served:
            yield served
        return
    with resolve(env=_environment(kind)) as resolved:
        assert resolved.kind == kind
        yield resolved


@contextmanager
def _serving(*options: str, env: Any = None) -> Iterator[Any]:
    """An embedded server with these options; what it was resolved to."""
    command = [sys.executable, "-m", "langchain_prodtest.toxiproxy", "--port", "0", *options]
    process: Any = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    try:
        yield Resolved(process.stdout.readline().split()[-1], "embedded", "", process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def serving() -> Any:
    """Start an embedded server with options."""
    return _serving


@pytest.fixture
def toxi(running: Resolved) -> Iterator[Any]:
    """A client of an empty server: embedded, embedded and strict, and real."""
    client = Toxiproxy(running.url)
    yield client
    client.destroy_all()


@pytest.fixture(scope="module")
def embedded_server() -> Iterator[Any]:
    with resolve(env=_environment("embedded")) as resolved:
        yield resolved


@pytest.fixture
def embedded(embedded_server: Resolved) -> Iterator[Any]:
    """A client of an empty embedded server."""
    client = Toxiproxy(embedded_server.url)
    yield client
    client.destroy_all()


@pytest.fixture
def peer() -> Iterator[Any]:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        listener.settimeout(10)
        yield Peer(listener)


class Peer:
    """An upstream whose accepted sockets the test holds in its hand."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"

    def connect(self, proxy: Proxy) -> Any:
        """Connect through a proxy; returns the client's and the upstream's socket."""
        client = _dial(proxy.listen)
        server, _ = self._listener.accept()
        server.settimeout(10)
        return client, server


def _dial(address: str) -> Any:
    host, port = address.rsplit(":", 1)
    client = socket.create_connection((host.strip("[]"), int(port)), timeout=10)
    client.settimeout(10)
    return client


def _until(condition: Any, seconds: float = 15.0) -> Any:
    """Wait until a condition holds; its value, or a failure."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{condition} did not come true within {seconds} s")


@pytest.fixture
def dial() -> Any:
    """Connect to an address a server showed."""
    return _dial


@pytest.fixture
def until() -> Any:
    """Wait for a condition."""
    return _until


@pytest.fixture
def environment() -> Any:
    """The environment in which `resolve` finds a kind of server; skips if there is none."""

    def of(kind: str) -> Any:
        _need(kind)
        return _environment(kind)

    return of
