"""What a client got: status says nothing, the text and the ending do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_prodtest.outcome import GOOD, NOT_SERVED, Answer, Ending, Outcome, decide
from langchain_prodtest.script import answer_for, new_nonce

RIGHT = answer_for(new_nonce(7))
WORDS = RIGHT.split(" ")


def got(text: str = RIGHT, ending: Ending = "complete", status: int = 200) -> Outcome:
    return decide(Answer(status=status, text=text, ending=ending), RIGHT)


@pytest.mark.parametrize(
    ("ending", "status", "outcome"),
    [
        ("complete", 200, Outcome.OK),
        ("timeout", 200, Outcome.TIMEOUT),
        ("timeout", 0, Outcome.TIMEOUT),
        ("refused", 0, Outcome.REFUSED),
        ("broken", 0, Outcome.REFUSED),
        ("complete", 503, Outcome.HTTP_ERROR),
        ("broken", 400, Outcome.HTTP_ERROR),
        ("error_event", 200, Outcome.ERROR_IN_BAND),
        ("closed", 200, Outcome.BROKEN_STREAM),
        ("broken", 200, Outcome.BROKEN_STREAM),
    ],
)
def test_the_ending_and_the_status_come_before_the_text(
    ending: Ending, status: int, outcome: Outcome
) -> None:
    assert got(ending=ending, status=status) == outcome


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (f"\n {RIGHT} \n", Outcome.OK),
        (" ".join(WORDS[:9]), Outcome.SILENT_TRUNCATION),
        (RIGHT[:-1], Outcome.SILENT_TRUNCATION),
        ("", Outcome.SOFT_FAILURE),
        ("Sorry, something went wrong.", Outcome.SOFT_FAILURE),
        (answer_for(new_nonce(8)), Outcome.SOFT_FAILURE),
        (f"Sure! {RIGHT}", Outcome.SOFT_FAILURE),
        (f"{RIGHT} w99", Outcome.SOFT_FAILURE),
        (" ".join([*WORDS[:5], *WORDS[4:]]), Outcome.SOFT_FAILURE),
        (f"{RIGHT}{RIGHT}", Outcome.DUPLICATED),
        (" ".join(WORDS[:5]) + RIGHT, Outcome.DUPLICATED),
        (" ".join(WORDS[:5]) + "\n" + " ".join(WORDS[:3]) + " " + RIGHT, Outcome.DUPLICATED),
    ],
)
def test_a_complete_answer_is_compared_with_the_right_one(text: str, outcome: Outcome) -> None:
    assert got(text) == outcome


@settings(deadline=None)
@given(cut=st.integers(1, len(RIGHT) - 1))
def test_every_cut_is_a_truncation_and_every_restart_a_duplication(cut: int) -> None:
    assert got(RIGHT[:cut]) == Outcome.SILENT_TRUNCATION
    assert got(RIGHT[:cut] + RIGHT) == Outcome.DUPLICATED


@settings(deadline=None)
@given(text=st.text(max_size=60))
def test_only_the_right_text_is_ok(text: str) -> None:
    assert (got(text) == Outcome.OK) == (text.strip() == RIGHT)


def test_without_an_expectation_any_text_is_ok() -> None:
    assert decide(Answer(status=200, text="hi", ending="complete"), None) == Outcome.OK
    assert decide(Answer(status=200, text=" ", ending="complete"), None) == Outcome.SOFT_FAILURE


def test_an_expected_empty_answer_is_ok_only_if_empty() -> None:
    assert decide(Answer(status=200, text="", ending="complete"), "") == Outcome.OK
    assert decide(Answer(status=200, text="x", ending="complete"), "") == Outcome.SOFT_FAILURE


def test_what_says_nothing_about_the_service_is_not_good_either() -> None:
    assert not GOOD & NOT_SERVED
    assert {Outcome.ABANDONED, Outcome.CENSORED} == NOT_SERVED
