"""A run folder is sealed: whatever is missing, cut, edited or added afterwards shows."""

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from langchain_prodtest.errors import EvidenceError
from langchain_prodtest.evidence import SCHEMA, Evidence, Manifest, Run, Subject, latest_run, read_run
from langchain_prodtest.limit import Finding, judge, parse_limit
from langchain_prodtest.measure import Measurement


def evidence(name: str = "chat", kind: Any = "load", **more: Any) -> Evidence:
    limit = parse_limit("chat.success", ">= 98%")
    measured = Measurement(
        metric="chat.success", value=1.0, n=300, n_eff=300.0, good=300, interval=(0.99, None)
    )
    fields: dict[str, Any] = {
        "subject": Subject("rev", "image", "config"), "started": 1.0, "finished": 2.0, "complete": True,
        "findings": [judge(limit, measured), Finding(check="x", outcome="pass")], **more,
    }  # fmt: skip
    return Evidence(kind=kind, name=name, **fields)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    series = run.write_series("samples", [Subject("a"), Subject("b")])
    run.write(evidence(series=[series]))
    run.write(evidence("pytest", kind="tests"))
    run.seal()
    return run


def problems(run: Run) -> list[str]:
    return read_run(run.path)[1]


def test_what_was_written_is_read_again(run: Run) -> None:
    found, wrong = read_run(run.path)
    assert wrong == []
    assert found == [evidence(series=["samples.ndjson.gz"]), evidence("pytest", kind="tests")]
    assert [(e.id, e.file, e.schema) for e in found] == [
        ("load/chat", "load-chat.json", SCHEMA),
        ("tests/pytest", "tests-pytest.json", SCHEMA),
    ]


def test_a_series_is_compressed_json_lines_and_the_same_bytes_each_time(run: Run) -> None:
    path = run.path / "samples.ndjson.gz"
    before = path.read_bytes()
    lines = [json.loads(line) for line in gzip.decompress(before).splitlines()]
    assert [line["revision"] for line in lines] == ["a", "b"]
    run.write_series("samples", [Subject("a"), Subject("b")])
    assert path.read_bytes() == before


def test_the_manifest_lists_every_file_but_itself_and_the_reports(run: Run) -> None:
    (run.path / "report").mkdir()
    (run.path / "report" / "junit.xml").write_text("<x/>")
    manifest = msgspec.json.decode(run.seal().read_bytes(), type=Manifest)
    assert sorted(manifest.files) == ["load-chat.json", "samples.ndjson.gz", "tests-pytest.json"]
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in manifest.files.values())
    assert problems(run) == []


def test_nothing_but_whole_files_is_left(run: Run) -> None:
    assert sorted(path.name for path in run.path.iterdir()) == [
        "load-chat.json", "manifest.json", "samples.ndjson.gz", "tests-pytest.json",
    ]  # fmt: skip


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        run.write(evidence(complete=False))
    monkeypatch.undo()
    assert problems(run) == []
    assert len(list(run.path.iterdir())) == 4


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a b", "a\n"])
def test_a_name_that_is_no_file_name_is_refused(run: Run, name: str) -> None:
    with pytest.raises(EvidenceError, match="use letters, digits"):
        run.write(evidence(name))


def test_runs_are_named_by_time_and_never_the_same(tmp_path: Path) -> None:
    paths = [Run.create(tmp_path / "runs").path for _ in range(12)]
    assert len(set(paths)) == 12
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(-\d+)?", path.name) for path in paths)
    assert latest_run(tmp_path / "runs") == paths[-1]


def test_a_second_has_room_for_999_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langchain_prodtest.evidence.now", lambda: 0.0)
    assert Run.create(tmp_path).path.name == "1970-01-01T00-00-00"
    for number in range(2, 999):
        (tmp_path / f"1970-01-01T00-00-00-{number}").mkdir()
    assert Run.create(tmp_path).path.name == "1970-01-01T00-00-00-999"
    assert latest_run(tmp_path).name == "1970-01-01T00-00-00-999"
    with pytest.raises(EvidenceError, match="already holds 999 runs"):
        Run.create(tmp_path)


def test_runs_stay_out_of_git_so_that_they_do_not_change_the_revision(tmp_path: Path) -> None:
    Run.create(tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_text("")])
def test_without_a_run_there_is_no_latest(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "runs")
    with pytest.raises(EvidenceError, match="no run in"):
        latest_run(tmp_path / "runs")


def test_a_folder_that_is_not_there_is_one_problem(tmp_path: Path) -> None:
    assert read_run(tmp_path / "x") == ([], [f"{tmp_path / 'x'} is not a run folder"])


def test_a_missing_manifest_leaves_nothing_trusted(run: Run) -> None:
    (run.path / "manifest.json").unlink()
    first, *rest = problems(run)
    assert "manifest.json is missing: the run did not finish" in first
    assert len(rest) == 3
    assert all("is not listed in the manifest" in problem for problem in rest)


@pytest.mark.parametrize("file", ["load-chat.json", "samples.ndjson.gz"])
def test_a_missing_file_is_named(run: Run, file: str) -> None:
    (run.path / file).unlink()
    assert f"{run.path / file} is listed in the manifest but missing" in problems(run)


def test_a_series_that_is_named_and_not_there_is_a_problem(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write(evidence(series=["gone.ndjson.gz"]))
    run.seal()
    assert problems(run) == [f"{tmp_path / 'gone.ndjson.gz'} is named as a series but missing"]


def test_an_edited_file_is_named(run: Run) -> None:
    path = run.path / "samples.ndjson.gz"
    path.write_bytes(path.read_bytes() + b" ")
    assert problems(run) == [f"{path} was changed after the run was sealed"]


@pytest.mark.parametrize("file", ["extra.txt", "sub/manifest.json", "sub/report/x"])
def test_an_added_file_is_named(run: Run, file: str) -> None:
    (run.path / file).parent.mkdir(parents=True, exist_ok=True)
    (run.path / file).write_text("{}")
    assert any(p == f"{run.path / file} is not listed in the manifest" for p in problems(run))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"x":' * 100_000, "cannot be read"),
        (b'{"schema": "prodtest/1"}', "cannot be read"),
        (b'{"schema": 1}', "cannot be read"),
        (b"{}", 'has the unknown schema ""; this version reads prodtest/1'),
        (b'{"schema": "prodtest/9", "new": 1}', 'has the unknown schema "prodtest/9"'),
    ],
)
@pytest.mark.parametrize("file", ["load-chat.json", "manifest.json"])
def test_what_cannot_be_understood_is_a_problem_not_an_exception(
    run: Run, file: str, data: bytes, says: str
) -> None:
    (run.path / file).write_bytes(data)
    if file != "manifest.json":
        run.seal()
    assert any(p.startswith(f"{run.path / file} {says}") for p in problems(run))


def test_evidence_under_another_files_name_is_not_taken(run: Run) -> None:
    (run.path / "load-chat.json").rename(run.path / "load-search.json")
    run.seal()
    found, wrong = read_run(run.path)
    assert [e.id for e in found] == ["tests/pytest"]
    assert wrong == [f"{run.path / 'load-search.json'} says it is load-chat.json"]


def test_evidence_in_a_folder_below_is_not_taken(run: Run) -> None:
    (run.path / "sub").mkdir()
    (run.path / "load-chat.json").rename(run.path / "sub" / "load-chat.json")
    run.seal()
    assert problems(run) == [f"{run.path / 'sub/load-chat.json'} says it is load-chat.json"]


def test_a_file_that_may_not_be_read_is_a_problem(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "load-chat.json":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert any("load-chat.json cannot be read: [Errno 13]" in problem for problem in problems(run))


WRITE = """
import sys
from pathlib import Path
from langchain_prodtest.evidence import Evidence, Run, Subject

path, name = sys.argv[1:]
about = Subject()
Run(Path(path)).write(
    Evidence(kind="load", name=name, subject=about, started=1, finished=2, complete=True, findings=[])
)
"""


def test_several_processes_may_write_into_one_run(tmp_path: Path) -> None:
    names = ["one", "three", "two"]
    writers = [subprocess.Popen([sys.executable, "-c", WRITE, str(tmp_path), name]) for name in names]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    Run(tmp_path).seal()
    found, wrong = read_run(tmp_path)
    assert ([e.name for e in found], wrong) == (names, [])
