"""A scripted tool call must fit the tools that are bound."""

import re

import pytest

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.fakes.tools import check_tool_call
from langchain_prodtest.script import ToolCall

BOOK = {
    "type": "function",
    "function": {
        "name": "book",
        "parameters": {
            "type": "object",
            "properties": {"seat": {"type": "string"}, "note": {"type": "string"}},
            "required": ["seat"],
        },
    },
}


@pytest.mark.parametrize("args", [{"seat": "12A"}, {"seat": "12A", "note": "aisle"}])
def test_a_call_that_fits_is_accepted(args: dict[str, str]) -> None:
    assert check_tool_call(ToolCall("book", args), [BOOK]) is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    ("call", "tools", "says"),
    [
        (ToolCall("bock", {"seat": "1"}), [BOOK], 'unknown tool "bock". Did you mean "book"?'),
        (ToolCall("book", {"seat": "1"}), [], "no tool is bound"),
        (ToolCall("book", {"note": "1"}), [BOOK], "lacks the required argument seat; it has note"),
        (ToolCall("book", {}), [BOOK], "lacks the required argument seat; it has none"),
        (
            ToolCall("book", {"seat": "1", "seats": 2}),
            [BOOK],
            'unknown argument "seats". Did you mean "seat"?',
        ),
    ],
)
def test_a_call_that_does_not_fit_names_what_is_wrong(call: ToolCall, tools: list[dict], says: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ScriptError, match=re.escape(says)):
        check_tool_call(call, tools)


def test_a_schema_that_takes_any_argument_takes_any_argument() -> None:
    loose = {"function": {"name": "log", "parameters": {"additionalProperties": True}}}
    assert check_tool_call(ToolCall("log", {"anything": 1}), [loose]) is None  # type: ignore[func-returns-value]


def test_a_provider_s_own_tool_without_a_function_is_no_obstacle() -> None:
    assert check_tool_call(ToolCall("book", {"seat": "1"}), [{"type": "web_search"}, BOOK]) is None  # type: ignore[func-returns-value]
