"""Providers of OpenAI's dialect: each answer as the vendor's own types have it, and what differs."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fireworks.types.chat.chat_completion_chunk as fireworks_chunk
import fireworks.types.chat.completion_create_response as fireworks_whole
import groq.types.chat.chat_completion as groq_whole
import groq.types.chat.chat_completion_chunk as groq_chunk
import openrouter.components as openrouter
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from langchain_prodtest.script import Reply, Request, ToolCall, Usage
from langchain_prodtest.wire.codec import Head, Rejected
from langchain_prodtest.wire.dialect import Dialect
from langchain_prodtest.wire.providers import PROVIDERS
from tests.wire.walk import unknown_fields

REPLIES = [
    Reply("Grüße, 世界 \U0001f600!", reasoning="because of this"),
    Reply("", finish="length"),
    Reply("I will not.", finish="refusal"),
    Reply(tool_calls=[ToolCall("book", {"seat": "12Ä", "n": 1}), ToolCall("pay")]),
    Reply("counted", usage=Usage(input=10, output=5, cached=4, reasoning=2)),
]
USER = {"role": "user", "content": "Say it."}
BODY: dict[str, Any] = {"model": "prodtest", "messages": [USER], "stream_options": {"include_usage": True}}

Types = tuple[type[BaseModel], type[BaseModel], set[str]]
OPENAI: Types = (ChatCompletion, ChatCompletionChunk, set())
TYPES: dict[str, Types] = {
    "groq": (groq_whole.ChatCompletion, groq_chunk.ChatCompletionChunk, set()),
    "fireworks": (fireworks_whole.CompletionCreateResponse, fireworks_chunk.ChatCompletionChunk, {"index"}),
    "openrouter": (openrouter.ChatResult, openrouter.ChatStreamChunk, set()),
    "together": (*OPENAI[:2], {"reasoning"}),
    "deepseek": (
        *OPENAI[:2],
        {"reasoning_content", "prompt_cache_hit_tokens", "prompt_cache_miss_tokens"},
    ),
    "xai": (*OPENAI[:2], {"reasoning_content", "num_sources_used"}),
    "nvidia": (*OPENAI[:2], {"reasoning_content"}),
}
"""By provider: the types of a whole answer and of a chunk, and the documented fields that they lack."""

each_dialect = pytest.mark.parametrize("name", TYPES)


def decode(name: str, path: str = "/v1/chat/completions", **changes: Any) -> Request:
    head = Head(name, "POST", path, {}, 1_800_000_000.5)
    return PROVIDERS[name].decode(head, json.dumps({**BODY, **changes}).encode())


def whole(name: str, reply: Reply, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(PROVIDERS[name].whole(reply, decode(name, **changes)))
    return fields


def chunks(name: str, reply: Reply, **changes: Any) -> list[dict[str, Any]]:
    events = PROVIDERS[name].events(reply, decode(name, stream=True, **changes))
    assert events[-1].data == b"data: [DONE]\n\n"
    return [json.loads(event.data.removeprefix(b"data: ")) for event in events[:-1]]


def put_together(name: str, reply: Reply, read: Callable[[dict[str, Any]], str | None]) -> str:
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(name, reply) if chunk["choices"]]
    return "".join(read(delta) or "" for delta in deltas)


@each_dialect
@pytest.mark.parametrize("reply", REPLIES)
def test_a_whole_answer_is_what_the_vendor_s_types_describe(name: str, reply: Reply) -> None:
    kind, _, documented = TYPES[name]
    answer = kind.model_validate(whole(name, reply))
    assert set(unknown_fields(answer)) <= documented


@each_dialect
@pytest.mark.parametrize("reply", REPLIES)
def test_every_chunk_is_what_the_vendor_s_types_describe(name: str, reply: Reply) -> None:
    _, kind, documented = TYPES[name]
    for fields in chunks(name, reply):
        assert set(unknown_fields(kind.model_validate(fields))) <= documented


@each_dialect
@pytest.mark.parametrize("reply", REPLIES)
def test_a_stream_put_together_is_the_whole_answer(name: str, reply: Reply) -> None:
    message = whole(name, reply)["choices"][0]["message"]
    field = "reasoning" if name in ("groq", "together", "openrouter") else "reasoning_content"
    assert put_together(name, reply, lambda delta: delta.get("content")) == (message["content"] or "")
    assert put_together(name, reply, lambda delta: delta.get(field)) == message.get(field, "")
    arguments = put_together(
        name, reply, lambda delta: "".join(c["function"]["arguments"] for c in delta.get("tool_calls", []))
    )
    calls = message.get("tool_calls", [])
    assert arguments == "".join(call["function"]["arguments"] for call in calls)
    assert message.get(field, "") == reply.reasoning


@each_dialect
def test_usage_is_streamed_once_and_is_that_of_the_whole_answer(name: str) -> None:
    told = [
        usage
        for chunk in chunks(name, REPLIES[-1])
        if (usage := chunk.get("usage") or chunk.get("x_groq", {}).get("usage"))
    ]
    assert told == [whole(name, REPLIES[-1])["usage"]]


@each_dialect
def test_a_refusal_is_said_as_any_text(name: str) -> None:
    choice = whole(name, Reply("I will not.", finish="refusal"))["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("I will not.", "stop")
    assert "refusal" not in choice["message"]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        *[(name, "finish") for name in ("groq", "together", "deepseek")],
        *[(name, "own") for name in ("fireworks", "xai", "nvidia", "openrouter")],
    ],
)
def test_usage_has_its_place_in_the_stream(name: str, place: str) -> None:
    last = chunks(name, Reply("hi"))[-1]
    assert [choice["finish_reason"] for choice in last["choices"]] == (["stop"] if place == "finish" else [])


@pytest.mark.parametrize(
    ("name", "unasked"),
    [
        *[(name, True) for name in ("groq", "together", "deepseek", "openrouter")],
        *[(name, False) for name in ("fireworks", "xai", "nvidia")],
    ],
)
def test_some_stream_usage_though_nobody_asked(name: str, unasked: bool) -> None:
    streamed = chunks(name, Reply("hi"), stream_options=None)
    assert any("prompt_tokens" in json.dumps(chunk) for chunk in streamed) == unasked


@pytest.mark.parametrize("name", ["groq", "xai"])
def test_a_tool_call_comes_whole_in_one_chunk(name: str) -> None:
    reply = Reply(tool_calls=[ToolCall("book", {"seat": "12A, at the window"}, id="call_1")])
    calls = [
        chunk["choices"][0]["delta"]["tool_calls"]
        for chunk in chunks(name, reply)
        if chunk["choices"] and "tool_calls" in chunk["choices"][0]["delta"]
    ]
    assert [[call["function"]["arguments"] for call in one] for one in calls] == [
        ['{"seat":"12A, at the window"}']
    ]


def test_deepseek_tells_which_tokens_hit_the_cache() -> None:
    usage = whole("deepseek", REPLIES[-1])["usage"]
    assert (usage["prompt_cache_hit_tokens"], usage["prompt_cache_miss_tokens"]) == (4, 6)


def test_xai_counts_reasoning_beside_the_completion() -> None:
    usage = whole("xai", REPLIES[-1])["usage"]
    assert (usage["completion_tokens"], usage["total_tokens"]) == (3, 15)
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 2


def test_openrouter_has_numbers_for_error_codes_also_in_a_stream() -> None:
    codec = PROVIDERS["openrouter"]
    assert json.loads(codec.error(429, "slow down", {}))["error"] == {"code": 429, "message": "slow down"}
    event = codec.error_event(502, "broke", decode("openrouter"), 0).removeprefix(b"data: ")
    chunk = openrouter.ChatStreamChunk.model_validate_json(event)
    assert chunk.error
    assert (chunk.error.code, chunk.choices[0].finish_reason) == (502, "error")


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        *[(name, {"chat"}) for name in ("groq", "deepseek", "openrouter")],
        *[(name, {"chat", "embeddings"}) for name in ("fireworks", "together", "nvidia")],
        ("xai", {"chat", "responses"}),
    ],
)
def test_what_a_provider_does_not_offer_is_404(name: str, offered: set[str]) -> None:
    paths = {"chat": "chat/completions", "responses": "responses", "embeddings": "embeddings"}
    for operation, path in {**paths, "moderations": "moderations"}.items():
        if operation in offered:
            assert decode(name, f"/v1/{path}", input="text").operation == operation
        else:
            with pytest.raises(Rejected, match="Invalid URL"):
                decode(name, f"/v1/{path}", input="text")


@each_dialect
def test_every_answer_has_a_request_id(name: str) -> None:
    codec = PROVIDERS[name]
    assert codec.headers()["x-request-id"] != codec.headers()["x-request-id"]
    assert "openai-version" not in codec.headers()


def test_groq_tells_rate_limits() -> None:
    codec = PROVIDERS["groq"]
    assert int(codec.headers()["x-ratelimit-remaining-requests"]) > 0
    assert codec.error_headers(429)["x-ratelimit-remaining-requests"] == "0"


def test_a_dialect_costs_one_file_of_at_most_40_lines() -> None:
    dialects = {name: type(codec) for name, codec in PROVIDERS.items() if isinstance(codec, Dialect)}
    assert set(dialects) == set(TYPES)
    for name, dialect in dialects.items():
        file = Path(inspect.getfile(dialect))
        assert file.stem == name
        assert len(file.read_text().splitlines()) <= 40
