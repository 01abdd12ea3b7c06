"""Recording: clients get from the cassette what they got from the provider; no secret is in it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_aws import ChatBedrock, ChatBedrockConverse
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from langchain_prodtest.errors import UsageError
from langchain_prodtest.script import Fault, Reply, Script, ToolCall, answer_for, new_nonce
from langchain_prodtest.wire import FakeServer
from langchain_prodtest.wire.arrival import Arrival
from langchain_prodtest.wire.cassette import read_cassette
from langchain_prodtest.wire.providers import PROVIDERS
from langchain_prodtest.wire.record import Recorder
from langchain_prodtest.wire.replay import replay
from langchain_prodtest.wire.upstream import upstreams
from tests.wire.recording import recording

CANARY = "sk-proj-CANARY0123456789abcdefghij"
SESSION = "CANARYsession0123456789abcdefghij"
NONCE = new_nonce(7)
QUESTION = f"Say it. {NONCE}"
CLAUDE = "us.anthropic.claude-sonnet-4-20250514-v1:0"
ANTHROPIC: dict[str, Any] = {"model": "claude-opus-4-7", "api_key": CANARY}
BODY = {"model": "m", "messages": [{"role": "user", "content": QUESTION}]}


def _bedrock(kind: Callable[..., BaseChatModel], url: str) -> BaseChatModel:
    keys = {"aws_access_key_id": "AKIACANARY0123456789", "aws_session_token": SESSION}
    return kind(
        model=CLAUDE, endpoint_url=url, region_name="us-east-1",
        **{name: SecretStr(key) for name, key in {**keys, "aws_secret_access_key": CANARY}.items()},
    )  # fmt: skip


CLIENTS: dict[str, tuple[str, Callable[[str], BaseChatModel]]] = {
    "openai": (
        "openai",
        lambda url: ChatOpenAI(model="gpt-4o", base_url=url, api_key=SecretStr(CANARY), stream_usage=True),
    ),
    "responses": (
        "openai",
        lambda url: ChatOpenAI(
            model="gpt-5", base_url=url, api_key=SecretStr(CANARY), use_responses_api=True
        ),
    ),
    "anthropic": (
        "anthropic",
        lambda url: ChatAnthropic(**ANTHROPIC, base_url=url),
    ),
    "converse": ("bedrock", lambda url: _bedrock(ChatBedrockConverse, url)),
    "invoke": ("bedrock", lambda url: _bedrock(ChatBedrock, url)),
}


def said(message: BaseMessage) -> dict[str, Any]:
    """Return all that a client tells of an answer, but for what it makes up or counts itself."""
    told = message.model_dump(exclude={"id", "lc_source"})
    told["response_metadata"].pop("ResponseMetadata", None)
    return told


def heard(model: BaseChatModel) -> list[dict[str, Any]]:
    """Return a whole answer, a streamed one, and a tool call."""
    chunks = list(model.stream(QUESTION))
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    tools = model.bind_tools([{"name": "book", "description": "Book.", "parameters": {"type": "object"}}])
    return [said(message) for message in (model.invoke(QUESTION), total, tools.invoke(f"Book. {CANARY}"))]


def post(url: str, body: object = BODY, headers: dict[str, str] | None = None) -> bytes:
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode(), headers or {})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return bytes(answer.read())


@pytest.fixture
def upstream() -> Iterator[tuple[Script, FakeServer]]:
    script = Script()
    with FakeServer(script, {name: name for name in ("openai", "anthropic", "bedrock")}) as server:
        yield script, server


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_gets_from_the_cassette_what_it_got_from_the_provider(
    name: str, tmp_path: Path, upstream: tuple[Script, FakeServer]
) -> None:
    """Whole, streamed and with a tool call; no key of the client is in the file, nor one from a prompt."""
    provider, build = CLIENTS[name]
    script, server = upstream
    script.add(*[Reply(answer_for(NONCE))] * 2, Reply(tool_calls=[ToolCall("book", {"seat": "12A"})]))
    cassette = tmp_path / "cassette.json"
    with recording(cassette, server.url(provider)) as (urls, warnings):
        recorded = heard(build(urls[provider]))
    assert warnings == []
    assert [call.unexpected for call in script.calls] == [False] * 3
    text = cassette.read_text("utf-8")
    assert len(read_cassette(cassette)) == 3
    assert "CANARY" not in text
    assert "[redacted]" in text
    with FakeServer(Script(default=replay(cassette)), {provider: provider}) as again:
        assert heard(build(again.url(provider))) == recorded


def test_the_key_reaches_the_provider(tmp_path: Path) -> None:
    """The recorder passes it on as it came."""
    got: list[bytes] = []
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    with one_answer(answer, got) as url, recording(tmp_path / "c.json", f"openai={url}/v1") as (urls, _):
        assert post(urls["openai"], headers={"authorization": f"Bearer {CANARY}"}) == b"{}"
    assert got[0].startswith(b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:")
    assert f"\r\nAuthorization: Bearer {CANARY}\r\n".encode() in got[0]


def test_bytes_of_the_answer_pass_untouched(tmp_path: Path) -> None:
    """Head, chunks and trailer reach the client as the provider sent them."""
    head = b"HTTP/1.1 299 Odd\r\nX-oDD: 1\r\ntransfer-encoding: chunked\r\n\r\n"
    answer = head + b"3;x=y\r\n\xff\x00\n\r\n0\r\nX-End: 1\r\n\r\n"
    with one_answer(answer, []) as url, recording(tmp_path / "c.json", f"openai={url}") as (urls, _):
        address = urls["openai"].split("/")[2].split(":")
        with socket.create_connection((address[0], int(address[1])), timeout=20) as client:
            client.sendall(b"GET /openai/v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
            assert b"".join(iter(lambda: client.recv(999), b"")) == answer


def test_a_secret_in_the_answer_is_not_written_down(tmp_path: Path) -> None:
    """In its headers, in its JSON, and in a stream where two chunks share it."""
    inside = json.dumps({"message": f"Incorrect API key provided: {CANARY}", "api_key": "CANARY"}).encode()
    headers = b"set-cookie: a=CANARY\r\ncontent-type: application/json\r\ncontent-length: %d"
    whole = b"HTTP/1.1 401 No\r\n" + headers + b"\r\n\r\n%b"
    half = len(CANARY) // 2
    cut = [f"data: {CANARY[:half]}".encode(), f"{CANARY[half:]}\n\n".encode()]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in cut)
    stream = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n%b0\r\n\r\n"
    )
    for answer in (whole % (len(inside), inside), stream % chunks):
        with (
            one_answer(answer, []) as url,
            recording(tmp_path / "c.json", f"openai={url}") as (urls, _),
            contextlib.suppress(urllib.error.HTTPError),
        ):
            post(urls["openai"])
        text = (tmp_path / "c.json").read_text()
        assert "[redacted]" in text
        assert "CANARY" not in text
        assert CANARY[half:] not in text


def test_a_binary_answer_with_a_key_is_not_recorded(tmp_path: Path) -> None:
    body = b"\xff\x00" + CANARY.encode()
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    with one_answer(answer, []) as url, recording(tmp_path / "c.json", f"openai={url}") as (urls, warnings):
        assert post(urls["openai"]) == body
    assert [*tmp_path.iterdir()] == []
    assert warnings == [
        "not recorded: POST /v1/chat/completions: it is binary, and holds what looks like a key"
    ]


def test_the_times_of_a_stream_are_kept(tmp_path: Path, upstream: tuple[Script, FakeServer]) -> None:
    """Recorded in order; replayed as they were, ten times as fast, or without waiting."""
    script, server = upstream
    script.add(Reply("one two three four", first_token=0.3, per_chunk=0.2))
    body = {**BODY, "stream": True}
    cassette = tmp_path / "cassette.json"
    with recording(cassette, server.url("openai")) as (urls, _):
        post(urls["openai"], body)
    times = [chunk.at for chunk in read_cassette(cassette)[0].response.chunks]
    assert times == sorted(times)
    assert times[-1] > 0.85
    with FakeServer(Script(default=replay(cassette)), {"openai": "openai"}) as again:
        begin = time.monotonic()
        post(again.url("openai"), body)
        assert time.monotonic() - begin > 0.85
    arrival = Arrival("POST", "/openai/v1/chat/completions", [], json.dumps(body).encode(), 0.0)
    for speed in (1.0, 10.0, float("inf")):
        parts = replay(cassette, speed).answer(arrival).parts
        assert [at for at, _ in parts] == [at / speed for at in times]


@pytest.mark.parametrize(
    ("fault", "ends", "framing"),
    [
        (Fault(how="eof", after=5), "cut", None),
        (Fault(how="reset", after=5, delay=0.2), "reset", None),
        (Fault(how="eof", after_bytes=700, framing="length"), "cut", "length"),
    ],
    ids=["closed", "reset", "short"],
)
def test_a_cut_answer_is_recorded_and_replayed_as_cut(
    tmp_path: Path, upstream: tuple[Script, FakeServer], fault: Fault, ends: str, framing: str | None
) -> None:
    """The client fails in the same way, after the same part of the answer."""
    script, server = upstream
    script.add(fault)
    cassette = tmp_path / "cassette.json"

    def outcome(url: str) -> tuple[str, str]:
        model = ChatOpenAI(
            model="gpt-4o", base_url=url, api_key=SecretStr(CANARY), max_retries=0, stream_usage=True
        )
        text = ""
        try:
            for chunk in model.stream(QUESTION):
                text += chunk.text
        except Exception as error:
            return type(error).__name__, text
        return "no error", text

    with recording(cassette, server.url("openai")) as (urls, warnings):
        error, text = outcome(urls["openai"])
    assert error != "no error"
    assert warnings == []
    answer = read_cassette(cassette)[0].response
    assert (answer.ends, answer.framing) == (ends, framing)
    assert answer_for(NONCE).startswith(text)
    again = Script(default=replay(cassette))
    with FakeServer(again, {"openai": "openai"}) as server_again:
        error_again, text_again = outcome(server_again.url("openai"))
    assert error_again == error
    if ends == "cut":  # a reset may overtake what was sent before it
        assert text_again == text
    assert [call.closed_by for call in again.wait_for(1)] == ["fault"]


def test_the_cassette_is_whole_at_any_moment_and_a_kill_loses_only_what_is_in_flight(tmp_path: Path) -> None:
    """Killed with SIGKILL in the middle of an answer; the one before is in the file, and nothing else is."""
    cassette = tmp_path / "cassette.json"
    script = Script()
    with (
        FakeServer(script, {"openai": "openai"}) as server,
        recorder(server.url("openai"), cassette) as (process, url),
    ):
        post(url)
        assert len(read_cassette(cassette)) == 1
        script.add(Fault(how="stall", after=5))
        address = url.split("/")[2].split(":")
        with socket.create_connection((address[0], int(address[1])), timeout=20) as client:
            body = json.dumps({**BODY, "stream": True}).encode()
            head = b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
            client.sendall(head % len(body) + body)
            assert client.recv(15) == b"HTTP/1.1 200 OK"
            process.kill()
            assert process.wait(20) == -signal.SIGKILL
    assert [one.request.body for one in read_cassette(cassette)] == [BODY]
    assert [*tmp_path.iterdir()] == [cassette]


def test_the_command_records_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """It takes the place of the cassette that is there with the first exchange, not before."""
    cassette = tmp_path / "cassette.json"
    cassette.write_text("before")
    with (
        FakeServer(Script(), {"openai": "openai"}) as server,
        recorder(server.url("openai"), cassette) as (process, url),
    ):
        assert cassette.read_text() == "before"
        post(url)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "")
    assert error == f"1 recorded in {cassette}\n"
    assert len(read_cassette(cassette)) == 1


def test_an_upstream_that_is_not_allowed_gets_nothing(tmp_path: Path) -> None:
    """Its name is not even looked up; nothing is written, no port is opened."""
    done = subprocess.run(
        [*COMMAND, "--upstream", "https://api.openai.com/v1", "--out", "c.json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert '"api.openai.com" is not on the allow-list, nothing was sent' in done.stderr
    assert [*tmp_path.iterdir()] == []


def test_the_provider_s_certificate_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody vouches for gets no request; one that is trusted is recorded."""
    script = Script()
    with FakeServer(script, {"openai": "openai"}, tls=True) as server:
        with (
            recording(tmp_path / "c.json", server.url("openai")) as (urls, warnings),
            pytest.raises(urllib.error.HTTPError, match="502"),
        ):
            post(urls["openai"])
        assert "CERTIFICATE_VERIFY_FAILED" in warnings[0]
        assert script.calls == []
        assert not (tmp_path / "c.json").exists()
        monkeypatch.setenv("SSL_CERT_FILE", server.environment()["SSL_CERT_FILE"])
        with recording(tmp_path / "c.json", server.url("openai")) as (urls, warnings):
            post(urls["openai"])
        assert warnings == []
        assert len(read_cassette(tmp_path / "c.json")) == 1


def test_a_client_that_leaves_ends_the_exchange_and_is_told_of(
    tmp_path: Path, upstream: tuple[Script, FakeServer]
) -> None:
    script, server = upstream
    script.add(Fault(how="stall", after=5))
    with recording(tmp_path / "c.json", server.url("openai")) as (urls, warnings):
        address = urls["openai"].split("/")[2].split(":")
        with socket.create_connection((address[0], int(address[1])), timeout=20) as client:
            body = json.dumps({**BODY, "stream": True}).encode()
            head = b"POST /openai/v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
            client.sendall(head % len(body) + body)
            assert client.recv(15) == b"HTTP/1.1 200 OK"
        assert [call.closed_by for call in script.wait_for(1, 20)] == ["client"]
    assert warnings == ["not recorded: the client left before the answer was whole"]


def test_many_clients_at_once_get_their_own_answers(
    tmp_path: Path, upstream: tuple[Script, FakeServer]
) -> None:
    nonces = [new_nonce(number) for number in range(20)]
    answers: dict[str, bytes] = {}
    cassette = tmp_path / "c.json"

    def ask(url: str, nonce: str) -> None:
        answers[nonce] = post(url, {"model": "m", "messages": [{"role": "user", "content": nonce}]})

    def ask_all(url: str) -> None:
        threads = [threading.Thread(target=ask, args=(url, nonce)) for nonce in nonces]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

    with recording(cassette, upstream[1].url("openai")) as (urls, _):
        ask_all(urls["openai"])
    first, answers = answers, {}
    assert all(answer_for(nonce).encode() in first[nonce] for nonce in nonces)
    with FakeServer(Script(default=replay(cassette)), {"openai": "openai"}) as again:
        ask_all(again.url("openai"))
    assert {nonce: json.loads(text) for nonce, text in answers.items()} == {
        nonce: json.loads(text) for nonce, text in first.items()
    }


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "the provider closed the connection before it answered"),
        (b"SSH-2.0-x\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 1\r\n\r\nx", "it is compressed as br"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\nx",
            "its compression is broken",
        ),
    ],
    ids=["nothing", "not HTTP", "br", "broken"],
)
def test_what_cannot_be_recorded_is_told(tmp_path: Path, answer: bytes, why: str) -> None:
    with (
        one_answer(answer, []) as url,
        recording(tmp_path / "c.json", f"openai={url}") as (urls, warnings),
        contextlib.suppress(Exception),
    ):
        post(urls["openai"])
    assert len(warnings) == 1
    assert why in warnings[0]
    assert [*tmp_path.iterdir()] == []


def test_a_provider_that_cannot_be_reached_is_a_502_in_its_own_words(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/openai"
        with recording(tmp_path / "c.json", url) as (urls, warnings):
            with pytest.raises(urllib.error.HTTPError) as caught:
                post(urls["openai"])
            with caught.value as answer:
                assert answer.code == 502
                assert "cannot be reached" in json.load(answer)["error"]["message"]
    assert "cannot be reached" in warnings[0]


def test_a_provider_that_is_not_recorded_is_refused(
    tmp_path: Path, upstream: tuple[Script, FakeServer]
) -> None:
    with recording(tmp_path / "c.json", upstream[1].url("openai")) as (urls, _):
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(urls["openai"].replace("/openai", "/anthropic"))
        with caught.value as answer:
            assert b'Nobody records for \\"/anthropic\\". Recorded are: openai' in answer.read()


def test_an_out_in_no_folder_is_refused_before_the_port_opens(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write the cassette .*missing/c\.json\. Name a file"):
        Recorder(upstreams(["http://127.0.0.1:1/openai"], [], PROVIDERS), tmp_path / "missing/c.json", print)


COMMAND = [sys.executable, "-m", "langchain_prodtest.cli", "fakes", "record"]


@contextmanager
def recorder(upstream: str, out: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and the URL it announced."""
    command = [*COMMAND, "--upstream", upstream, "--out", str(out)]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=out.parent, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split()[1]
        finally:
            process.kill()


@contextmanager
def one_answer(answer: bytes, got: list[bytes]) -> Iterator[str]:
    """A provider that answers one request with these bytes, and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                got.append(connection.recv(65536))
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(20)
