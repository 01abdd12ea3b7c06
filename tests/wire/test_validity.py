"""Our rule book agrees with jsonschema about the keywords that it knows."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from langchain_prodtest.wire.validity import canonical, referred, valid

SCHEMAS: list[Any] = [
    True,
    False,
    {"type": "integer", "multipleOf": 3},
    {"type": ["number", "null"], "multipleOf": 0.1},
    {"minimum": 0, "exclusiveMaximum": 2},
    {"maximum": 1, "exclusiveMinimum": -1},
    {"minLength": 1, "maxLength": 2, "pattern": "^[a-c]"},
    {"pattern": "^(b"},
    {"const": 1},
    {"enum": [1, "a", True, None, [0]]},
    {"prefixItems": [{"type": "integer"}], "items": {"type": "string"}},
    {"minItems": 1, "maxItems": 2, "uniqueItems": True},
    {"contains": {"type": "integer"}, "minContains": 1, "maxContains": 2},
    {"properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "string"}, "required": ["a"]},
    {"patternProperties": {"^a": {"type": "integer"}}, "additionalProperties": False},
    {"propertyNames": {"maxLength": 1}, "minProperties": 1, "maxProperties": 2},
    {"dependentRequired": {"a": ["b"]}},
    {"allOf": [{"type": "integer"}, {"minimum": 1}]},
    {"anyOf": [{"type": "integer"}, {"minLength": 1}]},
    {"oneOf": [{"type": "integer"}, {"minimum": 1}]},
    {"not": {"type": "string"}},
    {"if": {"type": "integer"}, "then": {"minimum": 1}, "else": {"type": "string"}},
    {"$ref": "#/$defs/T", "$defs": {"T": {"type": "array", "items": {"$ref": "#/$defs/T"}}}},
]

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 9)
    | st.sampled_from([0.1, 0.3, 1.0, 1.5])
    | st.text("abz", max_size=3),
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "ab"]), part, max_size=3)
    ),
    max_leaves=5,
)


@pytest.mark.parametrize("schema", [schema for schema in SCHEMAS if schema != {"pattern": "^(b"}])
@settings(deadline=None, max_examples=40)
@given(value=values)
def test_it_agrees_with_jsonschema(schema: Any, value: Any) -> None:
    assert valid(value, schema, schema) == Draft202012Validator(schema).is_valid(value)


def test_a_pattern_that_is_no_python_regular_expression_is_not_looked_at() -> None:
    assert valid("x", {"pattern": "^(b"}, {})


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", "2026-02-28", "2026-02-30"),
        ("date-time", "2026-02-28T10:00:00Z", "2026-02-28T10:00:00"),
        ("time", "10:00:00Z", "10"),
        ("duration", "P1DT2H", "PT"),
        ("email", "a@b.org", "a@b"),
        ("hostname", "a-b.org", "-a"),
        ("ipv4", "192.0.2.1", "192.0.2"),
        ("ipv6", "::1", "1.2.3.4"),
        ("uri", "https://a.org/x", "a.org"),
        ("uuid", "00000000-0000-4000-8000-000000000000", "00000000"),
    ],
)
def test_formats_are_checked(name: str, good: str, bad: str) -> None:
    assert valid(good, {"format": name}, {})
    assert not valid(bad, {"format": name}, {})
    assert valid(3, {"format": name}, {})
    assert valid("anything", {"format": "nobody-knows"}, {})


def test_a_reference_is_followed_by_name_and_place() -> None:
    root = {"$defs": {"a/b": [{"x": 1}]}}
    assert referred("#/$defs/a~1b/0/x", root) == 1
    assert referred("#", root) == root
    assert referred("#/$defs/none", root) == {}


def test_what_json_holds_equal_has_one_canonical_form() -> None:
    assert canonical({"b": 1.0, "a": [2]}) == canonical({"a": [2.0], "b": 1})
    assert canonical(1) != canonical(True)
