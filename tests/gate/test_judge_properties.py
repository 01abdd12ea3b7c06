"""No missing, cut, edited, foreign or unknown evidence ever becomes GO, and none of it stops the gate."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_prodtest.config import Config
from langchain_prodtest.evidence import Evidence, Manifest, Run, Subject
from langchain_prodtest.gate import Verdict, decide, describe, write_reports
from langchain_prodtest.limit import Finding, Limit, judge, parse_limit
from langchain_prodtest.measure import METRICS, Measurement

NOW = 1_800_000_000.0
FILES = ["chaos-outage.json", "load-chat.json", "manifest.json", "samples.ndjson.gz", "tests-pytest.json"]
quick = settings(max_examples=60, deadline=None, database=None)


def numbers(share: float) -> Finding:
    good = round(300 * share)
    return judge(
        parse_limit("chat.success", ">= 98%"),
        Measurement(metric="chat.success", value=share, n=300, n_eff=300.0, good=good),
    )


def write_run(path: Path, subject: Subject, share: float = 1.0) -> Path:
    run = Run(path)
    series = [run.write_series("samples", [subject])]
    for kind, name in (("tests", "pytest"), ("load", "chat"), ("chaos", "outage")):
        run.write(
            Evidence(
                kind=kind,  # type: ignore[arg-type]
                name=name,
                subject=subject,
                started=NOW - 120,
                finished=NOW - 60,
                complete=True,
                findings=[numbers(share) if kind == "load" else Finding(check="x", outcome="pass")],
                series=series if kind == "load" else [],
            )
        )
    run.seal()
    return path


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the runs once: the one to be judged, of another revision, and of the same subject but failing."""
    root = tmp_path_factory.mktemp("runs")
    write_run(root / "run", Subject("rev", "image", "config"))
    write_run(root / "other", Subject("other", "image", "config"))
    write_run(root / "failing", Subject("rev", "image", "config"), share=0.5)
    return root


@contextmanager
def copied(pristine: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "runs"
        shutil.copytree(pristine, root)
        yield root


def judged(*paths: Path) -> Verdict:
    """Judge, and write every report: none of it may raise, whatever the files hold."""
    found = decide(paths, Config(), NOW)
    assert describe(found)
    if paths[0].is_dir():
        assert len(write_reports(found, paths[0])) == 2
    return found


def reseal(run: Path) -> None:
    (run / "manifest.json").unlink()
    Run(run).seal()


def test_the_pristine_run_is_go_and_the_others_are_not(pristine: Path) -> None:
    with copied(pristine) as root:
        assert sorted(path.name for path in (root / "run").iterdir()) == FILES
        assert judged(root / "run").decision == "GO"
        assert judged(root / "failing").decision == "NO-GO"
        assert judged(root / "run", root / "other").decision == "HOLD"


def test_reports_are_not_evidence(pristine: Path) -> None:
    with copied(pristine) as root:
        assert [judged(root / "run").decision for _ in range(2)] == ["GO", "GO"]


@quick
@given(
    file=st.sampled_from([f for f in FILES if f != "manifest.json"]),
    at=st.integers(0),
    flip=st.integers(1, 255),
)
def test_one_changed_byte_is_never_go(pristine: Path, file: str, at: int, flip: int) -> None:
    with copied(pristine) as root:
        path = root / "run" / file
        data = bytearray(path.read_bytes())
        data[at % len(data)] ^= flip
        path.write_bytes(data)
        found = judged(root / "run")
        assert found.decision == "HOLD"
        assert any(file in problem for problem in found.problems)


@quick
@given(at=st.integers(0), flip=st.integers(1, 255))
def test_a_changed_manifest_is_go_only_if_it_says_the_same(pristine: Path, at: int, flip: int) -> None:
    with copied(pristine) as root:
        path = root / "run" / "manifest.json"
        before = msgspec.json.decode(path.read_bytes(), type=Manifest)
        data = bytearray(path.read_bytes())
        data[at % len(data)] ^= flip
        path.write_bytes(data)
        if judged(root / "run").decision == "GO":
            after = msgspec.json.decode(bytes(data), type=Manifest)
            assert (after.schema, after.files) == (before.schema, before.files)


@quick
@given(file=st.sampled_from(FILES), keep=st.floats(0, 0.999))
def test_a_cut_file_is_never_go(pristine: Path, file: str, keep: float) -> None:
    with copied(pristine) as root:
        path = root / "run" / file
        data = path.read_bytes()
        path.write_bytes(data[: int(keep * len(data))])
        found = judged(root / "run")
        assert found.decision == "HOLD"
        assert any(file in problem for problem in found.problems)


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_never_go(pristine: Path, file: str) -> None:
    with copied(pristine) as root:
        (root / "run" / file).unlink()
        found = judged(root / "run")
        assert found.decision == "HOLD"
        assert any(file in problem for problem in found.problems)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("other", ["other", "failing"])
def test_a_file_of_another_run_is_never_go(pristine: Path, file: str, other: str) -> None:
    with copied(pristine) as root:
        before = (root / "run" / file).read_bytes()
        shutil.copy(root / other / file, root / "run" / file)
        same = before == (root / "run" / file).read_bytes()
        assert judged(root / "run").decision == ("GO" if same else "HOLD")


@quick
@given(
    name=st.sampled_from(["load-more.json", "x.json", "note.txt", "sub/load-chat.json", "sub/manifest.json"])
)
def test_an_added_file_is_never_go(pristine: Path, name: str) -> None:
    with copied(pristine) as root:
        path = root / "run" / name
        path.parent.mkdir(exist_ok=True)
        shutil.copy(root / "run" / "load-chat.json", path)
        found = judged(root / "run")
        assert found.decision == "HOLD"
        assert any(name in problem for problem in found.problems)


@pytest.mark.parametrize("file", ["load-chat.json", "manifest.json"])
@pytest.mark.parametrize("schema", ['"schema": "prodtest/2",', '"schema": "",', ""])
def test_an_unknown_schema_is_never_go(pristine: Path, file: str, schema: str) -> None:
    with copied(pristine) as root:
        path = root / "run" / file
        path.write_text(path.read_text().replace('"schema": "prodtest/1",', schema))
        if file != "manifest.json":
            reseal(root / "run")
        found = judged(root / "run")
        assert found.decision == "HOLD"
        assert any(file in p and "unknown schema" in p for p in found.problems)


@pytest.mark.parametrize("file", FILES)
def test_a_folder_in_a_files_place_is_never_go(pristine: Path, file: str) -> None:
    with copied(pristine) as root:
        (root / "run" / file).unlink()
        (root / "run" / file).mkdir()
        assert judged(root / "run").decision == "HOLD"


@quick
@given(data=st.binary(max_size=200) | st.sampled_from([b"[" * 100_000, b'{"x":' * 100_000, b"null", b"{}"]))
def test_sealed_nonsense_is_never_go(pristine: Path, data: bytes) -> None:
    with copied(pristine) as root:
        (root / "run" / "load-chat.json").write_bytes(data)
        reseal(root / "run")
        assert judged(root / "run").decision == "HOLD"


amount = st.floats(allow_nan=False, allow_infinity=False)
metric = st.sampled_from(
    [m.pattern.replace("*.", "chat.", 1).replace("*", "p95") for m in METRICS]
) | st.text(max_size=9)
limits = st.builds(
    Limit,
    metric=metric,
    sign=st.sampled_from(["<=", ">=", "=="]),
    value=amount,
    text=st.text(max_size=9),
    confidence=amount | st.just(0.95),
)
measurements = st.builds(
    Measurement,
    metric=metric,
    value=st.none() | amount,
    n=st.integers(0, 2**53) | st.integers(0, 500),
    n_eff=amount,
    interval=st.tuples(st.none() | amount, st.none() | amount),
    good=st.none() | st.integers(),
    worst=st.none() | amount,
)
findings = st.builds(
    Finding,
    check=st.text(max_size=60),
    outcome=st.sampled_from(["pass", "fail", "unknown", "not_applicable"]),
    measurement=st.none() | measurements,
    limit=st.none() | limits,
    detail=st.text(max_size=200),
    where=st.text(max_size=9),
    remedy=st.text(max_size=200),
)


@settings(max_examples=150, deadline=None, database=None)
@given(entries=st.lists(findings, max_size=4), finished=amount, complete=st.booleans())
def test_sealed_findings_of_any_kind_are_go_only_if_their_numbers_pass(
    pristine: Path, entries: list[Any], finished: float, complete: bool
) -> None:
    with copied(pristine) as root:
        path = root / "run" / "load-chat.json"
        whole = msgspec.json.decode(path.read_bytes(), type=Evidence)
        when = NOW - 60 if complete else finished
        changed = msgspec.structs.replace(whole, findings=entries, finished=when, complete=complete)
        path.write_bytes(msgspec.json.encode(changed))
        reseal(root / "run")
        if judged(root / "run").decision == "GO":
            assert complete
            assert all(f.outcome in ("pass", "not_applicable") for f in entries)
            for finding in entries:
                if finding.limit:
                    assert judge(finding.limit, finding.measurement).outcome == "pass"
