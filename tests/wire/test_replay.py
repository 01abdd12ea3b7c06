"""Replaying: a request gets what was recorded for its meaning, in order; another is told the nearest."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import pytest

from langchain_prodtest.errors import UsageError
from langchain_prodtest.fakes.providers import FakeProviders
from langchain_prodtest.script import Fault, Match, Reply, Script
from langchain_prodtest.wire import FakeServer
from langchain_prodtest.wire.cassette import Answered, Asked, Chunk, Recording
from langchain_prodtest.wire.replay import Replay, replay
from langchain_prodtest.wire.serve import serve

CHAT = "/v1/chat/completions"


def taped(body: Any, answer: Any = None, path: str = CHAT, **asked: Any) -> Recording:
    response = answer if isinstance(answer, Answered) else Answered(body={"answer": answer})
    return Recording(
        request=Asked(**{"provider": "openai", "path": path, "body": body, **asked}), response=response
    )


def prompt(text: str) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], "temperature": 1}


def ask(
    server: FakeServer, body: object, target: str = f"/openai{CHAT}", method: str = "POST"
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(server.address, timeout=20)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, target, raw, {"authorization": "Bearer any"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text)


def replaying(*recordings: Recording) -> FakeServer:
    return FakeServer(Script(default=Replay(recordings)), {"openai": "openai", "gemini": "gemini"})


def test_requests_are_matched_by_what_they_mean() -> None:
    """The order of keys and parameters, 1 or 1.0, and credentials do not count."""
    recorded = {"b": [1, {"y": None, "x": "[redacted]"}], "a": "Use [redacted]."}
    with replaying(taped(recorded, "found", "/v1beta/m?alt=sse&key=[redacted]", provider="gemini")) as server:
        body = {"a": "Use sk-proj-0123456789abcdefgh.", "b": [1.0, {"x": "AIza" + "x" * 35, "y": None}]}
        assert ask(server, body, "/gemini/v1beta/m?key=AIzaOther&alt=sse") == (200, {"answer": "found"})


@pytest.mark.parametrize(
    ("body", "target", "difference"),
    [
        (prompt("ho"), f"/openai{CHAT}", 'body.messages[0].content is \\"ho\\", recorded \\"hi\\"'),
        ({**prompt("hi"), "temperature": True}, f"/openai{CHAT}", "body.temperature is true, recorded 1"),
        ({**prompt("hi"), "top_p": 1}, f"/openai{CHAT}", "body.top_p is 1, not recorded"),
        ({"model": "m"}, f"/openai{CHAT}", "body.messages is missing, recorded [{"),
        (prompt("hi"), "/openai/v1/other", 'path is \\"/v1/other\\", recorded \\"/v1/chat/completions\\"'),
        (prompt("hi"), f"/gemini{CHAT}", 'provider is \\"gemini\\", recorded \\"openai\\"'),
        (b"no JSON", f"/openai{CHAT}", 'body is \\"no JSON\\", recorded {'),
        (b"", f"/openai{CHAT}", "body is nothing, recorded {"),
    ],
)
def test_another_request_is_told_the_nearest_recording_and_the_first_difference(
    body: object, target: str, difference: str
) -> None:
    """As an error in the provider's own shape; the call is unexpected."""
    with replaying(taped({"far": "away"}, "no", "/v1/elsewhere"), taped(prompt("hi"), "yes")) as server:
        status, answer = ask(server, body, target)
        assert status == 400
        said = json.dumps(answer)
        assert "Recording 2 is the nearest; the first difference: " + difference in said
        assert [call.unexpected for call in server._router.script.wait_for(1)] == [True]


def test_long_texts_are_shown_where_they_part() -> None:
    with replaying(taped(prompt("a" * 500 + "b" * 500))) as server:
        _, answer = ask(server, prompt("a" * 500 + "c"))
    message = answer["error"]["message"]
    assert f'is "…{"a" * 20}c", recorded "…{"a" * 20}{"b" * 40}…"' in message


def test_an_empty_cassette_says_so() -> None:
    with replaying() as server:
        assert "The cassette is empty." in json.dumps(ask(server, {}))


def test_repeated_requests_get_their_recordings_in_order_and_then_none() -> None:
    with replaying(taped(prompt("a"), 1), taped(prompt("b"), 2), taped(prompt("a"), 3)) as server:
        answers = [ask(server, prompt(text)) for text in ("a", "a", "b", "a")]
    assert [(status, body.get("answer")) for status, body in answers] == [
        (200, 1),
        (200, 3),
        (200, 2),
        (400, None),
    ]
    assert "is asked for more often than it was recorded (2)" in answers[3][1]["error"]["message"]


def test_what_the_fake_provider_does_not_know_is_replayed_too() -> None:
    """A route that it has not, a body that is no JSON, a list of models."""
    recordings = (
        taped("no JSON", 1, "/v1/files"),
        taped(msgspec.UNSET, 2, "/v1/models", method="GET"),
        taped("/wA=", 3, "/v1/audio"),
    )
    with replaying(*recordings) as server:
        assert ask(server, b"no JSON", "/openai/v1/files") == (200, {"answer": 1})
        assert ask(server, b"", "/openai/v1/models", "GET") == (200, {"answer": 2})
        assert ask(server, b"\xff\x00", "/openai/v1/audio") == (200, {"answer": 3})
        operations = [call.operation for call in server._router.script.wait_for(3)]
    assert operations == ["/v1/files", "models", "/v1/audio"]


def test_an_empty_provider_and_path_fit_any() -> None:
    with replaying(taped(prompt("hi"), "found", "", provider="")) as server:
        assert ask(server, prompt("hi"), "/gemini/any/where") == (200, {"answer": "found"})


def test_rules_go_before_recordings() -> None:
    """A fault is laid over a cassette; what it leaves alone is replayed."""
    script = Script(default=Replay([taped(prompt("hi"), "recorded")]))
    script.add(Fault(status=503), match=Match(contains="hi"), then_default=True)
    with FakeServer(script, {"openai": "openai"}) as server:
        assert ask(server, prompt("hi"))[0] == 503
        assert ask(server, prompt("hi")) == (200, {"answer": "recorded"})
        script.add(Reply("scripted"), match=Match(contains="other"))
        assert ask(server, prompt("other"))[1]["choices"][0]["message"]["content"] == "scripted"


def test_several_processes_would_not_know_what_comes_next() -> None:
    with pytest.raises(UsageError, match="one process alone knows which recording is next; leave out --proc"):
        serve("127.0.0.1", 0, {"openai": "openai"}, None, print, processes=2, replay=Replay([]))


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(UsageError, match="speed is a factor above 0, or inf"):
        Replay([], speed)


def received(server: FakeServer) -> bytes:
    """Return all bytes of an answer, but for the date."""
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(b"GET /openai/v1/x HTTP/1.1\r\nhost: x\r\n\r\n")
        raw = b"".join(iter(lambda: client.recv(4096), b""))
    return b"\r\n".join(line for line in raw.split(b"\r\n") if not line.startswith(b"date: "))


@pytest.mark.parametrize(
    ("answered", "framed", "closed_by"),
    [
        (Answered(body=None), b"content-length: 4\r\nconnection: close\r\n\r\nnull", "server"),
        (Answered(), b"content-length: 0\r\nconnection: close\r\n\r\n", "server"),
        (
            Answered(chunks=[Chunk(text="é"), Chunk(base64="/w==")]),
            b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\n\xc3\xa9\r\n1\r\n\xff\r\n0\r\n\r\n",
            "server",
        ),
        (
            Answered(chunks=[Chunk(text="ab")], framing="length"),
            b"content-length: 2\r\nconnection: close\r\n\r\nab",
            "server",
        ),
        (Answered(chunks=[Chunk(text="ab")], framing="close"), b"connection: close\r\n\r\nab", "server"),
        (
            Answered(chunks=[Chunk(text="ab")], ends="cut"),
            b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\nab\r\n",
            "fault",
        ),
        (
            Answered(chunks=[Chunk(text="ab")], framing="length", length=9, ends="cut"),
            b"content-length: 9\r\nconnection: close\r\n\r\nab",
            "fault",
        ),
    ],
)  # fmt: skip
def test_an_answer_is_framed_as_it_was(answered: Answered, framed: bytes, closed_by: str) -> None:
    with replaying(taped(msgspec.UNSET, answered, "/v1/x", method="GET")) as server:
        assert received(server) == b"HTTP/1.1 200 OK\r\n" + framed
        assert [call.closed_by for call in server._router.script.wait_for(1)] == [closed_by]


COMMAND = [sys.executable, "-m", "langchain_prodtest.cli", "fakes", "serve"]
TAPE = {
    "recordings": [
        {
            "request": {"provider": "openai", "path": CHAT, "body": prompt("hi")},
            "response": {"body": {"n": 1}},
        }
    ]
}


def test_the_command_serves_a_cassette_to_each_scope_anew(tmp_path: Path) -> None:
    """A scope that is reset begins again; with several processes nobody would know what comes next."""
    cassette = tmp_path / "cassette.json"
    cassette.write_text(json.dumps(TAPE))
    command = [*COMMAND, "--cassette", str(cassette), "--speed", "inf"]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}

    def post(url: str, scope: str) -> int:
        headers = {"X-Prodtest-Scope": scope}
        request = urllib.request.Request(
            f"{url}/chat/completions", json.dumps(prompt("hi")).encode(), headers
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[1]
            assert [post(url, scope) for scope in ("one", "one", "two")] == [200, 400, 200]
            control = url.removesuffix("/openai/v1") + "/_prodtest/script"
            reset = urllib.request.Request(control, method="DELETE", headers={"X-Prodtest-Scope": "one"})
            urllib.request.urlopen(reset, timeout=20).close()
            assert post(url, "one") == 200
            process.send_signal(signal.SIGTERM)
            _, error = process.communicate(timeout=20)
        finally:
            process.kill()
    assert "is asked for more often than it was recorded (1)" in error


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"recordings": [\n  {"request": }]}', "line 2 column 15"),
        (
            json.dumps({"recordings": [{**TAPE["recordings"][0], "response": {"statsu": 200}}]}),
            'Did you mean "status"',
        ),
        (
            json.dumps(TAPE).replace('"openai"', '"opanai"'),
            '[recording 1]: unknown provider "opanai". Did you mean',
        ),
    ],
)
def test_a_broken_cassette_never_opens_the_port(tmp_path: Path, text: str, says: str) -> None:
    cassette = tmp_path / "cassette.json"
    cassette.write_text(text)
    done = subprocess.run(
        [*COMMAND, "--cassette", str(cassette)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert str(cassette) in done.stderr
    assert says in done.stderr


def test_a_file_answers_the_fixture_by_a_plain_function(
    tmp_path: Path, fake_providers: FakeProviders
) -> None:
    (tmp_path / "cassette.json").write_text(json.dumps(TAPE))
    fake_providers.journal.default = replay(tmp_path / "cassette.json")
    url = f"{fake_providers.openai.url}/chat/completions"
    with urllib.request.urlopen(url, json.dumps(prompt("hi")).encode(), timeout=20) as answer:
        assert json.load(answer) == {"n": 1}
    assert [call.unexpected for call in fake_providers.openai.calls] == [False]
