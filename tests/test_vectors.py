"""Vectors of texts: unit length, the same everywhere, near for near texts."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_prodtest.errors import UsageError
from langchain_prodtest.vectors import embed


def nearness(one: str, other: str, dimensions: int = 256) -> float:
    return sum(a * b for a, b in zip(embed(one, dimensions), embed(other, dimensions), strict=True))


@given(st.text(), st.integers(1, 40))
def test_a_vector_has_unit_length_and_the_dimensions_asked_for(text: str, dimensions: int) -> None:
    vector = embed(text, dimensions)
    assert len(vector) == dimensions
    assert math.hypot(*vector) == pytest.approx(1)


def test_another_process_gives_the_same_vector() -> None:
    code = "from langchain_prodtest.vectors import embed; print(embed('Grüße aus Köln', 24))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == repr(embed("Grüße aus Köln", 24))


def test_texts_with_more_in_common_are_nearer() -> None:
    question = "How do I book a seat on the train?"
    assert nearness(question, question) == pytest.approx(1)
    assert nearness(question, "how do i BOOK a seat on the train") == pytest.approx(1)
    same_words = nearness(question, "Book a seat on a train")
    same_stems = nearness(question, "booking trains with seating")
    unrelated = nearness(question, "Volcanoes erupt molten lava")
    assert same_words > 0.6
    assert same_words > same_stems > unrelated
    assert abs(unrelated) < 0.2


def test_pieces_of_words_bring_inflected_words_together() -> None:
    assert nearness("booking", "booked") > 0.15 > abs(nearness("booking", "lava"))


@pytest.mark.parametrize("text", ["", "  \n", "?!"])
def test_a_text_without_words_has_a_vector_of_its_own(text: str) -> None:
    assert embed(text, 64) == embed("", 64)
    assert abs(nearness(text, "a word")) < 0.2


def test_a_vector_without_dimensions_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="at least 1 dimension, not 0"):
        embed("text", 0)
