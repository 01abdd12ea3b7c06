"""What a prompt names is found by name and by looks, in any script."""

from typing import Any

import pytest

from langchain_prodtest.script import new_nonce
from langchain_prodtest.wire.hints import Hints, keys_in


@pytest.mark.parametrize(
    ("prompt", "name", "value"),
    [
        ("city: Bern", "city", "Bern"),
        ("the city is 'San José'", "city", "San José"),
        ('{"city": "Köln"}', "city", "Köln"),
        ("customer_id=42", "customerId", 42),
        ("the customer id is 42", "customer_id", 42),
        ("magic_function(3)", "magic_function", 3),
        ("seat 12A", "seat", "12A"),
        ("for 3 days", "days", 3),
        ("urgent: yes", "urgent", True),
        ("urgent = false", "urgent", False),
        ("temperature is -2.5", "temperature", -2.5),
    ],
)
def test_a_value_is_found_by_its_name(prompt: str, name: str, value: Any) -> None:
    assert Hints(prompt).named(name)[0] == value


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("the city of the future", "city"),
        ("velocity: 3", "city"),
        ("Bern", "city"),
        ("city\n7", "city"),
        ("x", ""),
    ],
)
def test_what_is_not_named_is_not_found(prompt: str, name: str) -> None:
    assert Hints(prompt).named(name) == []


@pytest.mark.parametrize(
    ("prompt", "strings"),
    [
        ("What is the weather in San Francisco, CA?", ["San Francisco, CA"]),
        ("Create a customer named '你好啊集团' (Hello Group)", ["你好啊集团", "Hello Group"]),
        ("Wie ist das Wetter in 東京?", ["東京", "Wetter"]),
        ("weather in san francisco?", ["san francisco"]),
        ("Write to Ada and Žižka.", ["Ada", "Žižka"]),
        (f"Ask Ada {new_nonce(5)}", ["Ada"]),
    ],
)
def test_texts_are_found_by_their_looks(prompt: str, strings: list[str]) -> None:
    assert Hints(prompt).strings("place")[: len(strings)] == strings


def test_a_query_is_the_prompt() -> None:
    assert Hints("find me shoes").strings("query") == ["find me shoes"]


@pytest.mark.parametrize(
    ("prompt", "numbers"),
    [
        ("3 and -4.5, then 10.", [3, -4.5, 10]),
        ("on 2026-05-01 at 12:30, gpt-4 v1.2.3, seat 12A", []),
        (new_nonce(1), []),
    ],
)
def test_numbers_stand_alone(prompt: str, numbers: list[float]) -> None:
    assert Hints(prompt).numbers() == numbers


def test_a_value_is_given_out_once() -> None:
    hints = Hints("'a' and 'b', 1 and 1")
    hints.use("a")
    hints.use(1)
    hints.use(True)
    assert (hints.strings("x"), hints.numbers()) == (["b"], [1])


def test_a_word_is_mentioned_whole_and_in_any_case() -> None:
    hints = Hints("In Celsius, please")
    assert (hints.mentions("celsius"), hints.mentions("Celsiu")) == (True, False)


def test_keys_are_identifiers_in_quotes() -> None:
    assert keys_in("JSON with `setup`, 'punchline' and \"setup\", not 'two words'") == ["setup", "punchline"]
