"""Replies and faults are data that cannot contradict itself."""

import statistics
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.steps import Fault, Reply, ToolCall, lognormal


@pytest.mark.parametrize(
    ("reply", "finish"),
    [
        (Reply("a"), "stop"),
        (Reply(tool_calls=[ToolCall("book", {"seat": "12A"})]), "tool_calls"),
        (Reply("a", finish="length"), "length"),
    ],
)
def test_the_finish_reason_follows_from_the_content(reply: Reply, finish: str) -> None:
    assert reply.finish_reason == finish


@pytest.mark.parametrize(
    "wrong",
    [
        {"first_token": -1.0},
        {"per_chunk": -0.1},
        {"chunks": 0},
        {"chunks": -1},
        {"gaps": [0.1, -0.1]},
        {"gaps": [float("inf")]},
        {"first_token": float("nan")},
        {"per_chunk": float("inf")},
        {"gaps": [0.1], "per_chunk": 0.1},
    ],
)
def test_a_reply_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ScriptError, match="Reply: "):
        Reply("a", **wrong)


@pytest.mark.parametrize(
    ("reply", "later", "slower"),
    [
        (Reply("a b", first_token=1.0, per_chunk=0.5), [3.0, 3.5, 4.0], [3.0, 4.5, 6.0]),
        (Reply("a b", gaps=[1.0, 0.5]), [3.0, 3.5, 4.0], [3.0, 4.5, 6.0]),
        (Reply("a b", gaps=[1.0]), [3.0, 4.0, 5.0], [3.0, 6.0, 9.0]),
        (Reply("a b"), [2.0, 2.0, 2.0], [0.0, 0.0, 0.0]),
    ],
)
def test_a_reply_can_come_later_or_slower(reply: Reply, later: list[float], slower: list[float]) -> None:
    assert [reply.later(2.0).due(piece) for piece in range(3)] == later
    assert [reply.slower(3.0).due(piece) for piece in range(3)] == slower


def test_how_long_a_reply_takes_follows_from_what_is_in_it() -> None:
    reply = Reply("a b", tool_calls=[ToolCall("book")], reasoning="c d e", first_token=1.0, per_chunk=0.5)
    assert (reply.count, reply.seconds) == (6, 3.5)
    assert (Reply("", first_token=1.0).count, Reply("", first_token=1.0).seconds) == (0, 1.0)


@settings(deadline=None)
@given(text=st.text(max_size=60), chunks=st.none() | st.integers(1, 12))
def test_the_pieces_of_a_text_joined_are_the_text(text: str, chunks: int | None) -> None:
    pieces = Reply(text, chunks=chunks).pieces()
    assert "".join(pieces) == text
    assert all(pieces)
    if chunks is not None:
        assert len(pieces) <= chunks


@pytest.mark.parametrize(
    ("chunks", "pieces"),
    [
        (None, ["one", " two", " three", " "]),
        (1, ["one two three "]),
        (3, ["one two", " three", " "]),
        (9, ["one", " two", " three", " "]),
    ],
)
def test_a_text_is_cut_at_words(chunks: int | None, pieces: list[str]) -> None:
    assert Reply("one two three ", chunks=chunks).pieces() == pieces


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({}, "give either status"),
        ({"status": 503, "how": "reset"}, "give either status"),
        ({"status": 200}, "400 to 599"),
        ({"status": 600}, "400 to 599"),
        ({"status": 503, "after": -1}, "cannot be negative"),
        ({"status": 503, "delay": -0.1}, "cannot be negative"),
        ({"status": 503, "delay": float("nan")}, "cannot be negative"),
        ({"how": "stall"}, "after=1 or more"),
        ({"how": "clean_end"}, "after=1 or more"),
        ({"how": "reset", "retry_after": 1}, "belong to a status"),
        ({"how": "reset", "body": "x"}, "belong to a status"),
        ({"how": "duplicate"}, "after=1 or more"),
        ({"how": "reorder"}, "after=1 or more"),
        ({"how": "missing"}, "missing needs what"),
        ({"how": "eof", "what": "usage"}, "only missing"),
        ({"status": 503, "what": "usage"}, "only missing"),
        ({"how": "garbage", "after_bytes": 3}, "after_bytes cuts"),
        ({"how": "eof", "after": 1, "after_bytes": 3}, "replaces after"),
        ({"how": "eof", "after_bytes": -1}, "cannot be negative"),
        ({"how": "eof", "framing": "close"}, "inside the body"),
        ({"how": "html", "framing": "close"}, "framing is about"),
    ],
)
def test_a_fault_that_contradicts_itself_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ScriptError, match=says):
        Fault(**wrong)


def test_a_fault_is_a_status_or_a_way_to_break() -> None:
    assert Fault(status=429, retry_after="soon", body="{}", headers={"x": "y"}).status == 429
    assert Fault(how="stall", after=1, delay=2.0).how == "stall"
    assert Fault(how="hang").after == 0
    assert Fault(how="stall", after_bytes=1, framing="length").framing == "length"
    assert Fault(how="missing", what="finish").what == "finish"


@pytest.mark.parametrize(
    ("reply", "due"),
    [
        (Reply("a"), [0.0, 0.0, 0.0]),
        (Reply("a", first_token=1.0, per_chunk=0.25), [1.0, 1.25, 1.5]),
        (Reply("a", gaps=[0.5, 0.25, 1.0]), [0.5, 0.75, 1.75]),
        (Reply("a", gaps=[0.5, 0.25]), [0.5, 0.75, 1.0]),
        (Reply("a", gaps=[0.5]), [0.5, 1.0, 1.5]),
    ],
)
def test_a_piece_is_due_after_the_gaps_before_it(reply: Reply, due: list[float]) -> None:
    assert [reply.due(piece) for piece in range(3)] == due
    assert [sum(reply.gap(piece) for piece in range(n + 1)) for n in range(3)] == due
    assert reply.paced == any(due)


def test_drawn_gaps_follow_from_the_seed_and_lie_about_the_median() -> None:
    gaps = lognormal(0.05, 0.5, 2000, seed=3)
    assert gaps == lognormal(0.05, 0.5, 2000, seed=3)
    assert gaps != lognormal(0.05, 0.5, 2000, seed=4)
    assert statistics.median(gaps) == pytest.approx(0.05, rel=0.1)
    assert max(gaps) > 4 * statistics.median(gaps)
    assert lognormal(0.05, 0.0, 3, first=1.0) == pytest.approx([1.05, 0.05, 0.05])


@pytest.mark.parametrize("wrong", [(0.0, 1.0, 1), (1.0, -1.0, 1), (1.0, 1.0, 0)])
def test_a_distribution_that_makes_no_sense_is_refused(wrong: tuple[float, float, int]) -> None:
    with pytest.raises(ScriptError, match="lognormal: "):
        lognormal(*wrong)
