"""Replay files are written whole, read strictly; faults shrink within their kind."""

from pathlib import Path

import pytest

from langchain_prodtest.errors import UsageError
from langchain_prodtest.replay import Rehearsal, Replay, read_replay, smaller, write_replay
from langchain_prodtest.script import Fault, Reply, Request

ASKED = Request(provider="openai")


def test_what_is_written_is_read_again_and_holds_no_more_than_it_must(tmp_path: Path) -> None:
    replay = Replay(test="test_a.py::test_b[503]", fault=Fault(how="eof", after=3), requests=1)
    path = tmp_path / "new" / "replay.json"
    write_replay(path, replay)
    assert read_replay(path) == replay
    assert "null" not in path.read_text("utf-8")
    assert [found.name for found in path.parent.iterdir()] == ["replay.json"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "Input data was truncated"),
        ('{"schema": "prodtest-replay/9", "test": "x"}', "Invalid value 'prodtest-replay/9'"),
        ('{"schema": "prodtest-replay/1"}', "missing required field `test`"),
        (
            '{"schema": "prodtest-replay/1", "test": "t", "fault": {"status": 99}}',
            "status must be 400 to 599",
        ),
        ('{"schema": "prodtest-replay/1", "test": "t", "faults": []}', "unknown field `faults`"),
        (None, "No such file or directory"),
    ],
)
def test_a_bad_file_is_told(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "bad.json"
    if text is not None:
        path.write_text(text, "utf-8")
    with pytest.raises(UsageError, match=f"replay file {path}: .*{says}"):
        read_replay(path)


@pytest.mark.parametrize(
    ("fault", "simpler"),
    [
        (Fault(how="reset", after=9), [1, 4, 8]),
        (Fault(how="stall", after=1), []),
        (Fault(how="hang"), []),
    ],
)
def test_a_place_comes_nearer_to_the_start_but_stays_inside(fault: Fault, simpler: list[int]) -> None:
    assert list(smaller(fault)) == [Fault(how=fault.how, after=after) for after in simpler]


def test_what_a_fault_carries_is_left_out_first() -> None:
    assert list(smaller(Fault(status=429, retry_after="soon", body="<html>"))) == [
        Fault(status=429, retry_after="soon"),
        Fault(status=429, body="<html>"),
    ]
    assert list(smaller(Fault(how="eof", after_bytes=2, framing="close"))) == [
        Fault(how="eof", after_bytes=2),
        Fault(how="eof", after_bytes=1, framing="close"),
    ]


def test_a_rehearsal_gives_the_fault_of_the_replay_to_the_first_requests_only() -> None:
    replay = Replay(test="t", fault=Fault(status=500), requests=1)
    script = Rehearsal(lambda request: Reply("well"), replay)
    script.add(Reply("first"), Fault(status=503, body="<html>"), Fault(status=503), then_default=True)
    assert [script.next(ASKED) for _ in range(4)] == [
        Reply("first"),
        Fault(status=500),
        Reply("well"),
        Reply("well"),
    ]
    assert [fault for fault, _ in script.gave] == [Fault(status=503, body="<html>"), Fault(status=503)]


def test_without_a_replay_a_rehearsal_is_a_script_that_remembers() -> None:
    script = Rehearsal()
    script.add(Fault(status=503))
    assert script.next(ASKED) == Fault(status=503)
    assert script.gave == [(Fault(status=503), ASKED)]
