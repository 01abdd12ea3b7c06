"""Fake providers in the foreground: announced, journalled, ended by a signal."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from langchain_prodtest.errors import UsageError
from langchain_prodtest.script import answer_for, new_nonce
from langchain_prodtest.wire.serve import serve

MOUNTS = {"openai": "openai", "backup": "openai"}
PROGRAM = f"""
import sys
from pathlib import Path
from langchain_prodtest.wire.serve import serve

journal = Path(sys.argv[1]) if len(sys.argv) > 1 else None
serve("127.0.0.1", 0, {MOUNTS!r}, journal, lambda line: print(line, flush=True))
print("ended", flush=True)
"""


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A process that serves, and the URLs it announced."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().split() for _ in MOUNTS]
            yield process, {line[0]: line[1] for line in lines}
        finally:
            process.kill()


def ask(url: str, nonce: str) -> str:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": nonce}]}).encode()
    with urllib.request.urlopen(f"{url}/chat/completions", body, timeout=10) as answer:
        return str(json.load(answer)["choices"][0]["message"]["content"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal_and_appends_each_call_to_the_journal(
    tmp_path: Path, number: signal.Signals
) -> None:
    journal = tmp_path / "calls.ndjson"
    journal.write_text('{"of": "an earlier run"}\n')
    nonces = [new_nonce(i) for i in range(3)]
    with serving(str(journal)) as (process, urls):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/openai/v1", urls["openai"])
        assert [ask(urls["openai"], nonce) for nonce in nonces[:2]] == [answer_for(n) for n in nonces[:2]]
        ask(urls["backup"], nonces[2])
        flushed = journal.read_text().splitlines()[1:]
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "ended\n", "")
    calls = [json.loads(line) for line in flushed]
    assert [call["nonce"] for call in calls] == nonces
    assert [call["provider"] for call in calls] == ["openai", "openai", "backup"]
    assert [call["id"] for call in calls] == [1, 2, 3]


def test_a_signal_ends_open_exchanges_and_journals_them(tmp_path: Path) -> None:
    journal = tmp_path / "calls.ndjson"
    with serving(str(journal)) as (process, urls):
        address = urls["openai"].split("/")[2].split(":")
        with socket.create_connection((address[0], int(address[1])), timeout=10) as client:
            client.sendall(b"GET /openai/v1/models HTTP/1.1\r\n\r\n")
            client.recv(1)
        with socket.create_connection((address[0], int(address[1])), timeout=10):
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
    assert [json.loads(line)["operation"] for line in journal.read_text().splitlines()] == ["models"]


def test_without_a_journal_nothing_is_kept() -> None:
    with serving() as (process, urls):
        assert ask(urls["openai"], new_nonce(1)) == answer_for(new_nonce(1))
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def test_signals_do_after_it_what_they_did_before() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    serve("127.0.0.1", 0, {"openai": "openai"}, None, lambda line: os.kill(os.getpid(), signal.SIGTERM))
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_journal_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing/calls\.ndjson: No such file"):
        serve("127.0.0.1", 0, MOUNTS, tmp_path / "missing" / "calls.ndjson", print)


def test_only_loopback_is_served() -> None:
    with pytest.raises(UsageError, match="loopback only"):
        serve("0.0.0.0", 0, MOUNTS, None, print)


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match=f":{taken.getsockname()[1]}: Address already in use"):
            serve("127.0.0.1", taken.getsockname()[1], MOUNTS, None, print)


@pytest.mark.parametrize("options", [["--transparent"], ["--tls"]])
def test_the_environment_is_printed_for_a_shell_to_read(tmp_path: Path, options: list[str]) -> None:
    command = [sys.executable, "-m", "langchain_prodtest.cli", "fakes", "serve", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [*iter(process.stdout.readline, "# ready\n")]
        (tmp_path / "environment").write_text("".join(line for line in lines if line.startswith("export ")))
        shell = f'. {tmp_path}/environment; echo "$HTTPS_PROXY,$SSL_CERT_FILE"'
        said = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout.strip()
        proxy, bundle = said.split(",")
        assert Path(bundle).exists()
        process.terminate()
        assert process.wait(timeout=20) == 0
    assert proxy.startswith("http://127.0.0.1:") if "--transparent" in options else not proxy
    assert any(line.startswith("openai  https://") for line in lines) == ("--tls" in options)
    assert not Path(bundle).exists()


def test_a_script_file_answers_and_a_bad_one_never_opens_the_port(tmp_path: Path) -> None:
    script = tmp_path / "sick.toml"
    command = [sys.executable, "-m", "langchain_prodtest.cli", "fakes", "serve", "--script", str(script)]
    script.write_text('[[rule]]\nmatch = {provider = "openai"}\nalways = {text = "as scripted"}')
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        assert [ask(url, "hi") for _ in range(2)] == ["as scripted"] * 2
        process.terminate()
        assert process.wait(timeout=20) == 0
    script.write_text("[[rule]]\nalways = {statsu = 503}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert f'{script}:2 [rule 1] [always]: unknown key "statsu". Did you mean "status"?' in done.stderr


def test_the_journal_file_has_the_calls_of_every_scope(tmp_path: Path) -> None:
    journal = tmp_path / "calls.ndjson"
    token = "0123456789abcdef"
    command = [sys.executable, "-m", "langchain_prodtest.cli", "fakes", "serve", "--host", "0.0.0.0"]
    env = os.environ | {"PRODTEST_TOKEN": token}
    with subprocess.Popen(
        [*command, "--journal", str(journal)], env=env, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1].replace("0.0.0.0", "127.0.0.1")
        body = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
        for key in ("any", "any@one", "any@two"):
            request = urllib.request.Request(
                f"{url}/chat/completions", body, {"authorization": f"Bearer {key}"}
            )
            urllib.request.urlopen(request, timeout=10).close()
        control = url.removesuffix("/openai/v1") + "/_prodtest/calls"
        headers = {"authorization": f"Bearer {token}", "x-prodtest-scope": "one"}
        with urllib.request.urlopen(urllib.request.Request(control, headers=headers), timeout=10) as answer:
            assert len(answer.read().splitlines()) == 1
        process.terminate()
        assert process.wait(timeout=20) == 0
    assert [json.loads(line)["id"] for line in journal.read_text().splitlines()] == [1, 2, 3]


def test_keys_are_declared_in_every_scope_and_whose_real_one_came_is_told_once(tmp_path: Path) -> None:
    journal, real = tmp_path / "calls.ndjson", "sk-proj-" + "Zq7_Lw9-Tb3xVn5RkM2cJh8Gd4Fs6Pa1YeUi0Ko" * 2
    command = [
        sys.executable,
        "-m",
        "langchain_prodtest.cli",
        "fakes",
        "serve",
        "--key",
        "mine",
        "--key",
        "ours",
    ]
    with subprocess.Popen(
        [*command, "--journal", str(journal)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        statuses = []
        for key in ("mine", "ours@one", "theirs", "theirs@one", real, f"{real}@one"):
            body = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
            request = urllib.request.Request(
                f"{url}/chat/completions", body, {"authorization": f"Bearer {key}"}
            )
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    statuses.append(answer.status)
            except urllib.error.HTTPError as error:
                statuses.append(error.code)
                error.close()
        process.terminate()
        _, told = process.communicate(timeout=20)
    assert statuses == [200, 200, 401, 401, 401, 401]
    assert told.count("looks like a real one of OpenAI") == len(told.splitlines()) == 1
    calls = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [call["real_key"] for call in calls] == ["", "", "", "", "OpenAI", "OpenAI"]
    assert real not in journal.read_text() + told
