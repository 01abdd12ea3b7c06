"""Tunnels on real sockets: what a client sees, what is journalled, and that nothing is left behind."""

import asyncio
import importlib
import os
import random
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from langchain_prodtest.errors import UsageError
from langchain_prodtest.script import Fault, Match, Reply, Script
from langchain_prodtest.wire import FakeServer, Limits

LIMITS = Limits(head_bytes=4096)
HASTY = Limits(seconds=0.5)
PATIENT = Limits(seconds=3)  # long enough for a handshake on a busy machine
CONNECT = b"CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com:443\r\n\r\n"
GET = b"GET /v1/models HTTP/1.1\r\nhost: api.openai.com\r\n\r\n"
LONG = Reply("word " * 20_000)
BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
POST = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [
    asyncio.SelectorEventLoop,
    importlib.import_module("uvloop").new_event_loop,
]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def server(request: pytest.FixtureRequest, script: Script) -> Iterator[FakeServer]:
    mounts = {"other": "openai", "openai": "openai"}
    with FakeServer(script, mounts, transparent=True, limits=LIMITS, loop=request.param) as running:
        yield running


def connect(server: FakeServer) -> socket.socket:
    host, port = server.address.split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def received(peer: socket.socket) -> bytes:
    got = b""
    try:
        while data := peer.recv(65536):
            got += data
    except ConnectionResetError:
        got += b"<reset>"
    return got


def open_tunnel(server: FakeServer, peer: socket.socket) -> None:
    peer.sendall(CONNECT)
    assert peer.recv(100) == b"HTTP/1.1 200 Connection established\r\n\r\n"


def secured(server: FakeServer, peer: socket.socket, name: str = "api.openai.com") -> ssl.SSLSocket:
    """Open a tunnel and the TLS in it, as a client that trusts nothing but the environment's bundle."""
    open_tunnel(server, peer)
    context = ssl.create_default_context(cafile=server.environment()["SSL_CERT_FILE"])
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context.wrap_socket(peer, server_hostname=name)


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def wait_until(true: Callable[[], bool]) -> None:
    """Give the server's thread ten seconds."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.002)


def test_the_tunnel_ends_at_the_fake_in_the_host_s_name(server: FakeServer, script: Script) -> None:
    with connect(server) as peer, secured(server, peer) as inside:
        assert inside.selected_alpn_protocol() == "http/1.1"
        inside.sendall(GET)
        assert received(inside).startswith(b"HTTP/1.1 200 OK")
    (call,) = script.wait_for(1)
    assert (call.provider, call.operation, call.closed_by) == ("other", "models", "server")


def test_a_long_answer_comes_whole_through_the_tunnel(server: FakeServer, script: Script) -> None:
    script.add(LONG)
    with connect(server) as peer, secured(server, peer) as inside:
        inside.sendall(POST)
        answer = received(inside)
    assert answer.count(b"word ") == 20_000
    (call,) = script.wait_for(1)
    assert call.bytes == len(answer.partition(b"\r\n\r\n")[2])


def test_a_request_in_pieces_is_read(server: FakeServer) -> None:
    with connect(server) as peer:
        for byte in CONNECT:
            peer.sendall(bytes([byte]))
        peer.recv(100)
        context = ssl.create_default_context(cafile=server.environment()["SSL_CERT_FILE"])
        with context.wrap_socket(peer, server_hostname="api.openai.com") as inside:
            for byte in GET:
                inside.sendall(bytes([byte]))
            assert received(inside).startswith(b"HTTP/1.1 200 OK")


def test_the_certificate_is_for_the_host_that_was_asked_for(server: FakeServer) -> None:
    with connect(server) as peer, pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        secured(server, peer, "api.anthropic.com")


def test_mounts_are_served_on_the_same_port(server: FakeServer, script: Script) -> None:
    with connect(server) as peer:
        peer.sendall(GET.replace(b"/v1", b"/openai/v1"))
        assert received(peer).startswith(b"HTTP/1.1 200 OK")
    assert [call.provider for call in script.wait_for(1)] == ["openai"]


@pytest.mark.parametrize(
    "asked",
    [
        b"CONNECT api.smith.langchain.com:443 HTTP/1.1\r\n\r\n",
        b"CONNECT api.smith.langchain.com:443 HTTP/1.0\r\nhost: other\r\n\r\n",
        b"GET http://api.smith.langchain.com/info HTTP/1.1\r\nhost: api.smith.langchain.com\r\n\r\n",
    ],
)
def test_nobody_s_host_is_refused_and_journalled_by_name(
    server: FakeServer, script: Script, asked: bytes
) -> None:
    with connect(server) as peer:
        peer.sendall(asked)
        answer = received(peer)
    assert answer.startswith(b"HTTP/1.1 403 Forbidden")
    assert b"api.smith.langchain.com" in answer
    (call,) = script.wait_for(1)
    assert (call.unexpected, call.status) == (True, 403)
    assert call.headers["host"] == "api.smith.langchain.com"
    assert script.unexpected == [call]


def test_a_client_that_does_not_trust_the_authority_is_journalled(server: FakeServer, script: Script) -> None:
    with connect(server) as peer:
        open_tunnel(server, peer)
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(peer, server_hostname="api.openai.com")
    (call,) = script.wait_for(1)
    assert (call.operation, call.unexpected, call.status, call.closed_by) == ("connect", True, 0, "client")
    assert call.headers["host"] == "api.openai.com"


@pytest.mark.parametrize("how", ["refuse", "reset"])
def test_a_reset_inside_the_tunnel_is_one_of_tcp(server: FakeServer, script: Script, how: Any) -> None:
    script.add(Fault(how=how), match=Match(provider="other"))
    with (
        connect(server) as peer,
        secured(server, peer) as inside,
        socket.socket(fileno=os.dup(inside.fileno())) as raw,
    ):
        raw.settimeout(10)
        try:
            inside.sendall(POST)
        except (
            ConnectionError,
            ssl.SSLEOFError,
        ):  # a send fails where a reset came first
            reset = True
        else:
            reset = received(raw).endswith(b"<reset>")  # what comes before it are TLS session tickets
        assert reset
    assert [call.closed_by for call in script.wait_for(1)] == ["fault"]


def test_a_refusal_for_one_mount_leaves_the_tunnel_to_another(server: FakeServer, script: Script) -> None:
    script.add(Fault(how="refuse"), match=Match(provider="openai"))
    with connect(server) as peer, secured(server, peer) as inside:
        inside.sendall(GET)
        assert received(inside).startswith(b"HTTP/1.1 200 OK")
    assert [step for _, step in script.leftover] == [Fault(how="refuse")]


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(
    "sent",
    [b"", b"C", b"CONNECT api.openai.com", b"GET /openai", CONNECT, CONNECT + b"\x16\x03"],
    ids=["nothing", "C", "half a CONNECT", "half a GET", "no TLS", "too early"],
)
def test_a_stuck_peer_is_closed_and_leaves_no_descriptor(
    script: Script, loop: Callable[[], asyncio.AbstractEventLoop], sent: bytes
) -> None:
    with FakeServer(script, transparent=True, limits=HASTY, loop=loop) as server:
        before = descriptors()
        peers = [connect(server) for _ in range(5)]
        for peer in peers:
            peer.sendall(sent)
        for peer in peers:
            received(peer)
            peer.close()
        wait_until(lambda: descriptors() <= before)


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
def test_a_peer_that_never_closes_leaves_no_descriptor(
    script: Script, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    with FakeServer(script, transparent=True, limits=PATIENT, loop=loop) as server:
        before = descriptors()
        with connect(server) as peer, secured(server, peer) as inside:
            inside.sendall(GET)
            assert [call.status for call in script.wait_for(1)] == [200]
            wait_until(lambda: descriptors() <= before + 1)  # ours alone; the server has closed its end


def test_stopping_ends_tunnels_in_every_state(script: Script) -> None:
    before = descriptors()
    script.add(Fault(how="hang"))
    server = FakeServer(script, transparent=True).start()
    peers = [connect(server) for _ in range(3)]
    open_tunnel(server, peers[1])
    inside = secured(server, peers[2])
    inside.sendall(POST)
    wait_until(lambda: len(server.open) == 1)
    server.stop()
    for peer in [*peers[:2], inside]:
        received(peer)
        peer.close()
    assert [call.closed_by for call in script.calls] == ["fault"]
    assert descriptors() <= before


def test_a_head_without_end_is_refused(server: FakeServer) -> None:
    with connect(server) as peer:
        peer.sendall(b"CONNECT api.openai.com:443 HTTP/1.1\r\nx: " + b"y" * 8000)
        assert received(peer).startswith(b"HTTP/1.1 431 ")


def test_fuzzed_bytes_break_nothing(server: FakeServer) -> None:
    chance = random.Random(7)
    before = descriptors()
    for _ in range(150):
        data = bytearray(chance.choice([CONNECT, CONNECT + GET, GET]))
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with connect(server) as peer:
            peer.sendall(data[: chance.randrange(1, len(data) + 1)])
            peer.shutdown(socket.SHUT_WR)
            received(peer)
    wait_until(lambda: descriptors() <= before)
    with connect(server) as peer, secured(server, peer) as inside:
        inside.sendall(GET)
        assert received(inside).startswith(b"HTTP/1.1 200 OK")


def test_only_a_running_transparent_server_has_an_environment(script: Script) -> None:
    for server in (FakeServer(script), FakeServer(script, transparent=True)):
        with pytest.raises(UsageError, match="transparent=True"):
            server.environment()
