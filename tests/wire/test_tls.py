"""TLS on the port itself, and UNIX sockets: who is trusted, who is let in, what is left behind."""

import asyncio
import importlib
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import httpx2
import pytest
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from langchain_prodtest.errors import UsageError
from langchain_prodtest.script import Fault, Script
from langchain_prodtest.wire import FakeServer, Limits
from langchain_prodtest.wire.tls import Authority

LIMITS = Limits(seconds=0.5)
LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [
    asyncio.SelectorEventLoop,
    importlib.import_module("uvloop").new_event_loop,
]
loops = pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])


def trusting(server: FakeServer) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=server.environment()["SSL_CERT_FILE"])


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def wait_until(true: Callable[[], bool]) -> None:
    """Give the server's thread ten seconds."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.002)


@loops
def test_the_port_speaks_tls_to_those_who_trust_the_bundle(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    script = Script()
    with FakeServer(script, tls=True, loop=loop) as server:
        url = server.url("openai")
        assert url.startswith("https://127.0.0.1:")
        for name in ("127.0.0.1", "localhost"):
            answer = httpx.get(
                url.replace("127.0.0.1", name) + "/models", verify=trusting(server), trust_env=False
            )
            assert answer.status_code == 200
        assert "HTTPS_PROXY" not in server.environment()


def test_a_real_client_streams_over_tls() -> None:
    with FakeServer(Script(), tls=True) as server, httpx2.Client(verify=trusting(server)) as client:
        model = ChatOpenAI(
            model="gpt-5-mini",
            api_key=SecretStr("sk-fake"),
            base_url=server.url("openai"),
            http_client=client,
        )
        assert "".join(chunk.text for chunk in model.stream("hi")).endswith("end.")


@loops
def test_who_does_not_trust_it_gets_nothing(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    script = Script()
    with (
        FakeServer(script, tls=True, loop=loop) as server,
        pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        httpx.get(server.url("openai") + "/models", trust_env=False)
    assert script.calls == []


@loops
def test_peers_stuck_in_the_handshake_leave_no_descriptor(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    before = descriptors()
    with FakeServer(Script(), tls=True, limits=LIMITS, loop=loop) as server:
        host, port = server.address.split(":")
        peers = [socket.create_connection((host, int(port)), timeout=10) for _ in range(3)]
        peers[1].sendall(b"\x16\x03\x01")
        peers[2].sendall(b"GET / HTTP/1.1\r\n\r\n")
        for peer in peers:
            while peer.recv(100):
                pass
            peer.close()
    wait_until(lambda: descriptors() <= before)


@loops
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_unix_socket_serves_this_user_alone_and_goes_away(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop], tls: bool
) -> None:
    path = tmp_path / "fakes.sock"
    script = Script()
    with FakeServer(script, unix=path, tls=tls, loop=loop) as server:
        assert server.address == str(path)
        assert path.stat().st_mode & 0o777 == 0o600
        verify = trusting(server) if tls else False
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path), verify=verify)) as client:
            assert client.get(server.url("openai") + "/models").status_code == 200
            script.add(Fault(how="reset"))
            with pytest.raises(httpx.TransportError):
                client.post(
                    server.url("openai") + "/chat/completions",
                    json={"model": "m", "messages": [{"role": "user", "content": "hi"}]},
                )
    assert not path.exists()


def test_a_file_in_the_way_is_left_alone_and_named(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("mine")
    with pytest.raises(UsageError, match="precious"):
        FakeServer(Script(), unix=path).start()
    assert path.read_text() == "mine"


def test_a_transparent_server_is_on_a_plain_port(tmp_path: Path) -> None:
    for option in ({"tls": True}, {"unix": tmp_path / "s"}):
        with pytest.raises(UsageError, match="leave out tls and unix"):
            FakeServer(Script(), transparent=True, **option)


def test_certificates_are_kept_and_two_authorities_do_not_vouch_for_each_other() -> None:
    one, other = Authority(), Authority()
    try:
        assert one.context("api.openai.com") is one.context("api.openai.com")
        assert one.bundle.read_bytes() != other.bundle.read_bytes()
        assert set(one.environment().values()) == {str(one.bundle)}
    finally:
        one.close()
        other.close()
