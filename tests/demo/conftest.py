"""The reference service as a process, and in this process, both against fake providers on the wire."""

import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from langchain_prodtest.script import Reply, Request, Script, ToolCall, answer_for, new_nonce
from langchain_prodtest.wire.server import FakeServer

_numbers = itertools.count(1)
Event = tuple[str, dict[str, Any]]
DEADLINE = 4.0
KEYS = {"OPENAI_API_KEY": "sk-canary-first", "FALLBACK_API_KEY": "sk-canary-second"}


def default(request: Request) -> Reply:
    """Ask for the tool when a seat is to be booked and was not yet; else the right answer to the nonce."""
    asked = [m for m in request.messages if m["role"] == "user" and "book" in m["content"]]
    if asked and request.messages[-1]["role"] == "user":
        return Reply(tool_calls=[ToolCall("book_seat", {"seat": "12A"})])
    return Reply(answer_for(request.nonce))


class Fakes:
    """Both providers, and the environment that points the service at them."""

    def __init__(self) -> None:
        self.script = Script(default=default)
        self.server = FakeServer(self.script, {"openai": "openai", "backup": "openai"})

    @property
    def environ(self) -> dict[str, str]:
        return {
            "OPENAI_BASE_URL": self.server.url("openai"),
            "FALLBACK_BASE_URL": self.server.url("backup"),
            **KEYS,
        }

    def wait_until_open(self, count: int) -> None:
        """Return when `count` requests are being answered."""
        for _ in range(400):
            if len(self.server.open) == count:
                return
            time.sleep(0.025)
        pytest.fail(f"{len(self.server.open)} requests are open, not {count}")

    def providers(self, count: int) -> list[str]:
        """Return whom the first `count` finished requests went to, in the order of their arrival."""
        calls = self.script.wait_for(count)
        return [call.provider for call in sorted(calls, key=lambda call: call.received)]


class Stream:
    """An answer being read."""

    def __init__(self, port: int, message: str, headers: dict[str, str]) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        body = json.dumps({"message": message})
        self.connection.request("POST", "/chat", body, {"content-type": "application/json", **headers})
        self.response = self.connection.getresponse()
        self.status = self.response.status

    def next(self) -> Event | None:
        """Return the next event; None at the end of the stream, however it came."""
        lines: list[str] = []
        with contextlib.suppress(http.client.IncompleteRead, ConnectionError):
            while line := self.response.readline().decode().strip():
                lines.append(line)
        if len(lines) < 2:
            return None
        return lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))

    def rest(self) -> list[Event]:
        """Read to the end of the stream."""
        events = list(iter(self.next, None))
        self.close()
        return events

    def close(self) -> None:
        self.response.close()
        self.connection.close()


class Service:
    """`python -m langchain_prodtest.demo.service` in a process of its own."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.log = log
        environ = {**os.environ, "LANGSMITH_TRACING": "false", **environ, "PORT": str(self.port)}
        command = [sys.executable, "-m", "langchain_prodtest.demo.service"]
        with log.open("w") as file:
            self.process = subprocess.Popen(command, env=environ, stdout=file, stderr=file)

    def wait_until_ready(self) -> None:
        for _ in range(1200):
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(ConnectionError):
                if self.get("/readyz")[0] == 200:
                    return
            time.sleep(0.05)
        pytest.fail(f"the service did not become ready:\n{self.log.read_text()}")

    def get(self, path: str) -> tuple[int, str]:
        return self._exchange("GET", path)

    def post(self, path: str, body: str) -> tuple[int, str]:
        return self._exchange("POST", path, body)

    def _exchange(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text

    def open(self, message: str, **headers: str) -> Stream:
        return Stream(self.port, message, headers)

    def ask(self, message: str, **headers: str) -> list[Event]:
        return self.open(message, **headers).rest()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of one event, waiting a little for the first."""
        for _ in range(100):
            lines = [json.loads(line) for line in self.log.read_text().splitlines()]
            if found := [line for line in lines if line["event"] == event]:
                return found
            time.sleep(0.05)
        return []

    def metric(self, series: str) -> float:
        """Return the value of one series, 0 when it is not there."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(f"{series} "):
                return float(line.split()[-1])
        return 0.0

    def wait_for_metric(self, series: str, value: float) -> bool:
        """Tell whether a series comes to `value` within ten seconds."""
        for _ in range(200):
            if self.metric(series) == value:
                return True
            time.sleep(0.05)
        return False

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def text_of(events: list[Event]) -> str:
    return "".join(data["text"] for name, data in events if name == "token")


@pytest.fixture(scope="session")
def _fakes() -> Iterator[Fakes]:
    fakes = Fakes()
    fakes.server.start()
    yield fakes
    fakes.server.stop()


@pytest.fixture
def fakes(_fakes: Fakes) -> Iterator[Fakes]:
    """The providers, with nothing scripted and nothing journalled."""
    yield _fakes
    _fakes.wait_until_open(0)
    _fakes.script.reset()


@pytest.fixture(scope="session")
def service(_fakes: Fakes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The healthy service; its process is shared by all tests that leave it running."""
    environ = {**_fakes.environ, "DEADLINE_SECONDS": str(DEADLINE)}
    service = Service(environ, tmp_path_factory.mktemp("service") / "log")
    service.wait_until_ready()
    yield service
    service.stop()


@pytest.fixture
def start(fakes: Fakes, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """A function that starts a service of the test's own."""
    started: list[Service] = []

    def start(**environ: str) -> Service:
        started.append(Service({**fakes.environ, **environ}, tmp_path / f"log{len(started)}"))
        started[-1].wait_until_ready()
        return started[-1]

    yield start
    for service in started:
        service.stop()


@pytest.fixture
def nonce() -> str:
    """A nonce that no other test has."""
    return new_nonce(next(_numbers))


@pytest.fixture
def text() -> Callable[[list[Event]], str]:
    """The text of an answer's `token` events."""
    return text_of
