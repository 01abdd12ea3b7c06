"""The server as a whole: addresses, life and death, many clients at once."""

import asyncio
import gc
import http.client
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from langchain_prodtest.errors import UsageError
from langchain_prodtest.script import Fault, Match, Reply, Script, answer_for, new_nonce
from langchain_prodtest.wire import FakeServer

MOUNTS = {"openai": "openai", "backup": "openai"}


def body(text: str = "hi", stream: bool = False) -> bytes:
    return json.dumps(
        {"model": "m", "stream": stream, "messages": [{"role": "user", "content": text}]}
    ).encode()


def ask(server: FakeServer, mount: str = "openai", text: str = "hi") -> str:
    connection = http.client.HTTPConnection(server.address, timeout=10)
    connection.request(
        "POST", server.url(mount).partition(server.address)[2] + "/chat/completions", body(text)
    )
    with connection.getresponse() as response:
        answer = json.loads(response.read())
    connection.close()
    return str(answer["choices"][0]["message"]["content"])


def connect(server: FakeServer) -> socket.socket:
    host, port = server.address.split(":")
    return socket.create_connection((host, int(port)), timeout=10)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(Script(), MOUNTS) as running:
        yield running


def running() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "fake providers"}


@pytest.fixture(scope="module", autouse=True)
def others() -> Iterator[None]:
    """Servers that other tests keep for the whole session are not ours to count."""
    _OTHERS.update(running())
    yield
    _OTHERS.clear()


_OTHERS: set[threading.Thread] = set()


def server_threads() -> list[str]:
    return [thread.name for thread in running() - _OTHERS]


def sockets() -> int:
    """How many sockets this process has open."""
    return sum(stat.S_ISSOCK(mode) for mode in map(_mode, range(4096)))


def _mode(fd: int) -> int:
    try:
        return os.fstat(fd).st_mode
    except OSError:
        return 0


def wait_until(true: Callable[[], bool]) -> None:
    """Give the server's thread ten seconds."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.002)


# -- addresses --------------------------------------------------------------------------------------------


def test_each_mount_has_a_base_url(server: FakeServer) -> None:
    assert server.url("backup") == f"http://{server.address}/backup/v1"
    assert server.address.startswith("127.0.0.1:")
    with pytest.raises(UsageError, match=r'unknown mount "bakup". Did you mean "backup"'):
        server.url("bakup")


def test_mounts_of_one_provider_are_told_apart() -> None:
    script = Script()
    script.add(Reply("first"), match=Match(provider="openai"))
    script.add(Reply("second"), match=Match(provider="backup"))
    with FakeServer(script, MOUNTS) as both:
        assert (ask(both, "backup"), ask(both, "openai")) == ("second", "first")
    assert [call.provider for call in script.calls] == ["backup", "openai"]


def test_without_mounts_there_is_openai() -> None:
    with FakeServer(Script()) as server:
        assert ask(server).startswith("[no-nonce]")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", "::", ""])
def test_only_loopback_is_listened_on(host: str) -> None:
    with pytest.raises(UsageError, match="loopback only"):
        FakeServer(Script(), host=host)


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"127\.0\.0\.1:{port}: Address already in use.*port 0"):
            FakeServer(Script(), port=port).start()
    assert server_threads() == []


def test_an_impossible_port_is_named() -> None:
    with pytest.raises(UsageError, match="65535, not 70000"):
        FakeServer(Script(), port=70000)


# -- life and death ---------------------------------------------------------------------------------------


def test_it_starts_inside_a_running_loop() -> None:
    async def inside() -> str:
        with FakeServer(Script()) as server:
            return await asyncio.to_thread(ask, server)

    assert asyncio.run(inside()).startswith("[no-nonce]")


def test_stop_ends_open_exchanges_and_leaves_no_thread_and_no_socket() -> None:
    gc.collect()
    before = sockets()
    script = Script()
    script.add(Fault(how="hang"), Fault(how="stall", after=1), *[Reply("late", first_token=60)] * 3)
    server = FakeServer(script).start()
    clients = [connect(server) for _ in range(6)]
    for number, client in enumerate(clients[:5]):
        sent = body(stream=True)
        client.sendall(
            b"POST /openai/v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(sent) + sent
        )
        wait_until(lambda number=number: len(server.open) > number)  # type: ignore[misc]
    server.stop()
    server.stop()
    for client in clients:
        client.close()
    assert sorted(call.closed_by for call in script.calls) == ["fault", "fault", "server", "server", "server"]
    assert (server.open, server_threads(), sockets()) == ([], [], before)


def test_a_server_is_started_once() -> None:
    with FakeServer(Script()) as server, pytest.raises(RuntimeError, match="started once"):
        server.start()


def test_a_server_never_started_can_be_stopped() -> None:
    FakeServer(Script()).stop()
    assert server_threads() == []


def test_a_stopped_port_can_be_had_again() -> None:
    with FakeServer(Script()) as first:
        ask(first)
        port = int(first.address.split(":")[1])
    with FakeServer(Script(), port=port) as second:
        assert ask(second).startswith("[no-nonce]")


def test_a_callback_that_raises_does_not_end_the_server() -> None:
    script = Script(default=lambda request: 1 / 0)  # type: ignore[arg-type, return-value]
    with FakeServer(script) as broken:
        for _ in range(3):
            with pytest.raises(KeyError, match="choices"):
                ask(broken)
    assert [(call.status, call.unexpected) for call in script.calls] == [(500, True)] * 3


def test_who_has_the_whole_answer_finds_it_in_the_journal() -> None:
    script = Script()
    with FakeServer(script) as server:
        for count in range(1, 101):
            ask(server)
            assert len(script.calls) == count


# -- many at once -----------------------------------------------------------------------------------------


def test_aborted_connections_leave_no_file_open() -> None:
    script = Script(default=lambda request: Reply("late", first_token=60))
    sent = b"POST /openai/v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body()) + body()
    with FakeServer(script) as server:
        ready = sockets()
        for number in range(200):
            with connect(server) as client:
                client.sendall(sent[: len(sent) - number % 2 * 5])  # every second one half a request
        assert [call.closed_by for call in script.wait_for(100)] == ["client"] * 100
        wait_until(lambda: sockets() == ready)
        assert server.open == []


async def stream_text(server: FakeServer, text: str) -> str:
    host, port = server.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    sent = body(text, stream=True)
    writer.write(
        b"POST /backup/v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(sent) + sent
    )
    raw = await reader.read()
    writer.close()
    await writer.wait_closed()
    events = [line[6:] for line in raw.split(b"\r\n") if line.startswith(b'data: {"')]
    return "".join(json.loads(event)["choices"][0]["delta"].get("content", "") for event in events)


def test_200_streams_at_once_each_get_the_answer_to_their_own_nonce() -> None:
    script = Script(default=lambda request: Reply(answer_for(request.nonce), first_token=0.2, per_chunk=0.01))
    nonces = [new_nonce(number) for number in range(200)]

    async def all_at_once(server: FakeServer) -> list[str]:
        return await asyncio.gather(*(stream_text(server, f"Q {nonce}") for nonce in nonces))

    with FakeServer(script, MOUNTS) as server:
        texts = asyncio.run(all_at_once(server))
        calls = script.wait_for(200)
    assert texts == [answer_for(nonce) for nonce in nonces]
    assert sorted(call.nonce for call in calls) == nonces
    assert {call.closed_by for call in calls} == {"server"}
    assert server.peak > 100
