"""Several processes on one port act as one: scripts, attempts, journal, control, and their end."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from operator import gt
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_prodtest.errors import UsageError
from langchain_prodtest.script import Fault, Match, Reply, Script, answer_for, new_nonce
from langchain_prodtest.wire.replay import Replay
from langchain_prodtest.wire.router import Router
from langchain_prodtest.wire.scopes import Scopes
from langchain_prodtest.wire.scripts import Rule
from langchain_prodtest.wire.serve import serve

MANY = 24  # requests of which hardly ever all go to one of two processes


class Served:
    """`prodtest fakes serve --processes 2`, and someone who asks it."""

    def __init__(self, process: subprocess.Popen[str], base: str) -> None:
        self.process, self.base = process, base
        self.client = httpx.Client(timeout=30, verify=False)  # of plain HTTP; certificates take their time
        self.workers = [int(number) for number in _children(process.pid)]

    def ask(self, text: str = "hi", mount: str = "openai", scope: str = "", **fields: Any) -> httpx.Response:
        body = {"model": "m", "messages": [{"role": "user", "content": text}], **fields}
        headers = {"authorization": f"Bearer sk-fake@{scope}" if scope else "Bearer sk-fake"}
        return self.client.post(f"{self.base}/{mount}/v1/chat/completions", json=body, headers=headers)

    def control(self, method: str, path: str, scope: str = "", **options: Any) -> httpx.Response:
        headers = {"x-prodtest-scope": scope} if scope else {}
        return self.client.request(method, f"{self.base}/_prodtest/{path}", headers=headers, **options)

    def calls(self, path: str = "calls", scope: str = "") -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.control("GET", path, scope).text.splitlines()]


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split() or [
        child
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


@contextmanager
def serving(*options: str, **env: str) -> Iterator[Served]:
    command = [sys.executable, "-m", "langchain_prodtest.cli", "fakes", "serve", "--processes", "2", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | env
    ) as process:
        try:
            assert process.stdout is not None
            served = Served(process, process.stdout.readline().split()[1].removesuffix("/openai/v1"))
            with served.client:
                yield served
        finally:
            process.terminate()
            process.communicate(timeout=60)


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    with serving() as served:
        yield served


@pytest.fixture
def served(running: Served) -> Served:
    running.control("DELETE", "script")
    return running


def maker(answer: httpx.Response) -> str:
    """Return what the ids have in common that one process makes."""
    return str(answer.json()["id"])[:-12]


def test_each_process_answers_and_no_two_answers_have_the_same_id(served: Served) -> None:
    answers = [served.ask() for _ in range(MANY)]
    assert len({maker(answer) for answer in answers}) == 2
    assert len({answer.json()["id"] for answer in answers}) == MANY


def test_who_has_its_answer_finds_it_in_the_journal_whoever_answered(served: Served) -> None:
    since = 0
    for number in range(MANY):
        served.ask(new_nonce(number))
        (call,) = served.calls(f"calls?since={since}")
        assert call["nonce"] == new_nonce(number)
        since = call["id"]


def test_a_sequence_is_one_for_all_processes(served: Served) -> None:
    steps = [{"text": f"step {number}"} for number in range(MANY)]
    served.control("POST", "script", json={"rule": [{"sequence": steps}]})
    with ThreadPoolExecutor(8) as pool:
        said = [*pool.map(lambda _: served.ask(), range(MANY))]
    texts = [answer.json()["choices"][0]["message"]["content"] for answer in said]
    assert sorted(texts) == sorted(step["text"] for step in steps)
    assert served.ask().status_code == 400
    assert len(served.calls("unexpected")) == 1
    served.control("DELETE", "script")
    assert served.ask().status_code == 200


def test_attempts_are_counted_over_all_processes(served: Served) -> None:
    for _ in range(MANY):
        assert served.ask("again", mount="mistral").status_code == 200
    calls = served.calls()
    assert [call["attempt"] for call in calls] == [*range(1, MANY + 1)]
    assert {call["attempt_source"] for call in calls} == {"digest"}


def test_a_refusal_strikes_the_next_connection_whoever_accepts_it(served: Served) -> None:
    served.control("POST", "script", json={"rule": [{"sequence": [{"how": "refuse"}, {"text": "now"}]}]})
    with pytest.raises(httpx.TransportError):
        served.ask()
    assert served.ask().json()["choices"][0]["message"]["content"] == "now"


def test_scopes_do_not_see_each_other(served: Served) -> None:
    served.control("POST", "script", scope="sick", json={"rule": [{"always": {"status": 503}}]})
    for _ in range(6):
        assert [served.ask(scope=scope).status_code for scope in ("", "well", "sick")] == [200, 200, 503]
    assert [len(served.calls(scope=scope)) for scope in ("", "well", "sick")] == [6, 6, 6]
    assert served.control("DELETE", "script", scope="sick").status_code == 200


def test_a_large_request_is_handed_over_whole(served: Served) -> None:
    text = "x" * 3_000_000
    assert served.ask(text, scope="large").status_code == 200
    (call,) = served.calls(scope="large")
    assert call["messages"][0]["content"] == text


def test_handed_connections_leave_no_file_open(served: Served) -> None:
    """Also where the client has left before, or sends what is no request."""

    def files() -> list[int]:
        return [len([*Path(f"/proc/{pid}/fd").iterdir()]) for pid in (served.process.pid, *served.workers)]

    served.ask(scope="files")
    host, port = served.base.removeprefix("http://").split(":")
    served.control("GET", "metrics")
    before = files()
    for number in range(30):
        served.ask(scope="files")
        with socket.create_connection((host, int(port)), timeout=30) as client:
            client.sendall(b"GET /_prodtest/calls HTTP/1.1\r\n\r\n" if number % 2 else b"\x00junk\r\n\r\n")
    end = time.monotonic() + 60
    while any(map(gt, files(), before)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(gt, files(), before))


def test_many_clients_at_once_get_the_answer_to_their_own_nonce(served: Served) -> None:
    nonces = [new_nonce(number) for number in range(200)]
    with ThreadPoolExecutor(40) as pool:
        answers = [*pool.map(served.ask, nonces)]
    said = [answer.json()["choices"][0]["message"]["content"] for answer in answers]
    assert said == [answer_for(nonce) for nonce in nonces]
    assert sorted(call["nonce"] for call in served.calls()) == nonces
    (total,) = [
        n for n in served.control("GET", "metrics").text.splitlines() if n.startswith("prodtest_fake_open")
    ]
    assert total.endswith(" 0")


def test_open_exchanges_of_all_processes_are_told_and_journalled_at_the_end(tmp_path: Path) -> None:
    script, journal = tmp_path / "script.toml", tmp_path / "calls.ndjson"
    script.write_text('[[rule]]\nalways = { how = "stall", after = 2 }')
    with ExitStack() as stack, serving("--script", str(script), "--journal", str(journal)) as served:
        host, port = served.base.removeprefix("http://").split(":")
        body = b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
        head = b"POST /openai/v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body)
        for _ in range(4):
            stream = stack.enter_context(socket.create_connection((host, int(port)), timeout=30))
            stream.sendall(head + body)
            assert stream.recv(1)
        assert "prodtest_fake_open_exchanges 4" in served.control("GET", "metrics").text.splitlines()
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(timeout=60) == 0
    calls = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [(call["id"], call["closed_by"]) for call in calls] == [(n, "fault") for n in (1, 2, 3, 4)]


def test_a_key_is_asked_for_by_each_process() -> None:
    with serving("--key", "sk-the-only-key") as served:
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        url = f"{served.base}/openai/v1/chat/completions"
        for key, status in (("sk-the-only-key", 200), ("sk-another-key", 401)):
            headers = {"authorization": f"Bearer {key}"}
            answers = [served.client.post(url, json=body, headers=headers) for _ in range(MANY)]
            assert {answer.status_code for answer in answers} == {status}


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


def test_a_killed_owner_leaves_no_process_no_file_and_a_free_port(tmp_path: Path) -> None:
    with serving(TMPDIR=str(tmp_path)) as served:
        served.ask()
        ends = [os.pidfd_open(pid) for pid in served.workers]
        assert len(ends) == 2
        served.process.kill()
        for end in ends:
            signalled(end)
        port = int(served.base.rpartition(":")[2])
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))
    assert list(tmp_path.iterdir()) == []
    assert all(map(is_gone, served.workers))


def signalled(end: int) -> None:
    """Wait until the process of a pidfd has ended."""
    ready, _, _ = select.select([end], [], [], 60)
    os.close(end)
    assert ready


def test_a_killed_worker_ends_all_and_that_is_said() -> None:
    with serving() as served:
        os.kill(served.workers[0], signal.SIGKILL)
        _, said = served.process.communicate(timeout=60)
        assert served.process.returncode == 2
        assert "a process of the fake providers was killed; the others end too" in said
    assert all(map(is_gone, served.workers))


def test_a_port_that_others_share_is_taken(served: Served) -> None:
    port = int(served.base.rpartition(":")[2])
    with pytest.raises(UsageError, match=f":{port}: Address already in use"):
        serve("127.0.0.1", port, {"openai": "openai"}, None, print, processes=2)


@pytest.mark.parametrize(
    "option", [{"tls": True}, {"transparent": True}, {"unix": Path("fakes.sock")}, {"replay": Replay([])}]
)
def test_what_cannot_be_handed_over_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="leave out --processes"):
        serve("127.0.0.1", 0, {"openai": "openai"}, None, print, processes=2, **option)


@pytest.mark.parametrize(
    ("rule", "plain"),
    [
        (Rule(match=Match(), always=Reply("hi")), True),
        (Rule(match=Match(contains="x"), always=Fault(status=503)), True),
        (Rule(match=Match(), always=Fault(how="refuse")), False),
        (Rule(match=Match(attempt=2), always=Reply("hi")), False),
        (Rule(match=Match(), sequence=(Reply("hi"),), then_default=True), False),
    ],
)
def test_only_what_needs_no_memory_is_answered_by_any_process(rule: Rule, plain: bool) -> None:
    mounts = {"openai": "openai"}
    scopes = Scopes(Router(Script(), mounts), mounts, [rule], Script)
    assert scopes.plain is plain
    scopes.add("other", [Rule(match=Match(), sequence=(Reply("hi"),))])
    assert scopes.plain is plain
    scopes.add("", [Rule(match=Match(), always=Reply("hi"))])
    assert not scopes.plain
    scopes.reset("")
    assert scopes.plain is plain
