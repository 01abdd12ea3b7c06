"""The service is a child that is started, awaited, signalled, started again and ended whole."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from langchain_prodtest.errors import ExperimentError, UsageError
from langchain_prodtest.rig.service import Service, free_port

SERVER = """
import http.server, os, signal, subprocess, sys, threading
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
how = sys.argv[2]
if how == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
elif how == "polite":
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
elif how == "broken":
    sys.exit("no such key: OPENAI_API_KEY")
server.serve_forever()
"""


@pytest.fixture
def guarded() -> list[int]:
    return []


@pytest.fixture
def make(tmp_path: Path, guarded: list[int]) -> Iterator[Callable[[str], Service]]:
    script, made = tmp_path / "server.py", list[Service]()
    script.write_text(SERVER, "utf-8")

    def guard(pid: int) -> Callable[[], None]:
        guarded.append(pid)
        return lambda: guarded.remove(pid)

    def start(how: str) -> Service:
        port = free_port()
        url = f"http://127.0.0.1:{port}/chat"
        service = Service(f"{{python}} {script} {port} {how}", url, "/readyz", {}, tmp_path / "log", guard)
        made.append(service)
        service.start()
        return service

    yield start
    for service in made:
        service.stop()


def test_it_is_ready_when_start_returns_and_gone_with_its_children_after_stop(
    make: Callable[[str], Service], guarded: list[int], tmp_path: Path
) -> None:
    """Also what the service itself has started is ended."""
    service = make("polite")
    child = int((tmp_path / "log").read_text().split()[1])
    assert len(guarded) == 1
    os.kill(child, 0)
    service.stop()
    assert guarded == []
    end = time.monotonic() + 5
    while Path(f"/proc/{child}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()


def test_a_signalled_service_is_started_again(make: Callable[[str], Service], guarded: list[int]) -> None:
    """The exit is recorded, and the platform's part is played."""
    service = make("polite")
    (first,) = guarded
    exit_ = service.signal("SIGTERM").wait()
    assert exit_.code == 0
    assert exit_.ended >= exit_.signalled
    assert guarded
    assert guarded[-1] != first


def test_a_killed_service_says_so(make: Callable[[str], Service]) -> None:
    assert make("polite").signal("SIGKILL").wait().code == -signal.SIGKILL


def test_a_service_that_cannot_start_shows_its_own_words(make: Callable[[str], Service]) -> None:
    with pytest.raises(ExperimentError, match=r"ended with code 1:\n(.*\n)*no such key: OPENAI_API_KEY"):
        make("broken")


def test_a_command_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    service = Service(
        "/nowhere/app", "http://127.0.0.1:1/", "/", {}, tmp_path / "log", lambda _: lambda: None
    )
    with pytest.raises(UsageError, match=r"\[target\] command cannot be started"):
        service.start()


def test_a_stubborn_service_is_killed(make: Callable[[str], Service], guarded: list[int]) -> None:
    """One that ignores SIGTERM does not outlive the rig."""
    from langchain_prodtest.rig import service as module

    service = make("stubborn")
    (pid,) = guarded
    process = service._process
    assert process is not None
    module.end(process, seconds=0.3)
    assert process.returncode == -signal.SIGKILL
    assert not Path(f"/proc/{pid}").exists()
