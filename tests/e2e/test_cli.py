"""The command line as a new user meets it: right exit codes, clear words, nothing left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from langchain_prodtest.rig.bundled import bundled
from langchain_prodtest.rig.service import free_port
from langchain_prodtest.toxiproxy.client import Toxiproxy

OUTAGE = """
title = "Outage"
steady_for = "4s"
control_for = "0s"
recover_for = "6s"
[load]
rate = 10
deadline = "5s"
[steady]
"chat.success" = ">= 90%"
[[fault]]
for = "60s"
proxy = "openai"
down = true
[expect]
"stream.masked_failure" = "== 0"
"""


def prodtest(*args: str, cwd: Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "langchain_prodtest.cli", *args],
        capture_output=True, text=True, timeout=timeout, cwd=cwd, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["demo", "--defect", "double_rety"], 'Did you mean "double_retry"?'),
        (["chaos", "run", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["chaos", "run"], "Missing argument"),
        (["gate", "--config", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["gate"], "no run in"),
        (["gate", "--nonsense"], "No such option"),
        (["nonsense"], "No such command"),
        (["toxiproxy", "--host", "192.0.2.1"], "loopback"),
        (["fakes", "serve", "--host", "192.0.2.1"], "loopback"),
    ],
)
def test_bad_input_exits_with_2_and_says_why(args: list[str], says: str, tmp_path: Path) -> None:
    done = prodtest(*args, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_gate_holds_on_an_empty_folder(tmp_path: Path) -> None:
    """No evidence is no GO: exit code 3, and it says what is missing."""
    (tmp_path / "run").mkdir()
    done = prodtest("gate", "run", cwd=tmp_path)
    assert done.returncode == 3
    assert "HOLD" in done.stdout
    assert "manifest.json is missing" in done.stdout
    assert json.loads(prodtest("gate", "run", "--json", cwd=tmp_path).stdout)["decision"] == "HOLD"


def test_the_audit_judges_a_dockerfile(tmp_path: Path) -> None:
    """A good file passes, a bad one fails; both leave evidence."""
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python:3.13\nCMD ['python']\n", "utf-8")
    good = bundled("chaos").parent / "src/langchain_prodtest/demo/Dockerfile"
    failed, passed = prodtest("audit", str(bad), cwd=tmp_path), prodtest("audit", str(good), cwd=tmp_path)
    assert (failed.returncode, passed.returncode) == (1, 0)
    assert "dockerfile.runs_as_root" in failed.stdout
    assert len(list((tmp_path / ".prodtest").glob("*/audit-dockerfile.json"))) == 2


def test_the_plan_does_nothing(tmp_path: Path) -> None:
    done = prodtest("chaos", "run", "--plan", str(bundled("chaos") / "provider-outage.toml"), cwd=tmp_path)
    assert done.returncode == 0
    assert "openai: down" in done.stdout
    assert not (tmp_path / ".prodtest").exists()


def test_the_catalogue_of_checks_is_listed(tmp_path: Path) -> None:
    done = prodtest("checks", cwd=tmp_path)
    assert done.returncode == 0
    assert "retry.amplification" in done.stdout


def test_a_target_off_the_allow_list_gets_nothing(tmp_path: Path) -> None:
    """Refused by name before anything is sent or looked up."""
    (tmp_path / "prodtest.toml").write_text('[target]\nurl = "http://chat.invalid/chat"\n', "utf-8")
    (tmp_path / "outage.toml").write_text(OUTAGE, "utf-8")
    done = prodtest("chaos", "run", "outage.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert '"chat.invalid" is not on the allow-list, nothing was sent' in done.stderr


def test_a_target_that_does_not_answer_is_said(tmp_path: Path) -> None:
    (tmp_path / "prodtest.toml").write_text('[target]\nurl = "http://127.0.0.1:1/chat"\n', "utf-8")
    (tmp_path / "outage.toml").write_text(OUTAGE, "utf-8")
    done = prodtest("chaos", "run", "outage.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "127.0.0.1:1 does not answer" in done.stderr


def start_outage(tmp_path: Path, *args: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start an experiment and return once its fault is in place, as the plan's next step would be its end."""
    (tmp_path / "outage.toml").write_text(OUTAGE, "utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "langchain_prodtest.cli", "chaos", "run", "outage.toml", *args],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True,
        env={**os.environ, **(env or {})},
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "steady ✓" in line:
            return process
    raise AssertionError("the experiment did not reach its steady state")


def children(pid: int) -> set[int]:
    """Return the processes below `pid`, and theirs."""
    found: set[int] = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            child = int(stat.parent.name)
            found |= {child} | children(child)
    return found


def gone(pids: set[int], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_experiment_is_incomplete_and_leaves_nothing(number: int, tmp_path: Path) -> None:
    """Ctrl-C: exit code 3, sealed but incomplete evidence, no process left."""
    process = start_outage(tmp_path)
    below = children(process.pid)
    assert len(below) >= 4
    time.sleep(1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert "interrupted" in errors
    assert gone(below, 10)
    (run,) = (path for path in (tmp_path / ".prodtest").iterdir() if path.is_dir())
    evidence = json.loads((run / "chaos-outage.json").read_text())
    assert evidence["complete"] is False
    assert [finding["outcome"] for finding in evidence["findings"]] == ["unknown"]
    assert (run / "manifest.json").is_file()
    assert prodtest("gate", str(run), cwd=tmp_path).returncode == 3


def test_a_killed_experiment_leaves_no_process(tmp_path: Path) -> None:
    """kill -9 of the whole process group: the watchdog ends service, load and Toxiproxy."""
    process = start_outage(tmp_path)
    below = children(process.pid)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert gone(below, 40)


@pytest.fixture(params=["embedded", "real"])
def given(request: pytest.FixtureRequest) -> Iterator[Toxiproxy]:
    """A Toxiproxy that is not the experiment's own."""
    if request.param == "embedded":
        command = [sys.executable, "-m", "langchain_prodtest.toxiproxy", "--port"]
    else:
        program = shutil.which("toxiproxy-server")
        if program is None:
            pytest.skip("no toxiproxy-server on PATH; `make toxiproxy` builds it")
        command = [program, "-host", "127.0.0.1", "-port"]
    port = free_port()
    server = subprocess.Popen([*command, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    toxiproxy = Toxiproxy(f"http://127.0.0.1:{port}")
    while not toxiproxy.running():
        assert server.poll() is None
        time.sleep(0.05)
    yield toxiproxy
    server.terminate()
    server.wait()


def test_a_killed_experiment_leaves_no_fault_on_a_given_toxiproxy(tmp_path: Path, given: Toxiproxy) -> None:
    """kill -9 of the process group while a proxy is down: the watchdog removes what the run made there."""
    process = start_outage(tmp_path, env={"TOXIPROXY_URL": given.url})
    while given.proxies()["openai"].enabled:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    end = time.monotonic() + 40
    while (left := given.proxies()) and time.monotonic() < end:
        time.sleep(0.2)
    assert left == {}
