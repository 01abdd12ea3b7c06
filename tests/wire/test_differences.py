"""The places where two JSON values differ, and the words for them."""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langchain_prodtest.wire.differences import differences

JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xy", min_size=1, max_size=2), inner),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("recorded", "asked", "said"),
    [
        (1, 2, ["body is 2, recorded 1"]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
        ([1], [1.0], []),
        (1, True, ["body is true, recorded 1"]),
        ({"a": None}, {}, ["body.a is missing, recorded null"]),
        ({}, {"a": [{}]}, ["body.a is [{}], not recorded"]),
        ([1, [2, 3]], [0, [2, 4, 5]], [
            "body[0] is 0, recorded 1", "body[1][1] is 4, recorded 3", "body[1] has 3 items, recorded 2",
        ]),
        ({"a": 1}, "text", ['body is "text", recorded {"a":1}']),
        (msgspec.UNSET, "", ['body is "", recorded nothing']),
        ("x" * 90, [0] * 90, [f'body is [{"0," * 29}0…, recorded "{"x" * 60}…"']),
    ],
)  # fmt: skip
def test_each_place_is_told_once(recorded: Any, asked: Any, said: list[str]) -> None:
    assert [*differences(recorded, asked, "body")] == said


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(JSON, JSON)
def test_there_is_none_just_between_equals(one: Any, other: Any) -> None:
    same = msgspec.json.encode(one, order="deterministic") == msgspec.json.encode(
        other, order="deterministic"
    )
    assert ([*differences(one, other, "")] == []) == same
