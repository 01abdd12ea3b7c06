"""Bedrock's codec, held against the service model that botocore ships."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import botocore.session  # type: ignore[import-untyped]
import pytest
from botocore.eventstream import (  # type: ignore[import-untyped]
    ChecksumMismatch,
    EventStream,
    EventStreamBuffer,
)
from botocore.exceptions import EventStreamError  # type: ignore[import-untyped]
from botocore.parsers import EventStreamJSONParser  # type: ignore[import-untyped]
from botocore.validate import ParamValidator  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_prodtest.script import Reply, Request, ToolCall, Usage
from langchain_prodtest.vectors import embed
from langchain_prodtest.wire import eventstream
from langchain_prodtest.wire.bedrock import Bedrock
from langchain_prodtest.wire.codec import Event, Head, Rejected

MODEL = botocore.session.get_session().get_service_model("bedrock-runtime")
NONCE = "pt-00000000000000aa"
CLAUDE_ID = "us.anthropic.claude-sonnet-4-20250514-v1:0"
CONVERSE: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": f"Say it. {NONCE}"}]}]}
CLAUDE: dict[str, Any] = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": f"Say it. {NONCE}"}],
}
TITAN, TITAN_ID = {"inputText": f"near {NONCE}"}, "amazon.titan-embed-text-v2:0"
COHERE = {"texts": ["near", "far"], "input_type": "search_document"}
COHERE_ID = "cohere.embed-english-v3"
TOOL = {"toolSpec": {"name": "book", "inputSchema": {"json": {"type": "object"}}}}

REPLIES = [
    Reply("Grüße, 世界 \U0001f600!"),
    Reply(""),
    Reply("cut", finish="length"),
    Reply(tool_calls=[ToolCall("book", {"seat": "12Ä", "n": 1}), ToolCall("pay")]),
    Reply("I book.", tool_calls=[ToolCall("book", {}, id="tooluse_mine")]),
    Reply("thought", reasoning="because " * 8),
    Reply("counted", usage=Usage(input=10, output=5, cached=4, reasoning=2)),
]


def path(action: str, model: str = CLAUDE_ID) -> str:
    return f"/model/{model.replace(':', '%3A')}/{action}"


def decode(body: object, action: str = "converse", model: str = CLAUDE_ID, **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    head = Head("bedrock", "POST", path(action, model), named, 1_800_000_000.5)
    return Bedrock().decode(head, body if isinstance(body, bytes) else json.dumps(body).encode())


def rejected(body: object, action: str = "converse", model: str = CLAUDE_ID) -> Rejected:
    with pytest.raises(Rejected) as caught:
        decode(body, action, model)
    return caught.value


def validate(fields: Any, shape: Any) -> None:
    report = ParamValidator().validate(fields, shape)
    assert not report.has_errors(), report.generate_report()


def failed(status: int, message: str) -> bytes:
    return Bedrock().error_event(status, message, decode(CONVERSE), 0)


def messages_in(events: list[Event]) -> list[Any]:
    buffer = EventStreamBuffer()
    buffer.add_data(b"".join(event.data for event in events))
    messages = list(buffer)
    assert len(messages) == len(events)
    return messages


def converse_events(reply: Reply, body: dict[str, Any] = CONVERSE) -> list[tuple[str, dict[str, Any]]]:
    messages = messages_in(Bedrock().events(reply, decode(body, "converse-stream")))
    return [(message.headers[":event-type"], json.loads(message.payload)) for message in messages]


def claude_events(reply: Reply) -> list[dict[str, Any]]:
    messages = messages_in(Bedrock().events(reply, decode(CLAUDE, "invoke-with-response-stream")))
    assert {message.headers[":event-type"] for message in messages} == {"chunk"}
    return [json.loads(base64.b64decode(json.loads(message.payload)["bytes"])) for message in messages]


# -- requests ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "body", "model", "read_as", "stream"),
    [
        ("Converse", CONVERSE, CLAUDE_ID, "chat", False),
        ("ConverseStream", CONVERSE, "arn:aws:bedrock:eu-west-1:1:inference-profile/x", "chat", True),
        ("InvokeModel", CLAUDE, CLAUDE_ID, "chat", False),
        ("InvokeModelWithResponseStream", CLAUDE, CLAUDE_ID, "chat", True),
        ("InvokeModel", TITAN, TITAN_ID, "embeddings", False),
        ("InvokeModel", COHERE, COHERE_ID, "embeddings", False),
        ("CountTokens", {"input": {"converse": CONVERSE}}, CLAUDE_ID, "count_tokens", False),
    ],
)
def test_the_routes_are_those_of_the_service_model(
    operation: str, body: Any, model: str, read_as: str, stream: bool
) -> None:
    http = MODEL.operation_model(operation).http
    escaped = model.replace(":", "%3A").replace("/", "%2F")
    head = Head("bedrock", http["method"], http["requestUri"].format(modelId=escaped), {}, 0.0)
    request = Bedrock().decode(head, json.dumps(body).encode())
    assert (request.operation, request.model, request.stream) == (read_as, model, stream)


@pytest.mark.parametrize(
    ("method", "route"),
    [
        ("GET", path("converse")),
        ("POST", path("async-invoke")),
        ("POST", "/model/a/b/converse"),
        ("POST", "/model//converse"),
        ("POST", "/"),
    ],
)
def test_another_route_is_404(method: str, route: str) -> None:
    with pytest.raises(Rejected, match="no operation") as caught:
        Bedrock().decode(Head("bedrock", method, route, {}, 0.0), json.dumps(CONVERSE).encode())
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("sent", "attempt", "source"),
    [
        ("attempt=1", 1, "header"),
        ("attempt=2; max=3", 2, "header"),
        ("ttl=x", 1, "digest"),
        ("", 1, "digest"),
    ],
)
def test_the_attempt_is_the_client_s_retry_mark(sent: str, attempt: int, source: str) -> None:
    request = decode(CONVERSE, amz_sdk_request=sent)
    assert (request.attempt, request.attempt_source) == (attempt, source)


def test_the_system_prompt_comes_first_and_each_tool_result_is_a_message() -> None:
    result = {"toolUseId": "t1", "content": [{"text": "sunny"}]}
    asked = [
        *CONVERSE["messages"],
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "book", "input": {}}}]},
        {"role": "user", "content": [{"text": "And?"}, {"toolResult": result}]},
    ]
    body = {"system": [{"text": "Be brief."}], "messages": asked, "toolConfig": {"tools": [TOOL]}}
    request = decode(body)
    assert [(m["role"], m["content"]) for m in request.messages] == [
        ("system", [{"text": "Be brief."}]),
        ("user", asked[0]["content"]),
        ("assistant", asked[1]["content"]),
        ("tool", [{"text": "sunny"}]),
        ("user", [{"text": "And?"}]),
    ]
    assert (request.tools, request.body, request.nonce) == ([TOOL], body, NONCE)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"{", "JSON"),
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages"),
        ({"messages": [{"role": "user", "content": "hi"}]}, "content"),
        ({"messages": [{"role": "robot", "content": []}]}, "role"),
        ({"messages": [{"role": "assistant", "content": []}]}, "start with a user"),
        ({**CONVERSE, "system": "brief"}, "system"),
        ({**CONVERSE, "toolConfig": {"tools": []}}, "toolConfig"),
        ({**CONVERSE, "toolConfig": []}, "toolConfig"),
        ({**CONVERSE, "additionalModelResponseFieldPaths": 1}, "additionalModelResponseFieldPaths"),
        ({"messages": [{"role": "user", "content": [{"toolResult": {}}]}]}, "toolConfig"),
        (CLAUDE, "anthropic_version"),
    ],
)
def test_a_wrong_converse_body_is_400_and_says_what_is_wrong(body: Any, names: str) -> None:
    refusal = rejected(body)
    assert refusal.status == 400
    assert names in str(refusal)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, "anthropic_version"),
        ({"inputText": "Hi", "textGenerationConfig": {}}, "Titan"),
        ({**CLAUDE, "model": "x"}, "model: Extra inputs"),
        ({**CLAUDE, "stream": True}, "stream: Extra inputs"),
        ({**CLAUDE, "messages": []}, "messages"),
        ({"anthropic_version": "x", "messages": CLAUDE["messages"]}, "max_tokens"),
        ({"inputText": 4}, "inputText"),
        ({"inputText": "x", "dimensions": 300}, "256"),
        ({"texts": "x"}, "texts"),
        ({"texts": []}, "96"),
        ({"texts": ["x"] * 97}, "96"),
        ({**COHERE, "embedding_types": ["int8"]}, "embedding_types"),
    ],
)
def test_a_wrong_body_for_a_model_is_400_and_says_what_is_wrong(body: Any, names: str) -> None:
    refusal = rejected(body, "invoke", TITAN_ID)
    assert refusal.status == 400
    assert names in str(refusal)


def test_embeddings_are_not_streamed() -> None:
    assert rejected(TITAN, "invoke-with-response-stream").status == 400


# -- Converse ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", REPLIES)
def test_a_whole_answer_is_what_the_service_model_describes(reply: Reply) -> None:
    answer = json.loads(Bedrock().whole(reply, decode(CONVERSE)))
    shape = MODEL.operation_model("Converse").output_shape
    validate(answer, shape)
    assert answer["stopReason"] in shape.members["stopReason"].enum
    assert answer["output"]["message"]["role"] == "assistant"


@pytest.mark.parametrize("reply", REPLIES)
def test_every_event_is_what_the_service_model_describes(reply: Reply) -> None:
    members = MODEL.operation_model("ConverseStream").output_shape.members["stream"].members
    for kind, fields in converse_events(reply):
        validate(fields, members[kind])


@pytest.mark.parametrize("reply", REPLIES)
def test_a_stream_put_together_is_the_whole_answer(reply: Reply) -> None:
    whole = json.loads(Bedrock().whole(reply, decode(CONVERSE)))
    blocks: dict[int, dict[str, Any]] = {}
    events = converse_events(reply)
    for kind, fields in events:
        if kind == "contentBlockStart":
            blocks[fields["contentBlockIndex"]] = {**fields["start"]["toolUse"], "input": ""}
        if kind == "contentBlockDelta":
            (name, value), *_ = fields["delta"].items()
            block = blocks.setdefault(fields["contentBlockIndex"], {})
            if name == "reasoningContent":
                (name, value), *_ = value.items()
            if name == "toolUse":
                (name, value), *_ = value.items()
            block[name] = block.get(name, "") + value
    expected = [
        block.get("toolUse") or block.get("reasoningContent", {}).get("reasoningText") or block
        for block in whole["output"]["message"]["content"]
    ]
    got = [{**b, "input": json.loads(b["input"])} if "input" in b else b for b in blocks.values()]
    for block in [*got, *expected]:
        if block.get("toolUseId") != "tooluse_mine":
            block.pop("toolUseId", None)
    assert got == expected
    last = dict(events[-2:])
    assert last["messageStop"]["stopReason"] == whole["stopReason"]
    assert last["metadata"]["usage"] == whole["usage"]


def test_a_stream_is_exactly_these_events() -> None:
    events = Bedrock().events(Reply("é b"), decode(CONVERSE, "converse-stream"))
    said = [
        ("messageStart", {"role": "assistant"}, "open"),
        ("contentBlockDelta", {"delta": {"text": "é"}, "contentBlockIndex": 0}, "piece"),
        ("contentBlockDelta", {"delta": {"text": " b"}, "contentBlockIndex": 0}, "piece"),
        ("contentBlockStop", {"contentBlockIndex": 0}, "open"),
        ("messageStop", {"stopReason": "end_turn"}, "end"),
        (
            "metadata",
            {
                "usage": {
                    "inputTokens": 7,
                    "outputTokens": 1,
                    "totalTokens": 8,
                    "cacheReadInputTokens": 0,
                    "cacheWriteInputTokens": 0,
                },
                "metrics": {"latencyMs": 1},
            },
            "end",
        ),
    ]
    assert [(event.data, event.kind) for event in events] == [
        (
            eventstream.event(kind, json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()),
            when,
        )
        for kind, fields, when in said
    ]


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "content_filtered"),
        ("guardrail_intervened", "guardrail_intervened"),
    ],
)
def test_finish_reasons_are_in_bedrock_s_words(finish: str, reason: str) -> None:
    answer = json.loads(Bedrock().whole(Reply("x", finish=finish), decode(CONVERSE)))
    assert answer["stopReason"] == reason
    assert reason in MODEL.shape_for("StopReason").enum


def test_what_was_read_from_the_cache_is_counted_apart() -> None:
    usage = json.loads(Bedrock().whole(REPLIES[-1], decode(CONVERSE)))["usage"]
    assert (usage["inputTokens"], usage["cacheReadInputTokens"]) == (6, 4)
    assert (usage["outputTokens"], usage["totalTokens"]) == (5, 15)


def test_thinking_tokens_are_told_when_the_request_asks_for_the_model_s_usage() -> None:
    body = {**CONVERSE, "additionalModelResponseFieldPaths": ["/usage"]}
    answer = json.loads(Bedrock().whole(REPLIES[-1], decode(body)))
    assert answer["additionalModelResponseFields"]["usage"]["output_tokens_details"]["thinking_tokens"] == 2
    stop = dict(converse_events(REPLIES[-1], body))["messageStop"]
    assert stop["additionalModelResponseFields"] == answer["additionalModelResponseFields"]
    assert "additionalModelResponseFields" not in json.loads(Bedrock().whole(REPLIES[-1], decode(CONVERSE)))


# -- models that are invoked ------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", REPLIES)
def test_claude_s_chunks_are_a_message_and_end_with_what_it_cost(reply: Reply) -> None:
    shape = MODEL.operation_model("InvokeModelWithResponseStream").output_shape.members["body"]
    validate({"bytes": b""}, shape.members["chunk"])
    events = claude_events(reply)
    assert events[0]["type"] == "message_start"
    assert events[0]["message"]["model"] == CLAUDE_ID
    assert "ping" not in [event["type"] for event in events]
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    whole = json.loads(Bedrock().whole(reply, decode(CLAUDE, "invoke")))
    assert events[-2]["delta"]["stop_reason"] == whole["stop_reason"]
    metrics = events[-1]["amazon-bedrock-invocationMetrics"]
    assert metrics["inputTokenCount"] == whole["usage"]["input_tokens"]
    assert metrics["outputTokenCount"] == whole["usage"]["output_tokens"]
    assert metrics["cacheReadInputTokenCount"] == whole["usage"]["cache_read_input_tokens"]


def test_the_marks_of_claude_s_stream_are_kept() -> None:
    events = Bedrock().events(Reply("one two"), decode(CLAUDE, "invoke-with-response-stream"))
    assert [[*event.without] for event in events if event.kind == "end"] == [
        ["finish", "usage"],
        ["terminal", "usage"],
    ]


def test_an_answer_of_an_invoked_model_counts_tokens_in_headers() -> None:
    codec = Bedrock()
    headers = codec.answer_headers(REPLIES[-1], decode(CLAUDE, "invoke"))
    assert headers["x-amzn-bedrock-input-token-count"] == "6"
    assert headers["x-amzn-bedrock-output-token-count"] == "5"
    assert headers["x-amzn-bedrock-cache-read-input-token-count"] == "4"
    streamed = codec.answer_headers(REPLIES[-1], decode(CLAUDE, "invoke-with-response-stream"))
    members = MODEL.operation_model("InvokeModelWithResponseStream").output_shape.members
    assert list(streamed) == [members["contentType"].serialization["name"].lower()]
    assert codec.answer_headers(REPLIES[-1], decode(CONVERSE)) == {}


@pytest.mark.parametrize(
    ("model", "asked", "size"),
    [
        ("amazon.titan-embed-text-v1", {}, 1536),
        (TITAN_ID, {}, 1024),
        (TITAN_ID, {"dimensions": 256}, 256),
    ],
)
def test_titan_embeds_one_text(model: str, asked: dict[str, int], size: int) -> None:
    request = decode({**TITAN, **asked}, "invoke", model)
    assert request.nonce == NONCE
    assert json.loads(Bedrock().whole(Reply(), request)) == {
        "embedding": embed(TITAN["inputText"], size),
        "inputTextTokenCount": 6,
    }
    assert Bedrock().answer_headers(Reply("never said"), request)["x-amzn-bedrock-output-token-count"] == "0"


def test_titan_also_gives_embeddings_by_type_when_types_are_asked_for() -> None:
    request = decode({**TITAN, "embeddingTypes": ["float", "binary"]}, "invoke", TITAN_ID)
    answer = json.loads(Bedrock().whole(Reply(), request))
    assert answer["embeddingsByType"] == {
        "float": answer["embedding"],
        "binary": [int(component > 0) for component in answer["embedding"]],
    }


@pytest.mark.parametrize(
    ("model", "asked", "size"),
    [
        (COHERE_ID, {}, 1024),
        ("us.cohere.embed-v4:0", {}, 1536),
        ("cohere.embed-v4:0", {"output_dimension": 256}, 256),
    ],
)
def test_cohere_embeds_each_text(model: str, asked: dict[str, int], size: int) -> None:
    answer = json.loads(Bedrock().whole(Reply(), decode({**COHERE, **asked}, "invoke", model)))
    assert answer.pop("id")
    assert answer == {
        "embeddings": [embed("near", size), embed("far", size)],
        "response_type": "embeddings_floats",
        "texts": ["near", "far"],
    }


def test_cohere_gives_embeddings_by_type_when_types_are_asked_for() -> None:
    request = decode({**COHERE, "embedding_types": ["float"]}, "invoke", COHERE_ID)
    answer = json.loads(Bedrock().whole(Reply(), request))
    assert answer["response_type"] == "embeddings_by_type"
    assert answer["embeddings"] == {"float": [embed("near", 1024), embed("far", 1024)]}


# -- token counts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counted", "body", "action", "where"),
    [
        ({"converse": CONVERSE}, CONVERSE, "converse", "inputTokens"),
        (
            {"invokeModel": {"body": base64.b64encode(json.dumps(CLAUDE).encode()).decode()}},
            CLAUDE,
            "invoke",
            "input_tokens",
        ),
    ],
)
def test_tokens_are_counted_as_the_answer_counts_them(
    counted: Any, body: Any, action: str, where: str
) -> None:
    request = decode({"input": counted}, "count-tokens")
    assert request.operation in Bedrock.unscripted
    answer = json.loads(Bedrock().whole(Reply("unheard"), request))
    validate(answer, MODEL.operation_model("CountTokens").output_shape)
    usage = json.loads(Bedrock().whole(Reply("x"), decode(body, action)))["usage"]
    assert answer["inputTokens"] == usage[where] > 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"input": {}},
        {"input": {"converse": 1}},
        {"input": {"invokeModel": {"body": "???"}}},
        {"input": {"invokeModel": {"body": "é"}}},
    ],
)
def test_a_count_of_something_else_is_400(body: Any) -> None:
    assert rejected(body, "count-tokens").status == 400


# -- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["Converse", "ConverseStream", "InvokeModel", "CountTokens"])
def test_errors_have_the_names_that_the_service_model_gives_their_status(operation: str) -> None:
    shapes = MODEL.operation_model(operation).error_shapes
    named = {shape.name: shape.metadata["error"]["httpStatusCode"] for shape in shapes}
    codec = Bedrock()
    for status in named.values():
        assert named[codec.error_headers(status)["x-amzn-errortype"]] == status
    assert codec.error_headers(502) == {}
    assert json.loads(codec.error(429, "slow down", {})) == {"message": "slow down"}


@pytest.mark.parametrize(
    ("operation", "member"), [("ConverseStream", "stream"), ("InvokeModelWithResponseStream", "body")]
)
@pytest.mark.parametrize("status", [400, 424, 429, 500, 503])
def test_an_exception_in_a_stream_is_one_that_the_service_model_knows(
    operation: str, member: str, status: int
) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(failed(status, "no"))
    (message,) = buffer
    shape = MODEL.operation_model(operation).output_shape.members[member].members
    exception = shape[message.headers[":exception-type"]]
    assert exception.metadata["exception"]
    assert exception.metadata["error"]["httpStatusCode"] == status
    validate(json.loads(message.payload), exception)


def test_an_error_that_the_stream_does_not_know_is_an_error_frame() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(failed(408, "too slow") + failed(502, "gone"))
    headers = [message.headers for message in buffer]
    assert [(h[":message-type"], h[":error-code"], h[":error-message"]) for h in headers] == [
        ("error", "ModelTimeoutException", "too slow"),
        ("error", "InternalFailure", "gone"),
    ]


class Raw:
    """What botocore reads a stream from."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def stream(self) -> Iterator[bytes]:
        yield self.data


@pytest.mark.parametrize(
    ("operation", "reason"), [("ConverseStream", "stream"), ("InvokeModelWithResponseStream", "body")]
)
@pytest.mark.parametrize(
    ("status", "code"),
    [(429, "throttlingException"), (503, "serviceUnavailableException"), (502, "InternalFailure")],
)
def test_botocore_raises_an_error_in_a_stream(operation: str, reason: str, status: int, code: str) -> None:
    shape = MODEL.operation_model(operation).output_shape.members[reason]
    stream = EventStream(Raw(failed(status, "no")), shape, EventStreamJSONParser(), operation)
    with pytest.raises(EventStreamError, match=f"{code}.*no") as caught:
        list(stream)
    assert caught.value.response["Error"]["Code"] == code


_KEYS = st.sampled_from(
    [
        *("messages", "role", "content", "text", "system", "toolConfig", "tools", "toolSpec", "toolUse"),
        *("toolResult", "additionalModelResponseFieldPaths", "anthropic_version", "max_tokens", "type"),
        *("stop_sequences", "tool_use_id", "id", "inputText", "dimensions", "texts", "embedding_types"),
        *("output_dimension", "embeddingTypes", "input", "converse", "invokeModel", "body"),
    ]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(
    action=st.sampled_from(
        ["converse", "converse-stream", "invoke", "invoke-with-response-stream", "count-tokens"]
    ),
    change=st.dictionaries(_KEYS, _JSON, max_size=4),
    base=st.sampled_from([{}, CONVERSE, CLAUDE, TITAN, COHERE]),
)
def test_any_json_is_answered_or_rejected(action: str, change: dict[str, Any], base: dict[str, Any]) -> None:
    codec = Bedrock()
    try:
        request = decode({**base, **change}, action)
    except Rejected:
        return
    answer = codec.events(Reply("x"), request) if request.stream else codec.whole(Reply("x"), request)
    assert answer
    assert isinstance(codec.answer_headers(Reply("x"), request), dict)


def test_the_garbage_has_a_wrong_checksum() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(Bedrock.garbage)
    with pytest.raises(ChecksumMismatch):
        list(buffer)


def test_ids_of_requests_and_tool_calls_are_unique() -> None:
    codec = Bedrock()
    reply = Reply(tool_calls=[ToolCall("a"), ToolCall("a")])
    answers = [json.loads(codec.whole(reply, decode(CONVERSE))) for _ in range(50)]
    ids = {block["toolUse"]["toolUseId"] for a in answers for block in a["output"]["message"]["content"]}
    assert len(ids) == 100
    assert len({codec.headers()["x-amzn-requestid"] for _ in range(50)}) == 50
