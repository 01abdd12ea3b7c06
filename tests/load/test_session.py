import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec
import pytest

from langchain_prodtest.evidence import Evidence, latest_run, read_run
from langchain_prodtest.load.proof import PHASE
from langchain_prodtest.measure import Sample
from langchain_prodtest.outcome import Outcome
from langchain_prodtest.script import answer_for

LOADTESTS = Path(__file__).parents[2] / "loadtests"
FAST = '[load]\nrate = 100\ncount = 60\ndeadline = "3s"\n[slo]\n"chat.success" = ">= 90%"\n'

Start = Callable[..., subprocess.Popen[str]]
Finish = Callable[[subprocess.Popen[str]], tuple[int, str, str]]


@pytest.fixture
def start(tmp_path: Path) -> Any:
    """Start `locust -f loadtests --headless ...` in an empty folder that configuration may lie in."""
    (tmp_path / ".git").mkdir()
    processes: list[subprocess.Popen[str]] = []

    def run(*words: str, config: str = "", loadtests: Path = LOADTESTS, headless: bool = True) -> Any:
        if config:
            (tmp_path / "prodtest.toml").write_text(config)
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PRODTEST_", "LOCUST_"))}
        command = [sys.executable, "-m", "locust", "-f", str(loadtests), *words]
        process = subprocess.Popen(
            [*command, "--headless"] if headless else command,
            cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        processes.append(process)
        return process

    yield run
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def read(path: Path) -> list[Sample]:
    return msgspec.json.Decoder(Sample).decode_lines(path.read_bytes())


def number(sample: Sample) -> int:
    return int(sample.nonce[-8:], 16)


def the_run(folder: Path) -> tuple[Evidence, list[Sample], list[str]]:
    run = latest_run(folder / ".prodtest")
    (evidence,), problems = read_run(run)
    lines = gzip.decompress((run / evidence.series[0]).read_bytes())
    samples = msgspec.json.Decoder(Sample).decode_lines(lines)
    return evidence, [sample for sample in samples if sample.phase != PHASE], problems


HOW = {
    "ok": Outcome.OK, "stall": Outcome.OK, "close_delimited": Outcome.OK,
    "clean_cut": Outcome.BROKEN_STREAM, "eof": Outcome.BROKEN_STREAM, "reset": Outcome.BROKEN_STREAM,
    "error_event": Outcome.ERROR_IN_BAND, "500": Outcome.HTTP_ERROR, "hangup": Outcome.REFUSED,
    "hang": Outcome.TIMEOUT, "duplicate": Outcome.DUPLICATED, "soft": Outcome.SOFT_FAILURE,
    "truncated": Outcome.SILENT_TRUNCATION,
}  # fmt: skip


def test_each_request_comes_to_its_right_outcome_and_true_times(
    start: Start, service: Any, tmp_path: Path
) -> None:
    """Raw samples: one line per arrival, joined by nonce, with what the service really did."""
    ways = list(HOW)
    service.behave = lambda number: ways[number % len(ways)]
    file = tmp_path / "samples.ndjson"
    count = 2 * len(ways)
    process = start(
        "-H", service.url, "--prodtest-samples", str(file), "--prodtest-rate", "40",
        "--prodtest-count", str(count), config='[load]\ndeadline = "3s"\n',
    )  # fmt: skip
    code, out, err = finish(process)
    assert code == 0, out + err
    samples = read(file)
    assert {number(s): s.outcome for s in samples} == {i: HOW[ways[i % len(ways)]] for i in range(count)}
    assert len(samples) == count
    for sample in samples:
        if sample.outcome is Outcome.OK:
            truth = service.truth[sample.nonce]
            assert sample.first_answer is not None
            assert sample.ended is not None
            assert 0 <= sample.first_answer - truth.first < 0.5
            assert 0 <= sample.ended - truth.last < 0.5
            assert sample.longest_gap == pytest.approx(truth.gap, abs=0.5)
            assert sample.tokens == len(answer_for(sample.nonce).split())
    assert not (tmp_path / ".prodtest").exists()


def test_a_healthy_service_gives_exit_0_and_sealed_evidence(
    start: Start, service: Any, tmp_path: Path
) -> None:
    code, out, err = finish(start("-H", service.url, config=FAST))
    assert code == 0, out + err
    evidence, samples, problems = the_run(tmp_path)
    assert problems == []
    assert evidence.complete
    assert [f.check for f in evidence.findings] == ["chat.success", "load.generator_valid"]
    assert len(samples) == 60
    assert "chat  pass" in out


def test_a_broken_slo_gives_exit_1(start: Start, service: Any, tmp_path: Path) -> None:
    service.behave = lambda number: "truncated" if number % 3 == 0 else "ok"
    code, out, err = finish(start("-H", service.url, config=FAST))
    assert code == 1, out + err
    evidence, _, _ = the_run(tmp_path)
    assert evidence.findings[0].outcome == "fail"
    assert "20 silent_truncation" in out


def test_each_phase_of_a_profile_has_limits_of_its_own(start: Start, service: Any, tmp_path: Path) -> None:
    """The service fails in the spike only: the steady part's limit holds, the spike's does not."""
    service.behave = lambda number: "500" if 40 <= number < 80 else "ok"
    config = (
        '[load]\nrate = 50\ncount = 40\nprofile = "spike"\narrivals = "poisson"\ndeadline = "5s"\n'
        '[slo]\n"chat.success" = ">= 90%"\n'
        '"chat@spike.success" = ">= 90%"\n"chat@recovery.success" = ">= 90%"\n'
    )
    code, out, err = finish(start("-H", service.url, config=config))
    evidence, samples, problems = the_run(tmp_path)
    outcomes = {finding.check: finding.outcome for finding in evidence.findings}
    assert (code, problems) == (1, []), out + err
    assert outcomes["chat.success"] == outcomes["chat@recovery.success"] == "pass", out
    assert outcomes["chat@spike.success"] == "fail"
    assert [sample.phase for sample in sorted(samples, key=number)] == 40 * [""] + 40 * ["spike"] + 40 * [
        "recovery"
    ]
    assert "120 at 50/s, spike 200/s, recovery 50/s" in out


def test_too_few_requests_give_exit_3_and_are_announced_before_the_start(
    start: Start, service: Any, tmp_path: Path
) -> None:
    code, out, err = finish(start("-H", service.url, "--prodtest-count", "5", config=FAST))
    assert code == 3, out + err
    assert "chat.success stays unknown with 5 arrivals, it needs 29: --prodtest-count 29" in out


def test_without_any_configuration_the_defaults_hold_and_it_says_so(start: Start, service: Any) -> None:
    """Locust's own -t ends it after its time: 10 arrivals a second for one second."""
    code, out, err = finish(start("-H", f"http://127.0.0.1:{service.port}", "-t", "1s"))
    assert "configuration: defaults, no prodtest.toml" in out
    assert f"10 at 10/s to {service.url}" in out
    assert (code, service.requests) == (3, 10), out + err


def test_the_target_of_the_configuration_is_used_when_none_is_given(start: Start, service: Any) -> None:
    code, out, err = finish(start(config=f'[target]\nurl = "{service.url}"\n{FAST}'))
    assert (code, service.requests) == (0, 60), out + err


def refused_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("words", "config", "message"),
    [
        ((), "", "-H URL"),
        (("-H", "http://prod.example.com"), "", "not on the allow-list, nothing was sent"),
        (("-H", "REFUSED"), "", "cannot be reached"),
        (("-H", "SERVICE", "--prodtest-rate", "0"), "", "rate is arrivals per second"),
        (("-H", "SERVICE"), "[load]\ncuont = 3\n", 'Did you mean "count"'),
        (("-H", "SERVICE"), '[load]\nscenario = "chta"\n', 'Did you mean "chat"'),
        (("-H", "SERVICE"), '[slo]\n"chat.sucess" = ">= 9%"\n', "Did you mean"),
        (
            ("-H", "SERVICE"),
            '[slo]\n"caht.success" = ">= 9%"\n',
            'scenario "caht". Did you mean "chat"',
        ),
    ],
)
def test_what_cannot_begin_gives_one_clear_line_and_exit_2(
    start: Start, service: Any, words: tuple[str, ...], config: str, message: str
) -> None:
    filled = [refused_port() if w == "REFUSED" else service.url if w == "SERVICE" else w for w in words]
    code, _, err = finish(start(*filled, config=config))
    lines = [line for line in err.splitlines() if line.startswith("langchain-prodtest: ")]
    assert code == 2, err
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in err
    assert service.requests == 0


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_exits_3_with_incomplete_evidence(
    start: Start, service: Any, tmp_path: Path, sign: signal.Signals
) -> None:
    service.behave = lambda number: "hang" if number >= 5 else "ok"
    process = start("-H", service.url, "--prodtest-rate", "10", config=FAST)
    assert process.stdout is not None
    while "0 of 60" not in process.stdout.readline():
        assert process.poll() is None
    while service.requests < 8:
        assert process.poll() is None
    process.send_signal(sign)
    code, out, err = finish(process)
    assert code == 3, out + err
    evidence, samples, problems = the_run(tmp_path)
    assert problems == []
    assert not evidence.complete
    assert "ended early" in out
    assert {s.outcome for s in samples if s.nonce in service.truth and s.outcome is not Outcome.OK} == {
        Outcome.CENSORED
    }


def test_a_stall_shows_from_the_intended_start_though_few_requests_met_it(
    start: Start, service: Any, tmp_path: Path
) -> None:
    """With 4 users a stall of 2 s holds up 4 requests; all who were due meanwhile waited as well."""
    service.behave = lambda number: "stall_all" if number == 15 else "ok"
    code, out, err = finish(
        start("-H", service.url, "-u", "4", "--prodtest-rate", "20", config=FAST.replace("3s", "10s"))
    )
    _, samples, _ = the_run(tmp_path)
    whole = [s.ended - s.intended for s in samples if s.ended]
    service_time = [s.ended - s.sent for s in samples if s.ended and s.sent]
    assert code == 0, out + err
    assert len({s.nonce for s in samples}) == len(whole) == 60
    assert sum(t > 1.0 for t in service_time) <= 4
    assert sum(t > 1.0 for t in whole) > 10


def test_arrivals_beyond_the_cap_are_dropped_and_accounted_for(
    start: Start, service: Any, tmp_path: Path
) -> None:
    """One user who waits in vain for its whole patience: what nobody could send is bad, not lost."""
    service.behave = lambda number: "hang"
    config = FAST.replace("3s", "500ms")
    code, out, err = finish(start("-H", service.url, "-u", "1", config=config))
    _, samples, _ = the_run(tmp_path)
    found = {outcome: sum(s.outcome is outcome for s in samples) for outcome in Outcome}
    assert code == 1, out + err
    assert found[Outcome.DROPPED] > found[Outcome.TIMEOUT] >= 1
    assert found[Outcome.DROPPED] + found[Outcome.TIMEOUT] == 60


def test_a_run_folder_of_another_process_is_left_unsealed(start: Start, service: Any, tmp_path: Path) -> None:
    code, out, err = finish(start("-H", service.url, "--prodtest-out", "given", config=FAST))
    assert code == 0, out + err
    assert {p.name for p in (tmp_path / "given").iterdir()} == {"load-chat.json", "samples-chat.ndjson.gz"}


def test_locusts_own_tables_count_each_request_once(start: Start, service: Any, tmp_path: Path) -> None:
    """One request event each; the time to first token has a row of its own outside the total."""
    service.behave = lambda number: "500" if number < 7 else "ok"
    file = tmp_path / "stats"
    code, out, err = finish(start("-H", service.url, "--json-file", str(file), config=FAST))
    rows = {
        (row["name"], row["method"]): row for row in json.loads(next(tmp_path.glob("stats*")).read_text())
    }
    assert rows["chat", "POST"]["num_requests"] == 60
    assert rows["chat", "POST"]["num_failures"] == 7
    assert rows["chat", "TTFT"]["num_requests"] == 53
    assert set(rows) == {("chat", "POST"), ("chat", "TTFT")}
    assert code in (0, 3), out + err


def test_a_folder_that_cannot_be_written_gives_exit_2_and_nothing_is_sent(
    start: Start, service: Any, tmp_path: Path
) -> None:
    (tmp_path / "given").write_text("a file")
    code, _, err = finish(start("-H", service.url, "--prodtest-out", "given", config=FAST))
    assert (code, service.requests) == (2, 0)
    assert "the run cannot be recorded" in err


def test_the_web_ui_can_run_it_again_and_again(start: Start, service: Any, tmp_path: Path) -> None:
    """Each start from the web interface is a run with evidence of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = start(
        "-H", service.url, "--web-host", "127.0.0.1", "--web-port", str(port), config=FAST, headless=False
    )
    assert process.stdout is not None
    for _ in range(2):
        line = ""
        while "at most" not in line and "chat  pass" not in line:
            assert process.poll() is None
            line = process.stdout.readline()
        swarm(port)
    while "chat  pass" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    code, out, err = finish(process)
    assert code == 0, out + err
    assert len([p for p in (tmp_path / ".prodtest").iterdir() if p.is_dir()]) == 2


def swarm(port: int) -> None:
    """Press start in the web interface, once it answers and the last run has stopped."""
    for _ in range(200):
        with suppress(OSError):
            form = b"user_count=20&spawn_rate=20"
            with urlopen(f"http://127.0.0.1:{port}/swarm", form) as answer:
                if json.load(answer)["success"]:
                    return
        time.sleep(0.05)
    raise AssertionError("the web interface did not start a run")


def scenario(folder: Path, body: str) -> Path:
    folder.mkdir()
    text = "from langchain_prodtest.load.users import ChatUser\n\n" + textwrap.dedent(body)
    (folder / "mine.py").write_text(text)
    return folder


def test_a_scenario_of_ones_own_is_a_class_with_a_prompt(start: Start, service: Any, tmp_path: Path) -> None:
    own = scenario(tmp_path / "own", """
        class Search(ChatUser):
            scenario = "search"
            def prompt(self, nonce): return nonce
            def expected(self, nonce): return None
        class Other(ChatUser):
            scenario = "other"
    """)  # fmt: skip
    config = FAST.replace("[load]", '[load]\nscenario = "search"').replace("chat.", "search.")
    code, out, err = finish(start("-H", service.url, config=config, loadtests=own))
    assert code == 0, out + err
    evidence, _, _ = the_run(tmp_path)
    assert evidence.id == "load/search"


def test_a_scenario_that_raises_proves_nothing(start: Start, service: Any, tmp_path: Path) -> None:
    own = scenario(tmp_path / "own", """
        class Chat(ChatUser):
            def prompt(self, nonce): return nonce if nonce.endswith("0") else 1 / 0
    """)  # fmt: skip
    code, out, err = finish(start("-H", service.url, config=FAST, loadtests=own))
    assert code == 3, out + err
    assert "still open at the end" in out
    assert "ZeroDivisionError" in err
