"""Tools, choice, form of the answer and conversation are read from every provider's body."""

import json
from typing import Any

import pytest

from langchain_prodtest.script import Request
from langchain_prodtest.wire.wanted import Tool, Turn, turns, wanted

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
A, B = Tool("a", "does a", SCHEMA), Tool("b", "", {})

CHAT = [
    {"type": "function", "function": {"name": "a", "description": "does a", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "b"}},
]
RESPONSES = [
    {"type": "function", "name": "a", "description": "does a", "parameters": SCHEMA, "strict": True},
    {"type": "function", "name": "b", "parameters": None},
    {"type": "web_search"},
]
ANTHROPIC = [
    {"name": "a", "description": "does a", "input_schema": SCHEMA},
    {"name": "b", "input_schema": {}},
    {"type": "web_search_20250305", "name": "web_search"},
]
CONVERSE = [
    {"toolSpec": {"name": "a", "description": "does a", "inputSchema": {"json": SCHEMA}}},
    {"toolSpec": {"name": "b", "inputSchema": {"json": {}}}},
    {"cachePoint": {"type": "default"}},
]
GEMINI = [
    {
        "functionDeclarations": [
            {
                "name": "a",
                "description": "does a",
                "parameters": {"type": "OBJECT", "properties": {"x": {"type": "INTEGER"}}, "required": ["x"]},
            },
            {"name": "b"},
        ]
    },
    {"googleSearch": {}},
]


def request(**body: Any) -> Request:
    return Request(provider="p", body=body)


@pytest.mark.parametrize(
    "body",
    [
        {"tools": CHAT},
        {"tools": RESPONSES},
        {"tools": ANTHROPIC},
        {"toolConfig": {"tools": CONVERSE}},
        {"tools": GEMINI},
    ],
)
def test_tools_are_read_in_every_shape(body: dict[str, Any]) -> None:
    assert wanted(request(**body)).tools == [A, B]


def test_tools_of_an_in_process_fake_are_read_from_the_request() -> None:
    assert wanted(Request(provider="fake", tools=CHAT)).tools == [A, B]


def test_cohere_s_older_definitions_are_read() -> None:
    old = {
        "name": "a",
        "parameter_definitions": {"x": {"type": "int", "required": True}, "y": {"type": "str"}},
    }
    (tool,) = wanted(request(tools=[old])).tools
    assert (set(tool.schema["properties"]), tool.schema["required"]) == ({"x", "y"}, ["x"])


@pytest.mark.parametrize(
    ("body", "names", "must"),
    [
        ({"tools": CHAT}, "ab", False),
        ({"tools": CHAT, "tool_choice": "auto"}, "ab", False),
        ({"tools": CHAT, "tool_choice": "none"}, "", False),
        ({"tools": CHAT, "tool_choice": "required"}, "ab", True),
        ({"tools": CHAT, "tool_choice": "any"}, "ab", True),
        ({"tools": CHAT, "tool_choice": "REQUIRED"}, "ab", True),
        ({"tools": CHAT, "tool_choice": {"type": "function", "function": {"name": "b"}}}, "b", True),
        ({"tools": RESPONSES, "tool_choice": {"type": "function", "name": "b"}}, "b", True),
        (
            {
                "tools": RESPONSES,
                "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"name": "b"}]},
            },
            "b",
            False,
        ),
        (
            {
                "tools": CHAT,
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "required", "tools": [{"function": {"name": "b"}}]},
                },
            },
            "b",
            True,
        ),
        ({"tools": ANTHROPIC, "tool_choice": {"type": "any"}}, "ab", True),
        ({"tools": ANTHROPIC, "tool_choice": {"type": "none"}}, "", False),
        (
            {"tools": ANTHROPIC, "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            "ab",
            False,
        ),
        ({"tools": ANTHROPIC, "tool_choice": {"type": "tool", "name": "a"}}, "a", True),
        ({"toolConfig": {"tools": CONVERSE, "toolChoice": {"auto": {}}}}, "ab", False),
        ({"toolConfig": {"tools": CONVERSE, "toolChoice": {"any": {}}}}, "ab", True),
        ({"toolConfig": {"tools": CONVERSE, "toolChoice": {"tool": {"name": "b"}}}}, "b", True),
        ({"tools": GEMINI, "toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}, "", False),
        (
            {
                "tools": GEMINI,
                "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["a"]}},
            },
            "a",
            True,
        ),
        ({"tools": [], "tool_choice": "required"}, "", False),
    ],
)
def test_a_choice_is_read_in_every_shape(body: dict[str, Any], names: str, must: bool) -> None:
    asked = wanted(request(**body))
    assert ("".join(tool.name for tool in asked.tools), asked.must) == (names, must)


GEMINI_SCHEMA = {"type": "OBJECT", "properties": {"x": {"type": "INTEGER", "nullable": True}}}


@pytest.mark.parametrize(
    ("body", "schema"),
    [
        ({}, None),
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": {"type": "json_object"}}, {}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
            SCHEMA,
        ),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema_definition": SCHEMA}}}, SCHEMA),
        ({"response_format": {"type": "json_object", "json_schema": SCHEMA}}, SCHEMA),  # Cohere
        ({"response_format": {"type": "json_object", "schema": SCHEMA}}, SCHEMA),  # Cohere, Fireworks
        ({"text": {"format": {"type": "text"}}}, None),
        ({"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}}, SCHEMA),
        ({"text": {"format": {"type": "json_object"}}}, {}),
        ({"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}, SCHEMA),
        ({"output_format": {"type": "json_schema", "schema": SCHEMA}}, SCHEMA),
        ({"output_config": {"effort": "low"}}, None),
        ({"format": SCHEMA}, SCHEMA),  # Ollama
        ({"format": "json"}, {}),
        ({"format": ""}, None),
        (
            {
                "outputConfig": {
                    "textFormat": {
                        "type": "json_schema",
                        "structure": {"jsonSchema": {"name": "n", "schema": json.dumps(SCHEMA)}},
                    }
                }
            },
            SCHEMA,
        ),
        ({"generationConfig": {"responseMimeType": "application/json"}}, {}),
        ({"generationConfig": {"responseJsonSchema": SCHEMA}}, SCHEMA),
        (
            {"generationConfig": {"responseSchema": GEMINI_SCHEMA}},
            {"type": "object", "properties": {"x": {"type": ["integer", "null"], "nullable": True}}},
        ),
        ({"guided_json": SCHEMA}, SCHEMA),
        ({"nvext": {"guided_json": SCHEMA}}, SCHEMA),
        ({"response_format": {"type": "grammar"}}, None),
        ({"response_format": "nonsense", "text": 3, "format": 4}, None),
    ],
)
def test_the_form_of_the_answer_is_read_in_every_shape(body: dict[str, Any], schema: Any) -> None:
    assert wanted(request(**body)).schema == schema


@pytest.mark.parametrize(
    "body",
    [
        {
            "messages": [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url"}]},
                {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "a"}}]},
                {"role": "tool", "content": "7"},
            ]
        },
        {
            "input": [
                {"role": "developer", "content": "be kind"},
                {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
                {"type": "function_call", "name": "a", "arguments": "{}"},
                {"type": "function_call_output", "output": "7"},
            ]
        },
        {
            "messages": [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": [{"type": "tool_use", "name": "a", "input": {}}]},
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "content": [{"type": "text", "text": "7"}]}],
                },
            ]
        },
        {
            "messages": [
                {"role": "system", "content": [{"text": "be kind"}]},
                {"role": "user", "content": [{"text": "hi"}]},
                {"role": "assistant", "content": [{"toolUse": {"name": "a", "input": {}}}]},
                {"role": "user", "content": [{"toolResult": {"content": [{"text": "7"}]}}]},
            ]
        },
        {
            "contents": [
                {"role": "system", "parts": [{"text": "be kind"}]},
                {"role": "user", "parts": [{"text": "hi"}]},
                {"role": "model", "parts": [{"functionCall": {"name": "a", "args": {}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "a", "response": {"output": 7}}}]},
            ]
        },
    ],
)
def test_a_conversation_is_read_in_every_shape(body: dict[str, Any]) -> None:
    assert turns(request(**body)) == [
        Turn("system", "be kind"),
        Turn("user", "hi"),
        Turn("model", "", ["a"]),
        Turn("tool", "7"),
    ]


def test_results_and_words_in_one_message_are_turns_of_their_own() -> None:
    content = [
        {"type": "tool_result", "content": "7"},
        {"type": "tool_result", "content": [{"type": "image"}]},
        {"type": "text", "text": "and now?"},
    ]
    assert turns(request(messages=[{"role": "user", "content": content}])) == [
        Turn("tool", "7"),
        Turn("tool", ""),
        Turn("user", "and now?"),
    ]


@pytest.mark.parametrize("body", [{"prompt": "hi"}, {"input": "hi"}, {"messages": [3, {"content": "hi"}]}])
def test_a_text_alone_is_what_the_user_says(body: dict[str, Any]) -> None:
    assert turns(request(**body)) == [Turn("user", "hi")]


def test_a_result_that_is_an_object_is_read_as_json() -> None:
    (turn,) = turns(
        request(messages=[{"role": "user", "content": [{"toolResult": {"content": [{"json": {"t": 7}}]}}]}])
    )
    assert turn == Turn("tool", '{"t":7}')
