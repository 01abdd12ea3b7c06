"""The embedded server as a process."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.client import Toxiproxy

COMMAND = [sys.executable, "-m", "langchain_prodtest.toxiproxy"]


@pytest.fixture
def start() -> Iterator[Any]:
    started = []

    def run(*options: str) -> Any:
        process: Any = subprocess.Popen(
            [*COMMAND, "--port", "0", *options], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process, Toxiproxy(process.stdout.readline().split()[-1])

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_with_0(start: Any, number: signal.Signals) -> None:
    process, client = start()
    assert client.running()
    process.send_signal(number)
    assert process.wait(15) == 0


def test_its_end_closes_whatever_is_open_without_a_word(start: Any, peer: Any, capfd: Any) -> None:
    process, client = start()
    proxy = client.create(peer.address, "p")
    proxy.add_toxic(type="latency", attributes={"latency": 60_000})
    one, other = peer.connect(proxy)
    with one, other, socket.create_connection(urlsplit(client.url).netloc.split(":")) as half:
        other.sendall(b"held")
        half.sendall(b"GET /ver")
        assert client.running()
        process.terminate()
        assert process.wait(15) == 0
        assert (one.recv(1), half.recv(1)) == (b"", b"")
    assert capfd.readouterr().err == ""


def test_port_in_use_is_exit_2_and_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*COMMAND, "--port", port], capture_output=True, text=True, timeout=30, check=False
        )
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr
    assert "--port" in done.stderr


def test_host_that_is_not_loopback_is_exit_2() -> None:
    done = subprocess.run(
        [*COMMAND, "--host", "0.0.0.0"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert "loopback" in done.stderr


def test_it_ends_when_its_parent_was_killed(start: Any) -> None:
    parent = subprocess.Popen(["sleep", "600"])
    process, _ = start("--parent", str(parent.pid))
    parent.kill()
    assert process.wait(15) == 0
    parent.wait()


def test_same_seed_draws_the_same_connections(start: Any, peer: Any) -> None:
    def spared(seed: str) -> Any:
        _, client = start("--seed", seed)
        proxy = client.create(peer.address, "p")
        proxy.add_toxic(type="limit_data", toxicity=0.5)
        pattern = []
        for _ in range(20):
            one, other = peer.connect(proxy)
            with one, other:
                other.sendall(b"x")
                pattern.append(one.recv(1))
        return pattern

    assert spared("7") == spared("7")
    assert spared("7") != spared("8")


def test_garbage_on_the_api_port_does_no_harm(embedded: Any) -> None:
    rng = random.Random(5)
    valid = b"POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n"
    inputs = [rng.randbytes(rng.randrange(1, 2000)) for _ in range(100)]
    for _ in range(200):
        cut = bytearray(valid + b'{"name": "a", "upstream": "127.0.0.1:9" }')
        for _ in range(rng.randrange(1, 6)):
            cut[rng.randrange(len(cut))] = rng.randrange(256)
        inputs.append(bytes(cut[: rng.randrange(1, len(cut) + 1)]))
    inputs.append(b"GET /" + b"a" * 2_000_000)
    inputs.append(b"POST /proxies HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 2_000_000)
    for data in inputs:
        with socket.create_connection(urlsplit(embedded.url).netloc.split(":"), timeout=10) as sock:
            try:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            except OSError:
                pass
        assert embedded.running()


def test_body_that_is_too_large_is_413(embedded: Any) -> None:
    with socket.create_connection(urlsplit(embedded.url).netloc.split(":"), timeout=10) as sock:
        sock.sendall(b"POST /proxies HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 1_200_000)
        assert sock.recv(20).startswith(b"HTTP/1.1 413")


def test_pipelined_requests_are_answered_in_order(embedded: Any) -> None:
    with socket.create_connection(urlsplit(embedded.url).netloc.split(":"), timeout=10) as sock:
        sock.sendall(b"GET /version HTTP/1.1\r\n\r\nGET /none HTTP/1.1\r\nConnection: close\r\n\r\n")
        answers = b"".join(iter(lambda: sock.recv(65536), b""))
    assert [line.split()[1] for line in answers.splitlines() if line.startswith(b"HTTP/1.1")] == [
        b"200",
        b"404",
    ]


def test_descriptors_do_not_leak(start: Any, peer: Any, until: Any) -> None:
    process, client = start()
    proxy = client.create(peer.address, "p")

    def descriptors() -> Any:
        return len(os.listdir(f"/proc/{process.pid}/fd"))  # noqa: PTH208

    before = descriptors()
    for number in range(50):
        one, other = peer.connect(proxy)
        if number % 2:
            proxy.disable()
            proxy.enable()
        one.close()
        other.close()
    until(lambda: descriptors() <= before)


def test_token_is_wanted_on_every_endpoint(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    env = {**os.environ, "TOXIPROXY_AUTH_TOKEN": "secret"}
    with serving("--proxy-metrics", env=env) as served:
        for token in (None, "wrong", "secret "):
            client = Toxiproxy(served.url, token=token)
            for path in ("/version", "/proxies", "/metrics", "/prodtest/events"):
                with pytest.raises(ToxiproxyError, match="unauthorized") as caught:
                    client.request("GET", path)
                assert caught.value.status == 401
        assert Toxiproxy(served.url, token="secret").version() == "2.13.0"
        monkeypatch.setenv("TOXIPROXY_AUTH_TOKEN", "secret")
        assert Toxiproxy(served.url).proxies() == {}


def test_addresses_off_this_machine_must_be_allowed(serving: Any) -> None:
    with serving("--allow", "192.0.2.0/24", "--allow", "db.example") as served:
        client = Toxiproxy(served.url)
        for upstream in ("192.0.2.7:80", "db.example:80", "DB.example:80", "127.0.0.1:80", "unix:/tmp/x"):
            assert client.create(upstream, upstream.replace("/", ".")).upstream == upstream
        for upstream in ("192.0.3.7:80", "example:80", "0.0.0.0:80"):
            with pytest.raises(ToxiproxyError, match="is not allowed"):
                client.create(upstream, "q")
        with pytest.raises(ToxiproxyError, match="a listener needs one"):
            client.create("127.0.0.1:9", "q", listen="db.example:0")


def test_api_that_others_can_reach_needs_a_token() -> None:
    command = [*COMMAND, "--host", "0.0.0.0", "--port", "0", "--allow", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, "set TOXIPROXY_AUTH_TOKEN" in done.stderr) == (2, True)


def test_faults_at_once_are_limited(serving: Any) -> None:
    with serving("--max-faults", "2") as served:
        proxy = Toxiproxy(served.url).create("127.0.0.1:9", "p")
        proxy.add_toxic(type="noop")
        proxy.disable()
        proxy.disable()
        for call in (lambda: proxy.add_toxic(name="x", type="noop"), lambda: create_disabled(proxy.client)):
            with pytest.raises(ToxiproxyError, match="2 faults already") as caught:
                call()
            assert caught.value.status == 400
        proxy.enable()
        proxy.add_toxic(name="x", type="noop")
        with pytest.raises(ToxiproxyError, match="2 faults already"):
            proxy.disable()
        assert proxy.client.proxies()["p"].enabled


def create_disabled(client: Toxiproxy) -> Any:
    return client.create("127.0.0.1:9", "q", enabled=False)


def test_stop_file_ends_all_faults_within_a_second_and_allows_none_until_it_is_gone(
    serving: Any, tmp_path: Any, until: Any
) -> None:
    """Within a second in one of five attempts at least: a busy machine may delay anybody."""
    file = tmp_path / "stop"
    with serving("--stop-file", str(file)) as served:
        client = Toxiproxy(served.url)
        one, other = client.create("127.0.0.1:9", "one"), client.create("127.0.0.1:9", "other")

        def works() -> Any:
            try:
                return other.add_toxic(type="noop")
            except ToxiproxyError:
                return None

        for attempt in range(1, 6):
            until(works)
            one.disable()
            file.touch()
            begun = time.monotonic()
            until(lambda: client.proxies()["one"].enabled and not other.toxics())
            took = time.monotonic() - begun
            with pytest.raises(ToxiproxyError, match=f"stopped by {file}: delete it"):
                other.add_toxic(type="noop")
            assert [event["kind"] for event in client.events() or []].count("stopped") == attempt
            file.unlink()
            if took < 1:
                break
        assert took < 1
        until(works)
