"""Mistral's codec: what its dialect does differently from OpenAI's."""

import json
import re
from typing import Any

import pytest

from langchain_prodtest.script import Reply, Request, ToolCall, Usage
from langchain_prodtest.vectors import embed
from langchain_prodtest.wire.codec import Head, Rejected
from langchain_prodtest.wire.mistral import Mistral

BODY: dict[str, Any] = {"model": "mistral-small", "messages": [{"role": "user", "content": "Say it."}]}
FINISH_REASONS = {"stop", "length", "model_length", "error", "tool_calls"}  # of Mistral's reference

REPLIES = [
    Reply("Grüße, 世界 \U0001f600!"),
    Reply(""),
    Reply("cut", finish="length"),
    Reply("cut", finish="model_length"),
    Reply("no", finish="content_filter"),
    Reply("I will not", finish="refusal"),
    Reply("I book.", tool_calls=[ToolCall("book", {"seat": "12Ä"}, id="abcDEF123"), ToolCall("pay")]),
    Reply("thought it over", reasoning="because"),
    Reply("counted", usage=Usage(input=10, output=5, cached=4, reasoning=2)),
]


def head(path: str = "/v1/chat/completions", method: str = "POST") -> Head:
    return Head("mistral", method, path, {}, 1_800_000_000.5)


def decode(body: object = BODY, path: str = "/v1/chat/completions") -> Request:
    return Mistral().decode(head(path), json.dumps(body).encode())


def whole(reply: Reply) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(Mistral().whole(reply, decode()))
    return fields


def chunks(reply: Reply) -> list[dict[str, Any]]:
    events = Mistral().events(reply, decode({**BODY, "stream": True}))
    assert events[-1].data == b"data: [DONE]\n\n"
    return [json.loads(event.data.removeprefix(b"data: ")) for event in events[:-1]]


def text_of(content: Any) -> str:
    blocks = [content] if isinstance(content, str) else content or []
    return "".join(block if isinstance(block, str) else block.get("text", "") for block in blocks)


@pytest.mark.parametrize("reply", REPLIES)
def test_a_stream_put_together_is_the_whole_answer(reply: Reply) -> None:
    (choice,) = whole(reply)["choices"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(reply)]
    assert "".join(text_of(delta.get("content")) for delta in deltas) == reply.text
    assert text_of(choice["message"]["content"]) == reply.text
    streamed = [call["function"] for delta in deltas for call in delta.get("tool_calls", [])]
    assert streamed == [call["function"] for call in choice["message"].get("tool_calls", [])]
    assert [json.loads(call["arguments"]) for call in streamed] == [call.args for call in reply.tool_calls]


@pytest.mark.parametrize("reply", REPLIES)
def test_the_usage_and_a_finish_reason_of_the_enumeration_stand_in_the_last_chunk(reply: Reply) -> None:
    answer, streamed = whole(reply), chunks(reply)
    last = streamed[-1]
    assert last["choices"][0]["finish_reason"] == answer["choices"][0]["finish_reason"]
    assert last["choices"][0]["finish_reason"] in FINISH_REASONS
    assert last["usage"] == answer["usage"]
    assert set(answer["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}
    assert not any("usage" in chunk for chunk in streamed[:-1])


def test_a_stream_is_exactly_these_bytes() -> None:
    events = [event.data for event in Mistral().events(Reply("é"), decode())]
    identity = json.loads(events[0][6:])["id"]
    start = (
        f'data: {{"id":"{identity}","object":"chat.completion.chunk","created":1800000000,'
        '"model":"mistral-small","choices":[{"index":0,"delta":'
    )
    usage = '"usage":{"prompt_tokens":2,"total_tokens":3,"completion_tokens":1}'
    deltas = [
        '{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]',
        '{"content":"é"},"logprobs":null,"finish_reason":null}]',
        f'{{}},"logprobs":null,"finish_reason":"stop"}}],{usage}',
    ]
    assert events == [*(f"{start}{delta}}}\n\n".encode() for delta in deltas), b"data: [DONE]\n\n"]


def test_ids_of_tool_calls_are_nine_letters_and_digits() -> None:
    calls = [ToolCall("book", id="abcDEF123"), ToolCall("book", id="call_1"), ToolCall("book")]
    told = whole(Reply(tool_calls=calls))["choices"][0]["message"]["tool_calls"]
    ids = [call["id"] for call in told]
    assert ids[0] == "abcDEF123"
    assert len(set(ids)) == 3
    assert all(re.fullmatch("[A-Za-z0-9]{9}", one) for one in ids)
    again = whole(Reply(tool_calls=calls))["choices"][0]["message"]["tool_calls"]
    assert again[1]["id"] == ids[1]


def test_reasoning_is_a_chunk_of_the_content() -> None:
    reply = Reply("done", reasoning="because")
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "because"}]}
    assert whole(reply)["choices"][0]["message"]["content"] == [thinking, {"type": "text", "text": "done"}]
    deltas = [chunk["choices"][0]["delta"].get("content") for chunk in chunks(reply)]
    assert [thinking] in deltas


def test_the_attempt_is_left_to_the_digest() -> None:
    assert (decode().attempt, decode().attempt_source) == (1, "digest")
    assert Mistral.stream_type == "text/event-stream"


def test_texts_are_embedded() -> None:
    request = decode({"model": "mistral-embed", "input": ["a", "b"]}, "/v1/embeddings")
    answer = json.loads(Mistral().whole(Reply(), request))
    assert answer["id"]
    assert [item["embedding"] for item in answer["data"]] == [embed("a", 1024), embed("b", 1024)]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"messages": []}', b'{"messages": ["hi"]}'])
def test_a_wrong_body_is_422(body: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        Mistral().decode(head(), body)
    assert caught.value.status == 422


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/moderations", "/v1/completions"])
def test_an_unknown_route_is_404(path: str) -> None:
    with pytest.raises(Rejected) as caught:
        decode(path=path)
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", "3051"),
        (429, "rate_limited", "1300"),
        (503, "internal_server_error", "1000"),
    ],
)
def test_an_error_is_exactly_these_bytes(status: int, kind: str, code: str) -> None:
    fields = {"object": "error", "message": "no", "type": kind, "param": None, "code": code}
    assert json.loads(Mistral().error(status, "no", {})) == fields
    event = Mistral().error_event(status, "no", decode(), 0)
    assert json.loads(event.removeprefix(b"data: ")) == fields


def test_what_is_wrong_with_a_request_is_a_list() -> None:
    detail = [{"type": "value_error", "loc": ["body"], "msg": "no"}]
    assert json.loads(Mistral().error(422, "no", {})) == {"detail": detail}


def test_answers_carry_an_id_and_none_of_openai_s_headers() -> None:
    codec = Mistral()
    assert set(codec.headers()) == {"mistral-correlation-id"}
    assert codec.headers() != codec.headers()
    assert codec.error_headers(429) == {}
