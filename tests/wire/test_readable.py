"""A schema that a client got wrong is read as far as it can be."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_prodtest.wire.hints import Hints
from langchain_prodtest.wire.readable import readable
from langchain_prodtest.wire.schema import example

GOOD = {
    "type": "object",
    "properties": {
        "type": {"type": ["string", "null"], "format": "date"},
        "n": {"minimum": 1, "multipleOf": 2},
    },
    "required": ["type"],
    "$defs": {"Seat": {"enum": ["12A"], "x-own": [1]}},
    "anyOf": [{"$ref": "#/$defs/Seat"}, True],
    "additionalProperties": False,
}
ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.sampled_from(["object", "array", "string", "[", "#/$defs/x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "properties",
                    "items",
                    "anyOf",
                    "not",
                    "enum",
                    "format",
                    "pattern",
                    "$ref",
                    "required",
                    "$defs",
                ]
            )
            | st.sampled_from(
                ["minItems", "maxLength", "multipleOf", "minimum", "prefixItems", "dependentRequired", "if"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def test_a_good_schema_is_left_as_it_is() -> None:
    """A property that is called like a keyword is a property."""
    assert readable(GOOD) == GOOD
    assert readable(True) is True


@pytest.mark.parametrize(
    ("wrong", "read"),
    [
        ({"type": False, "minLength": 2}, {"minLength": 2}),
        ({"type": ["string", "text"]}, {}),
        ({"format": []}, {}),
        ({"pattern": "["}, {}),
        ({"properties": {"a": 5, "b": {"enum": []}}}, {"properties": {"a": {}, "b": {}}}),
        ({"items": "string", "minItems": -1, "multipleOf": 0}, {}),
        ({"anyOf": []}, {}),
        ("string", {}),
        (None, {}),
    ],
)
def test_what_is_wrong_is_left_out(wrong: Any, read: Any) -> None:
    assert readable(wrong) == read


@given(ANY)
def test_a_value_is_made_for_any_json(schema: Any) -> None:
    """Nothing that a client sends as a schema makes the fake stumble."""
    example(schema, Hints("Book 12A"), seed=1)
    assert readable(readable(schema)) == readable(schema)
