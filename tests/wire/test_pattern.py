"""Texts for simple regular expressions match them."""

import re
from random import Random

import pytest

from langchain_prodtest.wire.pattern import matching


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "abc",
        r"^[A-Z]{2}\d{4}$",
        r"^(a|bc)+x?$",
        r"^(?:\+\d{1,3} )?\(\d{3}\) \d{3}-\d{4}$",
        r"^[^@\s]+@[\w.-]+\.[a-z]{2,}$",
        r"^(?P<hex>#[0-9a-fA-F]{6})$",
        r"^(?<year>\d{4})-\d\d$",
        r"^[\]\-x]{2}.\n\t\$$",
        r"^a*b+?c{0,2}d{2,}$",
        r"^[-+]?\d+(\.\d+)?$",
        r"^(ab?){3}$",
        r"^a{b$",
        r"^\S\D\W$",
        r"\bword\b",
        r"^[a-]$",
        r"^x|y$",
    ],
)
def test_every_text_matches_its_pattern(pattern: str) -> None:
    for seed in range(20):
        texts = list(matching(pattern, Random(seed)))
        assert len(texts) == 8
        assert all(re.search(pattern.replace("(?<year>", "(?P<year>"), text) for text in texts), texts


def test_later_texts_are_longer() -> None:
    lengths = [len(text) for text in matching(r"^\w+$", Random(1))]
    assert (lengths[0], lengths[-1]) == (1, 64)
    assert lengths == sorted(lengths)


@pytest.mark.parametrize("pattern", ["(?=a)b", "[a", "a{2", "(", "\\"])
def test_what_is_not_known_yields_nothing_or_something_but_does_not_raise(pattern: str) -> None:
    assert all(isinstance(text, str) for text in matching(pattern, Random(1)))
