"""Made-up values obey any schema that a client sends; jsonschema decides."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from langchain_prodtest.wire.hints import Hints
from langchain_prodtest.wire.schema import example

PROMPT = "Book 'a' and 'b' for Ada, 3 times or 40, seat 12A; a is 7, c: true, on 2026-05-01."
DEFS: dict[str, Any] = {
    "Name": {"type": "string", "minLength": 3},
    "Person": {"type": "object", "properties": {"n": {"$ref": "#/$defs/Name"}}, "required": ["n"]},
    "Tree": {
        "type": "object",
        "properties": {
            "value": {"type": "integer"},
            "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
            "next": {"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]},
        },
        "required": ["value", "children", "next"],
    },
}
PATTERNS = [
    r"^[A-Z]{2}\d{4}$", r"\d+", r"^(a|bc)+x?$", r"^[^@]+@[a-z]+\.com$", r"^\w{3,5}-[0-9a-f]{4}$", r"^\S{9,}$",
    r"^(?:\+\d{1,3} )?\(\d{3}\) \d{3}-\d{4}$", r"^#?(?P<hex>[0-9A-Fa-f]{6})$",
]  # fmt: skip
FORMATS = ["date", "date-time", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid"]

scalars = st.none() | st.booleans() | st.integers(-5, 50) | st.text(max_size=4)


def numbers(kind: str, steps: list[float]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {"type": st.just(kind)},
        optional={
            "minimum": st.integers(-20, 5),
            "exclusiveMinimum": st.integers(-20, 5),
            "maximum": st.integers(20, 40),
            "exclusiveMaximum": st.integers(20, 40),
            "multipleOf": st.sampled_from(steps),
        },
    )


strings = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={"minLength": st.integers(0, 12), "maxLength": st.integers(12, 30)},
    ),
    st.sampled_from([{"type": "string", "pattern": pattern} for pattern in PATTERNS]),
    st.sampled_from([{"type": "string", "format": name} for name in FORMATS]),
)
leaves = st.one_of(
    st.sampled_from([{}, True, {"type": "null"}, {"type": "boolean"}, {"type": ["null", "integer"]}]),
    st.sampled_from([{"$ref": f"#/$defs/{name}"} for name in DEFS]),
    numbers("integer", [1, 2, 3, 7]),
    numbers("number", [1, 2, 0.5, 0.1, 0.01]),
    strings,
    scalars.map(lambda value: {"const": value}),
    st.lists(scalars, min_size=1, max_size=4).map(lambda values: {"enum": values}),
)


@st.composite
def objects(draw: st.DrawFn, part: st.SearchStrategy[Any]) -> dict[str, Any]:
    properties = draw(st.dictionaries(st.sampled_from("abcdef"), part, max_size=4))
    required = draw(st.sets(st.sampled_from("abcdef")))
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    schema["required"] = [key for key in properties if key in required]
    additional = draw(st.none() | st.just(False) | part)
    if additional is not None:
        schema["additionalProperties"] = additional
    if additional is not False:
        schema["required"] += draw(st.sampled_from([[], ["zz"]]))
        schema["minProperties"] = draw(st.integers(0, 4))
    return schema


def arrays(part: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("array"), "items": part},
            optional={"minItems": st.integers(0, 2), "maxItems": st.integers(2, 5)},
        ),
        st.lists(part, max_size=3).map(
            lambda parts: {"type": "array", "prefixItems": parts, "items": False, "minItems": len(parts)}
        ),
        st.builds(
            lambda kind, least: {
                "type": "array",
                "items": {"type": kind},
                "uniqueItems": True,
                "minItems": least,
            },
            st.sampled_from(["integer", "string"]),
            st.integers(0, 6),
        ),
        part.map(lambda inside: {"type": "array", "contains": inside}),
    )


def combined(part: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def one_key(key: str, inside: Any) -> dict[str, Any]:
        return {"type": "object", "properties": {key: inside}, "required": [key]}

    return st.one_of(
        st.lists(part, min_size=1, max_size=3).map(lambda parts: {"anyOf": parts}),
        part.map(lambda inside: {"anyOf": [inside, {"type": "null"}]}),
        part.map(lambda inside: {"allOf": [inside]}),
        st.builds(lambda one, other: {"allOf": [one_key("x", one), one_key("y", other)]}, part, part),
        st.builds(
            lambda one, other: {"anyOf": [one_key("x", one)], "oneOf": [one_key("y", other)]}, part, part
        ),
        st.sampled_from(
            [
                {"oneOf": [{"type": "integer"}, {"type": "string"}]},
                {"not": {"type": "string"}},
                {
                    **one_key("k", {"enum": ["a", "b"]}),
                    "if": {"properties": {"k": {"const": "a"}}},
                    "then": {"required": ["p"]},
                    "else": {"required": ["q"]},
                },
                {"type": "object", "patternProperties": {"^v_": {"type": "integer"}}, "minProperties": 2},
                {"type": "object", "propertyNames": {"pattern": "^[A-Z]{3}$"}, "minProperties": 3},
                {**one_key("k", {}), "dependentRequired": {"k": ["l"], "l": ["m"]}},
            ]
        ),
    )


schemas = st.recursive(leaves, lambda part: objects(part) | arrays(part) | combined(part), max_leaves=12)


def errors(value: Any, schema: Any) -> list[str]:
    checker = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return [error.message for error in checker.iter_errors(value)]


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(part=schemas, seed=st.integers(0, 99), prompt=st.sampled_from(["", PROMPT]))
def test_a_value_for_any_schema_obeys_it_and_is_the_same_again(part: Any, seed: int, prompt: str) -> None:
    schema = {**part, "$defs": DEFS} if isinstance(part, dict) else part
    value = example(schema, Hints(prompt), seed)
    assert errors(value, schema) == []
    assert example(schema, Hints(prompt), seed) == value


def asked(prompt: str, required: list[str] | None = None, **properties: Any) -> Any:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    return example({**schema, **({} if required is None else {"required": required})}, Hints(prompt))


def test_values_come_from_the_prompt_where_it_names_them() -> None:
    booking = asked(
        "Book seat 12A for Ada Lovelace on 2026-05-01, cabin business, mail ada@example.org, 2 bags.",
        date={"type": "string", "format": "date"},
        seat={"type": "string", "pattern": r"^\d+[A-F]$"},
        name={"type": "string"},
        bags={"type": "integer"},
        cabin={"enum": ["economy", "business"]},
        mail={"type": "string", "format": "email"},
    )
    assert booking == {
        "date": "2026-05-01",
        "seat": "12A",
        "name": "Ada Lovelace",
        "bags": 2,
        "cabin": "business",
        "mail": "ada@example.org",
    }


def test_a_value_from_the_prompt_that_does_not_fit_is_not_taken() -> None:
    assert asked("Roll 200 dice", count={"type": "integer", "maximum": 20})["count"] <= 20
    assert asked("name is 7", name={"type": "string", "minLength": 3})["name"] != "7"


def test_numbers_are_taken_one_after_the_other_and_lists_take_all() -> None:
    number = {"type": "number"}
    assert asked("Multiply 3 by -5.5", a=number, b=number) == {"a": 3, "b": -5.5}
    assert asked("Add 1, 2 and 3.5", xs={"type": "array", "items": number}) == {"xs": [1, 2, 3.5]}


def test_a_default_stays_unless_the_prompt_names_another() -> None:
    unit = {"type": "string", "default": "celsius"}
    assert asked("Weather in Bern", unit=unit) == {"unit": "celsius"}
    assert asked("Weather in Bern, unit: kelvin", unit=unit) == {"unit": "kelvin"}


def test_optional_arguments_are_given_only_where_the_prompt_names_them() -> None:
    text = {"type": "string"}
    assert asked("In Bern", required=["city"], city=text, unit=text) == {"city": "Bern"}
    assert asked("In Bern, unit=kelvin", required=["city"], city=text, unit=text) == {
        "city": "Bern",
        "unit": "kelvin",
    }
    assert set(asked("In Bern", city=text, unit=text)) == {"city", "unit"}  # nothing says what is required


def test_a_quoted_key_is_no_value() -> None:
    text = {"type": "string"}
    joke = asked("A joke as JSON with 'setup' and 'punchline' keys", setup=text, punchline=text)
    assert not {"setup", "punchline"} & set(joke.values())


def test_an_alternative_that_holds_nothing_is_passed_over() -> None:
    endless = {"type": "object", "properties": {"x": {"$ref": "#/$defs/E"}}, "required": ["x"]}
    schema = {"anyOf": [{"$ref": "#/$defs/E"}, {"type": "integer"}], "$defs": {"E": endless}}
    assert isinstance(example(schema, Hints()), int)


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"$ref": "#"},
        {"enum": []},
        {"type": "string", "pattern": "^(?=a)b$"},
        {"type": "integer", "minimum": 2, "maximum": 1},
        {"type": "object", "properties": {"x": {"$ref": "#"}}, "required": ["x"]},
        {"$ref": "#/nowhere", "type": "string"},
    ],
)
def test_what_nothing_obeys_gets_an_answer_all_the_same(schema: Any) -> None:
    """The documented limit: it ends, and says something."""
    example(schema, Hints("a prompt"))


def test_seeds_differ() -> None:
    schema = {"type": "integer", "minimum": 0, "maximum": 10_000}
    assert len({example(schema, Hints(), seed) for seed in range(50)}) > 40
