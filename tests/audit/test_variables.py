"""Variables are replaced as the Dockerfile reference says, and what it leaves to the build is unknown."""

import pytest

from langchain_prodtest.audit.variables import arguments, environment, replace, words

KNOWN = {"A": "1", "EMPTY": "", "OPEN": None}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("$A", "1"),
        ("x${A}y$A", "x1y1"),
        ("${A:-2}", "1"),
        ("${A-2}", "1"),
        ("${A:+2}", "2"),
        ("${A+2}", "2"),
        ("${EMPTY:-2}", "2"),
        ("${EMPTY-2}", ""),
        ("${EMPTY:+2}", ""),
        ("${EMPTY+2}", "2"),
        ("${OPEN:-2}", "2"),
        ("${OPEN-2}", "2"),
        ("${NOWHERE:-2}", "2"),
        ("${OPEN:+2}", None),
        ("$OPEN", None),
        ("$NOWHERE", None),
        ("a$", None),
        ("${A#1}", None),
        ("${OPEN:-$A}", None),
        ('"$A"', "1"),
        ("'$A'", "$A"),
        ("\\$A", "$A"),
        ("''", ""),
    ],
)
def test_replace(text: str, result: str | None) -> None:
    assert replace(text, KNOWN) == result


def test_an_env_takes_its_values_from_before_it() -> None:
    assert environment('A=2 B=$A C="d e" F=g\\ h', KNOWN) == {"A": "2", "B": "1", "C": "d e", "F": "g h"}


def test_the_old_form_of_env_takes_the_rest_of_the_line() -> None:
    assert environment("B  x $A y=z", KNOWN) == {"B": "x 1 y=z"}


def test_an_env_without_anything_sets_nothing() -> None:
    assert environment("", KNOWN) == {}


def test_an_arg_without_a_default_takes_the_one_before_the_first_from() -> None:
    assert arguments("A B=$A C D=", {"A": "1"}, {"A": "9", "C": "3"}) == {
        "A": "1",
        "B": "1",
        "C": "3",
        "D": "",
    }


def test_an_arg_that_nothing_sets_is_not_known() -> None:
    assert arguments("X", {}, {}) == {"X": None}


def test_words_keep_what_quotes_hold_together() -> None:
    assert words("a \"b c\" 'd e' f\\ g") == ["a", '"b c"', "'d e'", "f\\ g"]
