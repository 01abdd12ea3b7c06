"""The load's samples are read while they are written; its failure is told in its own words."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from langchain_prodtest.errors import ExperimentError, UsageError
from langchain_prodtest.measure import Sample
from langchain_prodtest.outcome import Outcome
from langchain_prodtest.rig.load import LoadRun, scenario_file


def line(number: int) -> bytes:
    sample = Sample(nonce=f"n{number}", scenario="chat", intended=1.0, outcome=Outcome.OK)
    return msgspec.json.encode(sample) + b"\n"


def started(tmp_path: Path, code: str) -> LoadRun:
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=out, stderr=out)
    return LoadRun(process, tmp_path / "samples", log)


def test_a_line_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    run, file = started(tmp_path, "pass"), tmp_path / "samples"
    assert run.samples() == []
    file.write_bytes(line(1) + line(2)[:20])
    assert [s.nonce for s in run.samples()] == ["n1"]
    with file.open("ab") as more:
        more.write(line(2)[20:] + line(3))
    assert [s.nonce for s in run.samples()] == ["n1", "n2", "n3"]
    run.finish(10)


def test_a_load_that_ends_before_its_first_request_says_why(tmp_path: Path) -> None:
    run = started(tmp_path, "raise SystemExit('port 1 is closed')")
    with pytest.raises(ExperimentError, match=r"ended with code 1:\nport 1 is closed"):
        run.first_sample()


def test_a_load_that_does_not_end_is_an_error(tmp_path: Path) -> None:
    run = started(tmp_path, "import time; time.sleep(60)")
    try:
        with pytest.raises(ExperimentError, match="did not end within 0 s"):
            run.finish(0.2)
    finally:
        run._process.kill()
        run._process.wait()


def test_a_projects_own_scenario_goes_before_the_bundled_one(tmp_path: Path) -> None:
    """An unknown one is a usage error with the valid names."""
    assert scenario_file("chat", tmp_path).name == "chat.py"
    own = tmp_path / "loadtests" / "chat.py"
    own.parent.mkdir()
    own.write_text("", "utf-8")
    assert scenario_file("chat", tmp_path) == own
    with pytest.raises(UsageError, match='Did you mean "chat"'):
        scenario_file("caht", tmp_path)
