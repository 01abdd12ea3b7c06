"""OpenAI's codec: what it reads from a request, and exactly what it sends."""

import json
from typing import Any

import pytest
from openai.types import Model, ModerationCreateResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from langchain_prodtest.script import Reply, Request, ToolCall, Usage
from langchain_prodtest.wire.codec import Head, Rejected
from langchain_prodtest.wire.openai import OpenAI
from tests.wire.walk import unknown_fields

NONCE = "pt-00000000000000aa"
USER = {"role": "user", "content": f"Say it. {NONCE}"}
BODY: dict[str, Any] = {"model": "gpt-4o", "messages": [USER]}

REPLIES = [
    Reply("Grüße, 世界 \U0001f600!"),
    Reply(""),
    Reply("cut", finish="length"),
    Reply("filtered", finish="content_filter"),
    Reply(tool_calls=[ToolCall("book", {"seat": "12Ä", "n": 1}), ToolCall("pay")]),
    Reply("I book.", tool_calls=[ToolCall("book", {}, id="call_mine")]),
    Reply("thought", reasoning="because " * 8),
    Reply("counted", usage=Usage(input=10, output=5, cached=4, reasoning=2)),
]


def head(**changes: Any) -> Head:
    return Head("openai", "POST", "/v1/chat/completions", {}, 1_800_000_000.5)._replace(**changes)


def decode(body: object = BODY, codec: OpenAI | None = None, **changes: Any) -> Request:
    return (codec or OpenAI()).decode(head(**changes), json.dumps(body).encode())


def stream_request(include_usage: bool = True) -> Request:
    return decode({**BODY, "stream": True, "stream_options": {"include_usage": include_usage}})


def chunks(reply: Reply, request: Request | None = None) -> list[dict[str, Any]]:
    events = OpenAI().events(reply, request or stream_request())
    assert events[-1].data == b"data: [DONE]\n\n"
    for event in events:
        assert event.data.startswith(b"data: ")
        assert event.data.endswith(b"\n\n")
        assert event.data.count(b"\n") == 2
    return [json.loads(event.data[6:]) for event in events[:-1]]


# -- requests ---------------------------------------------------------------------------------------------


def test_a_request_is_read_into_its_fields() -> None:
    tools = [{"type": "function", "function": {"name": "book"}}]
    request = decode({**BODY, "tools": tools, "stream": True})
    assert (request.provider, request.operation, request.model) == ("openai", "chat", "gpt-4o")
    assert (request.messages, request.tools, request.stream) == ([USER], tools, True)
    assert (request.nonce, request.received) == (NONCE, 1_800_000_000.5)


def test_the_last_nonce_in_the_text_counts_also_in_content_blocks() -> None:
    blocks = [
        {"type": "text", "text": "pt-00000000000000bb"},
        {"type": "image_url", "image_url": {"url": "x"}},
    ]
    assert (
        decode({**BODY, "messages": [USER, {"role": "user", "content": blocks}]}).nonce
        == "pt-00000000000000bb"
    )


@pytest.mark.parametrize(
    ("mark", "attempt", "source"), [("0", 1, "header"), ("2", 3, "header"), ("x", 1, "digest")]
)
def test_the_attempt_is_the_client_s_retry_mark(mark: str, attempt: int, source: str) -> None:
    request = decode(headers={"x-stainless-retry-count": mark})
    assert (request.attempt, request.attempt_source) == (attempt, source)


def test_the_digest_is_of_the_messages_alone_in_any_order_of_keys() -> None:
    same = decode({"messages": [dict(reversed(USER.items()))], "model": "other", "stream": True})
    other = decode({**BODY, "messages": [USER, USER]})
    assert decode().digest == same.digest != other.digest


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/chat/completions"), ("POST", "/v1/completions"), ("POST", "/v1/models"), ("GET", "/")],
)
def test_an_unknown_route_is_404(method: str, path: str) -> None:
    with pytest.raises(Rejected, match=r"Invalid URL") as caught:
        decode(method=method, path=path)
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"[]", "object"),
        (b'{"messages": [{"role": "user"}], "model": 4}', "model"),
        (b'{"model": "m"}', "Missing required parameter: 'messages'"),
        (b'{"model": "m", "messages": []}', "Invalid 'messages': empty array"),
        (b'{"model": "m", "messages": "hi"}', "messages"),
        (b'{"model": "m", "messages": ["hi"]}', "messages"),
        (b'{"model": "m", "messages": [{"content": "hi"}]}', r"parameter: 'messages\[0\].role'"),
        (b'{"model": "m", "messages": [{"role": "user"}], "tools": {}}', "tools"),
        (b'{"model": "m", "messages": [{"role": "user"}], "stream_options": 1}', "stream_options"),
        (b'{"model": "m", "messages": [{"role": "user"}], "n": 0}', "'n'"),
        (b'{"model": "m", "messages": [{"role": "user"}], "n": true}', "'n'"),
        (b'{"model": "m", "messages": [{"role": "user"}], "n": 129}', "'n'"),
    ],
)
def test_a_wrong_body_is_400_and_says_what_is_wrong(body: bytes, names: str) -> None:
    with pytest.raises(Rejected, match=names) as caught:
        OpenAI().decode(head(), body)
    assert caught.value.status == 400


@pytest.mark.parametrize("model", [None, ""])
def test_a_request_without_a_model_is_refused(model: str | None) -> None:
    with pytest.raises(Rejected, match="you must provide a model parameter") as caught:
        decode({**BODY, "model": model})
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("message", "param", "code"),
    [
        ("Missing required parameter: 'messages[0].role'.", "messages[0].role", "missing_required_parameter"),
        ("Invalid type for 'n': expected an integer.", "n", "invalid_type"),
        ("Invalid 'messages': empty array.", "messages", "empty_array"),
        ("Invalid value for 'n': expected 1.", "n", "invalid_value"),
        ("you must provide a model parameter", None, None),
    ],
)
def test_a_400_names_the_parameter_and_has_its_code(
    message: str, param: str | None, code: str | None
) -> None:
    error = json.loads(OpenAI().error(400, message, {}))["error"]
    assert error == {"message": message, "type": "invalid_request_error", "param": param, "code": code}


# -- answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", REPLIES)
def test_a_whole_answer_is_what_the_sdk_s_types_describe(reply: Reply) -> None:
    completion = ChatCompletion.model_validate_json(OpenAI().whole(reply, decode()), strict=True)
    assert unknown_fields(completion) == []
    choice = completion.choices[0]
    assert (choice.message.content or "", choice.finish_reason) == (reply.text, reply.finish_reason)
    assert completion.model == "gpt-4o"


@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("include_usage", [True, False])
def test_every_event_is_what_the_sdk_s_types_describe(reply: Reply, include_usage: bool) -> None:
    for fields in chunks(reply, stream_request(include_usage)):
        assert unknown_fields(ChatCompletionChunk.model_validate(fields)) == []


@pytest.mark.parametrize("reply", REPLIES)
def test_a_stream_put_together_is_the_whole_answer(reply: Reply) -> None:
    codec = OpenAI()
    (choice,) = json.loads(codec.whole(reply, decode()))["choices"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(reply) if chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == (choice["message"]["content"] or "")
    calls: dict[int, str] = {}
    for delta in deltas:
        for call in delta.get("tool_calls", []):
            calls[call["index"]] = calls.get(call["index"], "") + call["function"]["arguments"]
    whole_calls = choice["message"].get("tool_calls", [])
    assert list(calls.values()) == [call["function"]["arguments"] for call in whole_calls]


def test_a_refusal_is_no_content_and_ends_as_any_answer() -> None:
    refusal = Reply("I will not.", finish="refusal")
    completion = ChatCompletion.model_validate_json(OpenAI().whole(refusal, decode()), strict=True)
    (choice,) = completion.choices
    assert (choice.message.content, choice.message.refusal) == (None, "I will not.")
    assert choice.finish_reason == "stop"
    streamed = [ChatCompletionChunk.model_validate(chunk) for chunk in chunks(refusal)]
    deltas = [chunk.choices[0].delta for chunk in streamed if chunk.choices]
    assert "".join(delta.refusal or "" for delta in deltas) == "I will not."
    assert not any(delta.content for delta in deltas)


def test_several_choices_are_counted_and_told_apart_by_their_index() -> None:
    asked = {**BODY, "n": 3}
    reply = Reply("one two", tool_calls=[ToolCall("book", {"seat": "1"})])
    completion = ChatCompletion.model_validate_json(OpenAI().whole(reply, decode(asked)), strict=True)
    assert [choice.index for choice in completion.choices] == [0, 1, 2]
    ids = [call.id for choice in completion.choices for call in choice.message.tool_calls or []]
    assert len(set(ids)) == 3
    single = json.loads(OpenAI().whole(reply, decode()))["usage"]
    assert completion.usage
    assert completion.usage.completion_tokens == 3 * single["completion_tokens"]
    assert completion.usage.prompt_tokens == single["prompt_tokens"]
    streamed = chunks(reply, decode({**asked, "stream": True}))
    texts = dict.fromkeys(range(3), "")
    streamed_ids = set()
    for chunk in streamed:
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["delta"].get("content") or ""
            streamed_ids |= {call["id"] for call in choice["delta"].get("tool_calls", []) if "id" in call}
    assert set(texts.values()) == {"one two"}
    assert len(streamed_ids) == 3


def test_log_probabilities_come_if_asked_for_one_for_each_piece() -> None:
    asked = {**BODY, "logprobs": True, "top_logprobs": 1}
    completion = ChatCompletion.model_validate_json(
        OpenAI().whole(Reply("é two"), decode(asked)), strict=True
    )
    assert unknown_fields(completion) == []
    logprobs = completion.choices[0].logprobs
    assert logprobs
    assert [(token.token, token.bytes) for token in logprobs.content or []] == [
        ("é", [195, 169]),
        (" two", [32, 116, 119, 111]),
    ]
    streamed = [
        ChatCompletionChunk.model_validate(chunk)
        for chunk in chunks(Reply("é two"), decode({**asked, "stream": True}))
    ]
    told = [chunk.choices[0].logprobs for chunk in streamed if chunk.choices]
    assert [token.token for one in told if one for token in one.content or []] == ["é", " two"]


@pytest.mark.parametrize("reply", REPLIES)
def test_usage_is_the_same_in_stream_and_whole(reply: Reply) -> None:
    whole = json.loads(OpenAI().whole(reply, decode()))["usage"]
    streamed = chunks(reply)
    assert streamed[-1]["choices"] == []
    assert streamed[-1]["usage"] == whole
    assert all(chunk["usage"] is None for chunk in streamed[:-1])


def test_usage_is_not_streamed_unless_asked_for() -> None:
    assert not any("usage" in chunk for chunk in chunks(Reply("hi"), stream_request(include_usage=False)))


def test_given_usage_is_sent_and_missing_usage_is_counted_four_characters_a_token() -> None:
    given = json.loads(OpenAI().whole(REPLIES[-1], decode()))["usage"]
    assert (given["prompt_tokens"], given["completion_tokens"], given["total_tokens"]) == (10, 5, 15)
    assert given["prompt_tokens_details"]["cached_tokens"] == 4
    assert given["completion_tokens_details"]["reasoning_tokens"] == 2
    counted = json.loads(OpenAI().whole(Reply("12345", reasoning="1234"), decode()))["usage"]
    assert (counted["prompt_tokens"], counted["completion_tokens"]) == (-(-len(USER["content"]) // 4), 3)


def test_a_stream_is_exactly_these_bytes() -> None:
    events = [event.data for event in OpenAI().events(Reply("é b"), decode({**BODY, "stream": True}))]
    identity = json.loads(events[0][6:])["id"]
    start = (
        f'data: {{"id":"{identity}","object":"chat.completion.chunk","created":1800000000,"model":"gpt-4o",'
        '"service_tier":"default","system_fingerprint":"fp_prodtest","choices":[{"index":0,"delta":'
    )
    deltas = [
        '{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null',
        '{"content":"é"},"logprobs":null,"finish_reason":null',
        '{"content":" b"},"logprobs":null,"finish_reason":null',
        '{},"logprobs":null,"finish_reason":"stop"',
    ]
    assert events == [*(f"{start}{delta}}}]}}\n\n".encode() for delta in deltas), b"data: [DONE]\n\n"]


def test_a_tool_call_starts_with_its_name_and_its_arguments_follow_in_pieces() -> None:
    deltas = [
        chunk["choices"][0]["delta"]["tool_calls"][0]
        for chunk in chunks(Reply(tool_calls=[ToolCall("book", {"seat": "12A"}, id="call_1")]))
        if chunk["choices"] and "tool_calls" in chunk["choices"][0]["delta"]
    ]
    assert deltas == [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "book", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"se'}},
        {"index": 0, "function": {"arguments": 'at":'}},
        {"index": 0, "function": {"arguments": '"12A'}},
        {"index": 0, "function": {"arguments": '"}'}},
    ]


def test_ids_of_answers_and_tool_calls_are_unique() -> None:
    codec = OpenAI()
    reply = Reply(tool_calls=[ToolCall("a"), ToolCall("a")])
    answers = [json.loads(codec.whole(reply, decode())) for _ in range(50)]
    calls = [call["id"] for a in answers for call in a["choices"][0]["message"]["tool_calls"]]
    assert len(set(calls)) == 100
    assert len({a["id"] for a in answers}) == 50
    assert len({codec.headers()["x-request-id"] for _ in range(50)}) == 50


def test_models_are_listed() -> None:
    codec = OpenAI()
    request = codec.decode(head(method="GET", path="/v1/models"), b"")
    listed = json.loads(codec.whole(Reply(), request))
    assert listed["object"] == "list"
    assert [unknown_fields(Model.model_validate(model)) for model in listed["data"]] == [[]]


def test_a_moderation_flags_what_is_scripted_as_filtered() -> None:
    codec = OpenAI()
    asked = json.dumps({"input": ["one", "two"]}).encode()
    request = codec.decode(head(path="/v1/moderations"), asked)
    assert (request.operation, [message["content"] for message in request.messages]) == (
        "moderations",
        ["one", "two"],
    )
    for reply, flagged in ((Reply(), False), (Reply(finish="content_filter"), True)):
        verdicts = ModerationCreateResponse.model_validate_json(codec.whole(reply, request), strict=True)
        assert unknown_fields(verdicts) == []
        assert [verdict.flagged for verdict in verdicts.results] == [flagged, flagged]


@pytest.mark.parametrize("given", [None, [], [1], {}])
def test_a_moderation_of_nothing_is_400(given: object) -> None:
    with pytest.raises(Rejected, match="input"):
        OpenAI().decode(head(path="/v1/moderations"), json.dumps({"input": given}).encode())


def test_a_moderation_takes_parts_of_several_kinds() -> None:
    parts = [{"type": "text", "text": NONCE}, {"type": "image_url", "image_url": {"url": "x"}}]
    request = OpenAI().decode(head(path="/v1/moderations"), json.dumps({"input": parts}).encode())
    assert (len(request.messages), request.nonce) == (1, NONCE)


def test_rate_limits_are_told_and_none_is_left_after_a_429() -> None:
    codec = OpenAI()
    assert int(codec.headers()["x-ratelimit-remaining-requests"]) > 0
    assert codec.error_headers(429) == {"x-ratelimit-remaining-requests": "0"}
    assert codec.error_headers(500) == {}


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", None),
        (401, "invalid_request_error", "invalid_api_key"),
        (429, "requests", "rate_limit_exceeded"),
        (503, "server_error", None),
    ],
)
def test_an_error_is_exactly_these_bytes(status: int, kind: str, code: str | None) -> None:
    assert json.loads(OpenAI().error(status, "no", {})) == {
        "error": {"message": "no", "type": kind, "param": None, "code": code}
    }


def test_the_garbage_event_is_framed_well_and_is_not_json() -> None:
    assert OpenAI.garbage.startswith(b"data: ")
    assert OpenAI.garbage.endswith(b"\n\n")
    with pytest.raises(json.JSONDecodeError):
        json.loads(OpenAI.garbage[6:])
