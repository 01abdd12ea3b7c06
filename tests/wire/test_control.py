"""The control API: scripts, journal, waiting, scopes, metrics, and who is let in."""

import json
import random
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from langchain_prodtest.errors import UsageError
from langchain_prodtest.script import Call, Fault, Match, Reply, Script, answer_for, new_nonce
from langchain_prodtest.wire import FakeServer
from langchain_prodtest.wire.scopes import Scopes
from langchain_prodtest.wire.scripts import Rule

TOKEN = "0123456789abcdef"
SICK = {"rule": [{"match": {"provider": "openai"}, "always": {"status": 429}}]}
ONCE = '[[rule]]\nsequence = [{ text = "one" }, { text = "two" }]'
RULES = [Rule(match=Match(model="broken"), always=Fault(status=503))]


class User:
    """Someone at a server, in a scope."""

    def __init__(self, server: FakeServer, scope: str = "", **headers: str) -> None:
        self.headers = headers | ({"x-prodtest-scope": scope} if scope else {})
        self.base = f"http://{server.address}"

    def control(self, method: str, path: str, **options: Any) -> httpx.Response:
        url = f"{self.base}/_prodtest/{path}"
        return httpx.request(method, url, headers=self.headers, timeout=20, **options)

    def lines(self, path: str) -> list[dict[str, Any]]:
        answer = self.control("GET", path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/x-ndjson"
        return [json.loads(line) for line in answer.text.splitlines()]

    def ask(self, nonce: str = "hi", mount: str = "openai", **fields: Any) -> httpx.Response:
        body = {"model": "m", "messages": [{"role": "user", "content": nonce}]} | fields
        url = f"{self.base}/{mount}/v1/chat/completions"
        return httpx.post(url, json=body, headers={"authorization": "Bearer sk-fake"} | self.headers)

    def said(self, *arguments: Any, **fields: Any) -> str:
        return str(self.ask(*arguments, **fields).json()["choices"][0]["message"]["content"])


@pytest.fixture
def server() -> Iterator[FakeServer]:
    mounts = {"openai": "openai", "backup": "openai"}
    with FakeServer(Script(), mounts, scopes=Script, rules=RULES) as running:
        yield running


def test_a_script_is_loaded_obeyed_and_reset_to_the_rules_of_the_server(server: FakeServer) -> None:
    user = User(server)
    assert user.control("POST", "script", json=SICK).json() == {"rules": 1}
    assert [user.ask().status_code, user.ask(mount="backup").status_code] == [429, 200]
    assert user.control("DELETE", "script").json() == {}
    assert [user.ask().status_code, user.ask(model="broken").status_code] == [200, 503]


def test_toml_is_a_script_too_and_what_is_left_of_it_is_told(server: FakeServer) -> None:
    user = User(server)
    assert user.control("POST", "script", content=ONCE).json() == {"rules": 1}
    assert user.said() == "one"
    (left,) = user.control("GET", "leftover").json()
    assert left["step"]["text"] == "two"
    assert user.said() == "two"
    assert user.ask().status_code == 400
    assert [call["unexpected"] for call in user.lines("unexpected")] == [True]


def test_a_bad_script_changes_nothing_and_says_what_is_wrong(server: FakeServer) -> None:
    user = User(server)
    for body, says in [
        (b'{"rule": [{"always": {"statsu": 1}}]}', 'Did you mean "status"'),
        (b"\xff", "script:"),
        (b'{"rule": [{"match": {"provider": "anthropic"}, "always": {}}]}', "unknown provider"),
        (b"[" * 10_000, "script:"),
    ]:
        answer = user.control("POST", "script", content=body)
        assert answer.status_code == 400
        assert says in answer.json()["error"]
    assert user.ask().status_code == 200


def test_the_journal_is_filtered_and_never_tells_of_the_control_api(server: FakeServer) -> None:
    user = User(server)
    nonces = [new_nonce(i) for i in range(3)]
    user.ask(nonces[0])
    user.ask(nonces[1])
    user.ask(nonces[2], mount="backup")
    assert [call["nonce"] for call in user.lines("calls")] == nonces
    assert [call["nonce"] for call in user.lines("calls?provider=backup")] == nonces[2:]
    assert [call["nonce"] for call in user.lines(f"calls?nonce={nonces[1]}")] == [nonces[1]]
    last = user.lines("calls")[0]["id"]
    assert [call["nonce"] for call in user.lines(f"calls?since={last}")] == nonces[1:]
    assert "sk-fake" not in user.control("GET", "calls").text


def test_a_journal_of_any_length_is_told_page_by_page(server: FakeServer) -> None:
    user, script = User(server), server._traffic.router.script
    for number in range(3000):
        script.record(Call(id=0, provider="openai", nonce=new_nonce(number), unexpected=number % 1000 == 0))
    assert [call["nonce"] for call in user.lines("calls")] == [new_nonce(n) for n in range(3000)]
    assert [call["id"] for call in user.lines("calls?since=2990")] == [*range(2991, 3001)]
    assert [call["id"] for call in user.lines(f"calls?nonce={new_nonce(700)}")] == [701]
    assert [call["id"] for call in user.lines("unexpected")] == [1, 1001, 2001]
    assert user.control("GET", "wait?calls=3000&seconds=0").status_code == 200
    assert user.control("GET", "wait?calls=3001&seconds=0").status_code == 408
    user.control("DELETE", "script")
    assert user.lines("calls") == []
    user.ask()
    assert [call["id"] for call in user.lines("calls?since=3000")] == [3001]


def test_a_client_of_http_1_0_reads_the_journal_to_the_end(server: FakeServer) -> None:
    script = server._traffic.router.script
    for _ in range(600):
        script.record(Call(id=0, provider="openai"))
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as peer:
        peer.sendall(b"GET /_prodtest/calls HTTP/1.0\r\n\r\n")
        head, _, body = b"".join(iter(lambda: peer.recv(65536), b"")).partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert [json.loads(line)["id"] for line in body.splitlines()] == [*range(1, 601)]


def test_who_reads_the_journal_slowly_holds_up_nobody(server: FakeServer) -> None:
    """Much more than socket buffers hold waits for the reader; others are answered, and it gets all of it."""
    script = server._traffic.router.script
    for _ in range(2000):
        script.record(Call(id=0, provider="openai", model="m" * 10_000))
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as slow:
        slow.sendall(b"GET /_prodtest/calls HTTP/1.0\r\n\r\n")
        slow.recv(1)
        assert User(server).ask().status_code == 200
        rest = b"".join(iter(lambda: slow.recv(1 << 20), b""))
    assert rest.count(b"\n{") >= 2000


def test_waiting_ends_when_the_calls_are_there_or_the_time_is_over(server: FakeServer) -> None:
    user = User(server)
    answers: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: answers.append(user.control("GET", "wait?calls=2&seconds=20")))
    waiting.start()
    user.ask()
    user.ask()
    waiting.join(20)
    assert [answer.status_code for answer in answers] == [200]
    assert len(answers[0].text.splitlines()) == 2
    late = user.control("GET", "wait?calls=3&seconds=0.05")
    assert (late.status_code, len(late.text.splitlines())) == (408, 2)


def test_who_stops_waiting_leaves_nothing_behind() -> None:
    others = set(threading.enumerate())
    with FakeServer(Script(), {"openai": "openai"}) as server:
        host, port = server.address.split(":")
        with socket.create_connection((host, int(port))) as peer:
            peer.sendall(b"GET /_prodtest/wait?seconds=60 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert User(server).ask().status_code == 200
    assert set(threading.enumerate()) <= others


def test_scopes_do_not_see_each_other(server: FakeServer) -> None:
    nobody, one, two = User(server), User(server, "gw1"), User(server, "gw2")
    one.control("POST", "script", content=ONCE)
    two.control("POST", "script", json=SICK)
    nonce = new_nonce(1)
    assert nobody.said(nonce) == answer_for(nonce)
    assert one.said() == "one"
    assert two.ask().status_code == 429
    assert [len(user.lines("calls")) for user in (nobody, one, two)] == [1, 1, 1]
    one.control("DELETE", "script")
    assert one.lines("calls") == []
    assert one.said(nonce) == answer_for(nonce)
    assert two.ask().status_code == 429
    assert one.ask(model="broken").status_code == 503, "a scope begins with the rules of the server"


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key", "x-goog-api-key"])
def test_a_client_that_sends_no_header_of_ours_names_the_scope_in_its_key(
    server: FakeServer, header: str
) -> None:
    scope, client = User(server, "gw1"), User(server, **{header: "sk-fake@gw1"})
    scope.control("POST", "script", content=ONCE)
    assert client.said() == "one"
    assert len(scope.lines("calls")) == 1


def test_a_scope_s_name_is_checked_and_their_number_is_bounded(server: FakeServer) -> None:
    assert User(server, "no/scope").ask().status_code == 400
    assert User(server, "x" * 65).control("GET", "calls").status_code == 400
    for number in range(1000):
        User(server, f"s{number}")
    control = server._traffic.control
    assert control is not None
    scopes: Scopes = control.scopes
    for number in range(1000):
        scopes.named(f"s{number}")
    assert User(server, "one-more").ask().status_code == 503
    assert User(server, "s7").control("DELETE", "script").status_code == 200
    assert User(server, "one-more").ask().status_code == 200


def test_metrics_are_those_of_all_scopes_for_prometheus(server: FakeServer) -> None:
    User(server).ask()
    User(server, "gw1").ask()
    User(server).ask(model="broken")
    answer = User(server).control("GET", "metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    good = 'provider="openai",operation="chat",status="200",closed_by="server",unexpected="false"'
    assert f"prodtest_fake_calls_total{{{good}}} 2" in lines
    assert any('status="503"' in line and line.endswith(" 1") for line in lines)
    assert "prodtest_fake_open_exchanges 0" in lines


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "scripts", 404, "There are: script"),
        ("GET", "script", 404, "There are: script"),
        ("GET", "calls?nonse=1", 400, "nonse"),
        ("GET", "calls?since=soon", 400, "since"),
        ("GET", "wait?seconds=3600", 400, "60"),
    ],
)
def test_a_wrong_request_is_told_what_is_right(
    server: FakeServer, method: str, path: str, status: int, says: str
) -> None:
    answer = User(server).control(method, path)
    assert answer.status_code == status
    assert says in answer.json()["error"]


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"host": "evil.example:80"}])
def test_a_web_page_is_not_let_in(server: FakeServer, headers: dict[str, str]) -> None:
    assert User(server, **headers).control("DELETE", "script").status_code == 403
    assert User(server, host="localhost:1").control("DELETE", "script").status_code == 200


def test_a_token_is_asked_for_by_the_control_api_alone() -> None:
    with FakeServer(Script(), scopes=Script, token=TOKEN) as server:
        assert User(server).control("GET", "calls").status_code == 401
        assert User(server, authorization=f"Bearer {TOKEN}x").control("GET", "calls").status_code == 401
        assert User(server, authorization=f"Bearer {TOKEN}").control("GET", "calls").status_code == 200
        assert User(server).ask().status_code == 200
        assert User(server).control("GET", "health").json() == {}
        assert User(server, host="fakes.staging").control("GET", "health").status_code == 200
        assert User(server).control("POST", "health").status_code == 404


def test_off_loopback_a_token_is_needed_and_a_short_one_is_none() -> None:
    with pytest.raises(UsageError, match="give a token"):
        FakeServer(Script(), host="0.0.0.0", scopes=Script)
    with pytest.raises(UsageError, match="at least 16"):
        FakeServer(Script(), host="0.0.0.0", scopes=Script, token="short")
    assert FakeServer(Script(), host="0.0.0.0", scopes=Script, token=TOKEN).address == "0.0.0.0:0"


def test_without_scopes_there_is_no_control_api() -> None:
    with FakeServer(Script(lambda request: Reply("hi"))) as server:
        assert User(server).control("GET", "calls").status_code == 404


def test_fuzzed_control_requests_break_nothing(server: FakeServer) -> None:
    chance = random.Random(3)
    host, port = server.address.split(":")
    body = json.dumps(SICK).encode()
    whole = b"POST /_prodtest/script?since=1 HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 5)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with socket.create_connection((host, int(port)), timeout=10) as peer:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(65536):
                pass
    User(server).control("DELETE", "script")
    assert User(server).ask().status_code == 200
