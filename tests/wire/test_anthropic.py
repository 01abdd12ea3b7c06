"""Anthropic's codec: what it reads from a request, and exactly what it sends."""

import json
from typing import Any

import pytest
from anthropic.types import Message, MessageTokensCount, RawMessageStreamEvent
from anthropic.types.shared import ErrorResponse
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from langchain_prodtest.script import Reply, Request, ToolCall, Usage, text_of
from langchain_prodtest.wire.anthropic import Anthropic
from langchain_prodtest.wire.codec import Head, Rejected
from tests.wire.walk import unknown_fields

NONCE = "pt-00000000000000aa"
USER = {"role": "user", "content": f"Say it. {NONCE}"}
BODY: dict[str, Any] = {"model": "claude-opus-5-5", "max_tokens": 64, "messages": [USER]}
CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "book", "input": {}}]}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "12A"}]}
HEADERS = {"anthropic-version": "2026-10-21", "authorization": "present"}
PING = b'event: ping\ndata: {"type": "ping"}\n\n'

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
REPLIES = [
    Reply("Grüße, 世界 \U0001f600!"),
    Reply(""),
    Reply("cut", finish="length"),
    Reply("no", finish="content_filter"),
    Reply(tool_calls=[ToolCall("book", {"seat": "12Ä", "n": 1}), ToolCall("pay")]),
    Reply("I book.", tool_calls=[ToolCall("book", {}, id="toolu_mine")]),
    Reply("thought", reasoning="because " * 8),
    Reply("counted", usage=Usage(input=10, output=5, cached=4, reasoning=2)),
]


def head(**changes: Any) -> Head:
    return Head("anthropic", "POST", "/v1/messages", HEADERS, 1_800_000_000.5)._replace(**changes)


def decode(body: object = BODY, **changes: Any) -> Request:
    return Anthropic().decode(head(**changes), json.dumps(body).encode())


def events(reply: Reply, request: Request | None = None) -> list[dict[str, Any]]:
    """Return the streamed events without the ping, each held to its framing."""
    sent = [event.data for event in Anthropic().events(reply, request or decode({**BODY, "stream": True}))]
    assert sent[1] == PING
    fields = []
    for data in [sent[0], *sent[2:]]:
        name, line, *rest = data.decode().split("\n")
        assert rest == ["", ""]
        fields.append(json.loads(line.removeprefix("data: ")))
        assert name == f"event: {fields[-1]['type']}"
    return fields


def whole(reply: Reply, body: object = BODY) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(Anthropic().whole(reply, decode(body)))
    return fields


# -- requests ---------------------------------------------------------------------------------------------


def test_a_request_is_read_into_its_fields() -> None:
    tools = [{"name": "book", "input_schema": {"type": "object"}}]
    request = decode({**BODY, "tools": tools, "stream": True})
    assert (request.provider, request.operation, request.model) == ("anthropic", "chat", "claude-opus-5-5")
    assert (request.messages, request.tools, request.stream) == ([USER], tools, True)
    assert (request.nonce, request.received) == (NONCE, 1_800_000_000.5)


@pytest.mark.parametrize(
    "credentials", [{"x-api-key": "present"}, {"authorization": "present"}, {"anthropic-beta": "x"}]
)
def test_both_generations_of_the_sdk_are_understood(credentials: dict[str, str]) -> None:
    assert decode(headers={"anthropic-version": "2023-06-01", **credentials}).messages == [USER]


def test_the_text_of_system_prompt_and_tool_results_is_found() -> None:
    system = [{"type": "text", "text": "Be brief."}]
    result = [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "seat 12A"}]}]
    after = {"type": "text", "text": "and now?"}
    messages = [USER, CALL, {"role": "user", "content": [*result, after]}]
    request = decode({**BODY, "system": system, "messages": messages})
    assert request.messages == [
        {"role": "system", "content": system},
        USER,
        CALL,
        {"role": "tool", "tool_call_id": "t1", "content": [{"type": "text", "text": "seat 12A"}]},
        {"role": "user", "content": [after]},
    ]
    assert text_of(request.messages) == f"Be brief.\nSay it. {NONCE}\n\nseat 12A\nand now?"
    assert request.body["messages"] == messages


@pytest.mark.parametrize(
    ("mark", "attempt", "source"), [("0", 1, "header"), ("2", 3, "header"), ("x", 1, "digest")]
)
def test_the_attempt_is_the_client_s_retry_mark(mark: str, attempt: int, source: str) -> None:
    request = decode(headers={**HEADERS, "x-stainless-retry-count": mark})
    assert (request.attempt, request.attempt_source) == (attempt, source)


def test_the_digest_is_of_what_was_said_in_any_order_of_keys() -> None:
    same = decode({**BODY, "messages": [dict(reversed(USER.items()))], "stream": True})
    assert decode().digest == same.digest != decode({**BODY, "system": "Be brief."}).digest


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/complete", 404),
        ("POST", "/messages", 404),
        ("GET", "/", 404),
        ("GET", "/v1/messages", 405),
    ],
)
def test_an_unknown_route_is_refused(method: str, path: str, status: int) -> None:
    with pytest.raises(Rejected) as caught:
        decode(method=method, path=path)
    assert caught.value.status == status


def test_a_request_without_a_version_is_400() -> None:
    with pytest.raises(Rejected, match="anthropic-version: header is required"):
        decode(headers={})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The request body is not valid JSON: "),
        (b"{", "The request body is not valid JSON: "),
        (b"\xff", "The request body is not valid JSON: "),
        (b"[" * 100_000, "The request body is not valid JSON: "),
        (b"[]", "The request body is not valid JSON: "),
        ({"model": None}, "model: Field required"),
        ({"model": 4}, "model: Input should be a valid string"),
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": 0}, "max_tokens: must be greater than or equal to 1"),
        ({"messages": None}, "messages: Field required"),
        ({"messages": "hi"}, "messages: Input should be a valid array"),
        ({"messages": ["hi"]}, "messages: Input should be a valid array of objects"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": [{"content": "hi"}]}, 'messages: Unexpected role "None"'),
        ({"messages": [{"role": "tool", "content": "hi"}]}, 'messages: Unexpected role "tool"'),
        ({"messages": [{"role": "user", "content": 4}]}, "messages.0.content: Input should be a valid"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages.0: all messages must have non-empty"),
        ({"system": 4}, "system: Input should be a valid"),
        ({"stop_sequences": "END"}, "stop_sequences: Input should be a valid array"),
        ({"tools": {"a": 1}}, "tools: Input should be a valid array of objects"),
    ],
)
def test_a_wrong_body_is_400_in_anthropic_s_words(body: bytes | dict[str, Any], message: str) -> None:
    if isinstance(body, dict):
        changed = {**BODY, **body}
        body = json.dumps({name: value for name, value in changed.items() if value is not None}).encode()
    with pytest.raises(Rejected) as caught:
        Anthropic().decode(head(), body)
    assert caught.value.status == 400
    assert str(caught.value).startswith(message)


def test_a_tool_call_must_be_answered_in_the_next_message() -> None:
    with pytest.raises(Rejected, match=r"messages\.1: `tool_use` ids were found without .* after: t1\."):
        decode({**BODY, "messages": [USER, CALL, USER]})


def test_a_tool_result_must_follow_its_call() -> None:
    with pytest.raises(Rejected, match=r"messages\.1: unexpected `tool_use_id` found .* blocks: t1\."):
        decode({**BODY, "messages": [USER, RESULT]})


def test_a_conversation_may_end_with_calls_and_with_an_answer_begun() -> None:
    assert len(decode({**BODY, "messages": [USER, CALL, RESULT, CALL]}).messages) == 4
    assert decode({**BODY, "messages": [USER, {"role": "assistant", "content": ""}]}).messages[1:]


BLOCK = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["text", "tool_use", "tool_result", 4]),
        "text": st.text() | st.none(),
        "id": st.sampled_from(["t1", "t2"]) | st.lists(st.text()),
        "tool_use_id": st.sampled_from(["t1", "t2"]) | st.none(),
        "content": st.text() | st.lists(st.text()) | st.none(),
    },
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3),
    max_leaves=8,
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool"]), "content": st.lists(BLOCK) | ANYTHING}
)
FIELDS = st.dictionaries(
    st.sampled_from(["system", "tools", "stream", "max_tokens", "model", "stop_sequences", "thinking"]),
    ANYTHING,
)


@given(messages=st.just([USER]) | st.lists(MESSAGE, max_size=3) | ANYTHING, fields=FIELDS)
@settings(max_examples=150, deadline=None)
def test_any_body_is_answered_or_refused_with_400(messages: object, fields: dict[str, object]) -> None:
    reply = Reply("a", finish="stop_sequence")
    try:
        request = decode({**BODY, "messages": messages, **fields})
    except Rejected as rejected:
        status = rejected.status
    else:
        status = 200 if Anthropic().whole(reply, request) and Anthropic().events(reply, request) else 500
    assert status in (200, 400)


# -- answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", REPLIES)
def test_a_whole_answer_is_what_the_sdk_s_types_describe(reply: Reply) -> None:
    message = Message.model_validate_json(Anthropic().whole(reply, decode()), strict=True)
    assert unknown_fields(message) == []
    assert "".join(block.text for block in message.content if block.type == "text") == reply.text
    assert message.model == "claude-opus-5-5"


@pytest.mark.parametrize("reply", REPLIES)
def test_every_event_is_what_the_sdk_s_types_describe(reply: Reply) -> None:
    for fields in events(reply):
        assert unknown_fields(EVENT.validate_python(fields, strict=True)) == []


@pytest.mark.parametrize("reply", REPLIES)
def test_a_stream_put_together_is_the_whole_answer(reply: Reply) -> None:
    start, *middle, finish, stop = events(reply)
    answer = {**start["message"], **finish["delta"]}
    for event in middle:
        blocks = answer["content"]
        match event:
            case {"type": "content_block_start", "index": index, "content_block": block}:
                assert index == len(blocks)
                blocks.append({**block, "partial_json": ""})
            case {"type": "content_block_delta", "index": index, "delta": delta}:
                assert index == len(blocks) - 1
                for name in delta.keys() - {"type"}:
                    blocks[-1][name] += delta[name]
    for block in answer["content"]:
        arguments = block.pop("partial_json")
        if block["type"] == "tool_use":
            block["input"] = json.loads(arguments)
    expected = whole(reply)
    for fields in (answer, expected):
        fields.pop("id")
        fields.pop("usage")
        for block in fields["content"]:
            if block["type"] == "tool_use" and block["id"] != "toolu_mine":
                assert block.pop("id").startswith("toolu_01")
    assert answer == expected
    assert stop == {"type": "message_stop"}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply("a"), "end_turn"),
        (Reply("a", finish="length"), "max_tokens"),
        (Reply(tool_calls=[ToolCall("a")]), "tool_use"),
        (Reply("a", finish="content_filter"), "refusal"),
        (Reply("I will not.", finish="refusal"), "refusal"),
        (Reply("a", finish="pause_turn"), "pause_turn"),
        (Reply("a", finish="model_context_window_exceeded"), "model_context_window_exceeded"),
    ],
)
def test_finish_reasons_are_in_anthropic_s_words(reply: Reply, reason: str) -> None:
    answer, delta = whole(reply), events(reply)[-2]["delta"]
    assert answer["stop_reason"] == delta["stop_reason"] == reason
    assert (answer["stop_details"] is not None) == (reason == "refusal")
    assert events(reply)[0]["message"]["stop_reason"] is None


def test_a_stop_sequence_is_named() -> None:
    reply = Reply("a", finish="stop_sequence")
    answer = whole(reply, {**BODY, "stop_sequences": ["END"]})
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "END")
    assert whole(reply)["stop_sequence"] is None


def test_usage_is_repeated_at_the_end_of_a_stream_and_cached_tokens_are_not_input_tokens() -> None:
    expected = {
        "input_tokens": 6,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
        "output_tokens": 5,
        "output_tokens_details": {"thinking_tokens": 2},
    }
    start, *_, finish, _stop = events(REPLIES[-1])
    assert finish["usage"] == expected
    assert whole(REPLIES[-1])["usage"].items() >= expected.items()
    assert start["message"]["usage"].items() >= {**expected, "output_tokens": 1}.items()


def test_tokens_are_counted_as_in_answers() -> None:
    body = {**BODY, "system": "Be brief."}
    request = decode(
        {name: body[name] for name in body if name != "max_tokens"}, path="/v1/messages/count_tokens"
    )
    assert request.operation in Anthropic.unscripted
    counted = MessageTokensCount.model_validate_json(Anthropic().whole(Reply(), request), strict=True)
    assert unknown_fields(counted) == []
    assert counted.input_tokens == whole(Reply("hi"), body)["usage"]["input_tokens"] > 0


def test_a_stream_is_exactly_these_bytes() -> None:
    sent = [event.data.decode() for event in Anthropic().events(Reply("é b"), decode())]
    identity = json.loads(sent[0].split("data: ")[1])["message"]["id"]
    usage = (
        '"usage":{"input_tokens":7,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,'
        '"output_tokens":%d,"output_tokens_details":{"thinking_tokens":0}'
    )
    assert sent == [
        (
            'event: message_start\ndata: {"type":"message_start","message":{"model":"claude-opus-5-5","id":"'
            f'{identity}","type":"message","role":"assistant","content":[],{usage % 1},"cache_creation":'
            '{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"service_tier":"standard"},'
            '"stop_reason":null,"stop_sequence":null,"stop_details":null}}\n\n'
        ),
        PING.decode(),
        (
            'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
            '"content_block":{"type":"text","text":""}}\n\n'
        ),
        (
            'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
            '"delta":{"type":"text_delta","text":"é"}}\n\n'
        ),
        (
            'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
            '"delta":{"type":"text_delta","text":" b"}}\n\n'
        ),
        'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
        (
            'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn",'
            f'"stop_sequence":null,"stop_details":null}},{usage % 1}}}}}\n\n'
        ),
        'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    ]


def test_the_events_of_an_answer_say_what_they_carry() -> None:
    sent = Anthropic().events(Reply("two words", tool_calls=[ToolCall("a")]), decode())
    kinds = [(event.kind, [*event.without]) for event in sent]
    block: list[tuple[str, list[str]]] = [("open", []), ("piece", []), ("piece", []), ("open", [])]
    opening, end = [("open", ["usage"]), ("open", [])], [("end", ["finish", "usage"]), ("end", ["terminal"])]
    assert kinds == [*opening, *block, *block, *end]


def test_tool_arguments_are_streamed_in_pieces_after_an_empty_one() -> None:
    streamed = events(Reply(tool_calls=[ToolCall("book", {"seat": "12A"}, id="toolu_1")]))
    assert streamed[1]["content_block"] == {"type": "tool_use", "id": "toolu_1", "name": "book", "input": {}}
    deltas = [event["delta"] for event in streamed if event["type"] == "content_block_delta"]
    assert [delta["partial_json"] for delta in deltas] == ["", '{"se', 'at":', '"12A', '"}']
    assert {delta["type"] for delta in deltas} == {"input_json_delta"}


def test_thinking_is_a_block_of_its_own_that_ends_with_its_signature() -> None:
    block = whole(Reply("yes", reasoning="it is so"))["content"][0]
    streamed = events(Reply("yes", reasoning="it is so"))
    deltas = [event["delta"] for event in streamed if event.get("index") == 0 and "delta" in event]
    assert [delta["type"] for delta in deltas] == [*["thinking_delta"] * 3, "signature_delta"]
    assert deltas[-1]["signature"] == block["signature"] != ""
    assert block["thinking"] == "it is so"


def test_ids_of_answers_and_tool_calls_are_unique() -> None:
    reply = Reply(tool_calls=[ToolCall("a"), ToolCall("a")])
    answers = [whole(reply) for _ in range(50)]
    assert len({block["id"] for answer in answers for block in answer["content"]}) == 100
    assert len({answer["id"] for answer in answers}) == 50
    assert len({Anthropic().headers()["request-id"] for _ in range(50)}) == 50


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_an_error_is_what_the_sdk_s_types_describe(status: int, kind: str) -> None:
    headers = Anthropic().headers()
    error = ErrorResponse.model_validate_json(Anthropic().error(status, "no", headers), strict=True)
    assert unknown_fields(error) == []
    assert (error.error.type, error.error.message) == (kind, "no")
    assert error.request_id == headers["request-id"]


def test_a_body_that_is_too_large_has_a_type_of_its_own() -> None:
    assert json.loads(Anthropic().error(413, "no", {}))["error"]["type"] == "request_too_large"


def test_an_error_in_a_stream_is_exactly_these_bytes() -> None:
    assert Anthropic().error_event(529, "Overloaded", decode(), 0) == (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    )


def test_rate_limits_are_told_and_a_429_has_no_requests_left() -> None:
    headers = Anthropic().headers()
    for name in ("requests", "tokens", "input-tokens", "output-tokens"):
        limit = headers[f"anthropic-ratelimit-{name}-limit"]
        assert headers[f"anthropic-ratelimit-{name}-remaining"] == limit
        assert headers[f"anthropic-ratelimit-{name}-reset"].endswith("Z")
    assert Anthropic().error_headers(429) == {"anthropic-ratelimit-requests-remaining": "0"}
    assert Anthropic().error_headers(503) == Anthropic().answer_headers(Reply(), decode()) == {}


def test_the_garbage_event_is_framed_well_and_is_not_json() -> None:
    name, line, *rest = Anthropic.garbage.decode().split("\n")
    assert (name, rest) == ("event: content_block_delta", ["", ""])
    with pytest.raises(json.JSONDecodeError):
        json.loads(line.removeprefix("data: "))
