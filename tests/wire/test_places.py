"""Every key and item of a TOML or JSON text is found at its line."""

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_prodtest.wire.places import Place, places

TOML = '''# [[rule]] in a comment
title = "with # and [[rule]] and \\" quotes"
[[rule]]
match = { provider = "openai" }
sequence = [
  { status = 429 },  # first
  { text = """
[[rule]]
always = 1
""", tool_calls = [{ name = "a", args = { b.c = 1979-05-27T07:32:00 } }] },
]

[[rule]]
  [rule.always]
  text = 'it is "so"'
  "odd key" = [[1, 2],
    [3]]
'''
LINES = {
    ("title",): 2,
    ("rule", 0): 3,
    ("rule", 0, "match"): 4,
    ("rule", 0, "match", "provider"): 4,
    ("rule", 0, "sequence"): 5,
    ("rule", 0, "sequence", 0, "status"): 6,
    ("rule", 0, "sequence", 1): 7,
    ("rule", 0, "sequence", 1, "tool_calls", 0, "args", "b", "c"): 10,
    ("rule", 1): 13,
    ("rule", 1, "always"): 14,
    ("rule", 1, "always", "text"): 15,
    ("rule", 1, "always", "odd key", 1, 0): 17,
}


def walk(value: Any, place: Place = ()) -> set[Place]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {place} - {()} | {found for key, inner in items for found in walk(inner, (*place, key))}


def test_a_line_is_known_for_each_place_of_toml() -> None:
    found = places(TOML)
    assert {place: found[place] for place in LINES} == LINES
    assert walk(tomllib.loads(TOML)) - {("rule",)} <= found.keys()


def test_a_line_is_known_for_each_place_of_json() -> None:
    table = tomllib.loads(TOML.replace("1979-05-27T07:32:00", "true"))
    text = json.dumps(table, indent=1)
    found = places(text)
    assert found.keys() == walk(table)
    lines = text.splitlines()
    assert all(f'"{p[-1]}"' in lines[at - 1] for p, at in found.items() if isinstance(p[-1], str))


KEYS = st.text("ab\\ .\"'#[]{}=:,", min_size=1, max_size=4)
VALUES = st.recursive(
    st.integers() | st.booleans() | st.none() | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(KEYS, VALUES, max_size=3))
def test_whatever_the_json_every_value_has_a_place(table: dict[str, Any]) -> None:
    assert len(places(json.dumps(table, indent=1))) == len(walk(table))


@pytest.mark.parametrize("text", ["", "\n", "{}", "# nothing", "a = 1"])
def test_small_texts_have_few_places(text: str) -> None:
    assert len(places(text)) <= 1


def test_a_long_text_takes_no_longer_than_its_length() -> None:
    """A hundred thousand lines; a pass over all before it for each of them would take minutes."""
    rules = 25_000
    found = places("[[rule]]\n[rule.always]\ntext = 'a'\n\n" * rules)
    assert found["rule", rules - 1, "always", "text"] == 4 * rules - 1
