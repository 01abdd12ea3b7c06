"""Which Toxiproxy is used, and that what was started is stopped."""

import http.server
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from langchain_prodtest.errors import UsageError
from langchain_prodtest.toxiproxy.client import Toxiproxy
from langchain_prodtest.toxiproxy.resolve import Resolved, resolve


@pytest.fixture
def nowhere() -> Any:
    """An address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_given_address_wins_and_is_left_running(embedded_server: Resolved, nowhere: str) -> None:
    with resolve(embedded_server.url, {"TOXIPROXY_URL": nowhere}) as resolved:
        assert (resolved.kind, resolved.url, resolved.process) == ("given", embedded_server.url, None)
        assert resolved.version == "2.13.0"
    assert Toxiproxy(embedded_server.url).running()


def test_environment_comes_next(embedded_server: Resolved) -> None:
    with resolve(env={"TOXIPROXY_URL": embedded_server.url}) as resolved:
        assert (resolved.kind, resolved.url) == ("given", embedded_server.url)


@pytest.mark.parametrize("source", ["--toxiproxy", "TOXIPROXY_URL"])
def test_given_address_without_a_server_is_a_usage_error(nowhere: str, source: str) -> None:
    given, env = (nowhere, {}) if source == "--toxiproxy" else (None, {"TOXIPROXY_URL": nowhere})
    with pytest.raises(UsageError, match=f"{source} cannot be used.*{nowhere}"), resolve(given, env):
        pass


def test_given_server_with_another_token_is_a_usage_error(
    serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(env={**os.environ, "TOXIPROXY_AUTH_TOKEN": "secret"}) as served:
        for token in ("", "wrong"):
            monkeypatch.setenv("TOXIPROXY_AUTH_TOKEN", token)
            with (
                pytest.raises(UsageError, match=r"cannot be used: unauthorized\. Give its token in"),
                resolve(served.url),
            ):
                pass
        monkeypatch.setenv("TOXIPROXY_AUTH_TOKEN", "secret")
        with resolve(served.url) as resolved:
            assert resolved.client().proxies() == {}


class First(http.server.BaseHTTPRequestHandler):
    """Toxiproxy 1.2, which had another API."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"1.2.1")

    def log_message(self, *args: Any) -> None:
        pass


def test_given_server_of_the_first_api_is_a_usage_error() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), First) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with (
            pytest.raises(UsageError, match=r"is version 1\.2\.1; 2\.0 or later is needed"),
            resolve(f"http://127.0.0.1:{server.server_port}"),
        ):
            pass
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", ["real", "embedded"])
def test_what_was_started_is_stopped_also_after_an_error(environment: Any, kind: str) -> None:
    seen: list[Any] = []

    def interrupted() -> None:
        with resolve(env=environment(kind)) as resolved:
            seen.append(resolved)
            assert resolved.client().running()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    (resolved,) = seen
    assert resolved.kind == kind
    assert resolved.process.returncode is not None
    assert not resolved.client().running()


@pytest.mark.parametrize("kind", ["real", "embedded"])
def test_what_is_started_has_its_own_session_out_of_reach_of_ctrl_c(environment: Any, kind: str) -> None:
    with resolve(env=environment(kind)) as resolved:
        assert resolved.process is not None
        assert os.getsid(resolved.process.pid) == resolved.process.pid != os.getsid(0)


def test_program_that_is_no_toxiproxy_is_a_usage_error(tmp_path: Path) -> None:
    program = tmp_path / "toxiproxy-server"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    with (
        pytest.raises(UsageError, match="was started, but does not answer"),
        resolve(env={"PATH": str(tmp_path)}),
    ):
        pass
