"""Cohere's codec: what it reads from a request, and exactly what it sends."""

import base64
import json
import struct
from typing import Any, get_args

import pytest
from cohere.types import EmbedByTypeResponse, EmbedFloatsResponse, GetModelResponse, TokenizeResponse
from cohere.types.chat_finish_reason import ChatFinishReason
from cohere.v2.types import V2ChatResponse, V2ChatStreamResponse, V2RerankResponse
from pydantic import BaseModel, TypeAdapter

from langchain_prodtest.script import Reply, Request, ToolCall, Usage
from langchain_prodtest.vectors import embed
from langchain_prodtest.wire.codec import Head, Rejected
from langchain_prodtest.wire.cohere import Cohere
from langchain_prodtest.wire.quantized import as_int8
from tests.wire.walk import unknown_fields

NONCE = "pt-00000000000000aa"
USER = {"role": "user", "content": f"Say it. {NONCE}"}
BODY: dict[str, Any] = {"model": "command-a", "messages": [USER]}
FINISH_REASONS = set(get_args(get_args(ChatFinishReason)[0]))
STREAMED: TypeAdapter[BaseModel] = TypeAdapter(V2ChatStreamResponse)

REPLIES = [
    Reply("Grüße, 世界 \U0001f600!"),
    Reply(""),
    Reply("cut", finish="length"),
    Reply("no", finish="content_filter"),
    Reply("I will not", finish="refusal"),
    Reply("as told", finish="STOP_SEQUENCE"),
    Reply(tool_calls=[ToolCall("book", {"seat": "12Ä", "n": 1}), ToolCall("pay")]),
    Reply("I book it.", tool_calls=[ToolCall("book", {}, id="mine")]),
    Reply("thought it over", reasoning="because " * 8),
    Reply("counted", usage=Usage(input=10, output=5, cached=4)),
]


def head(path: str = "/v2/chat", method: str = "POST") -> Head:
    return Head("cohere", method, path, {}, 1_800_000_000.5)


def decode(body: object = BODY, path: str = "/v2/chat") -> Request:
    return Cohere().decode(head(path), json.dumps(body).encode())


def whole(reply: Reply, request: Request | None = None) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(Cohere().whole(reply, request or decode()))
    return fields


def streamed(reply: Reply) -> list[dict[str, Any]]:
    events = [event.data for event in Cohere().events(reply, decode({**BODY, "stream": True}))]
    assert events[-1] == b"data: [DONE]\n\n"
    answers = []
    for event in events[:-1]:
        name, data, *rest = event.decode().split("\n")
        answers.append(json.loads(data.removeprefix("data: ")))
        assert (name, rest) == (f"event: {answers[-1]['type']}", ["", ""])
    return answers


def said(kind: str, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event["delta"]["message"] for event in events if event["type"] == kind]


# -- requests ---------------------------------------------------------------------------------------------


def test_a_request_is_read_into_its_fields() -> None:
    tools = [{"type": "function", "function": {"name": "book"}}]
    request = decode({**BODY, "tools": tools, "stream": True})
    assert (request.provider, request.operation, request.model) == ("cohere", "chat", "command-a")
    assert (request.messages, request.tools, request.stream) == ([USER], tools, True)
    assert (request.nonce, request.received) == (NONCE, 1_800_000_000.5)
    assert (request.attempt, request.attempt_source) == (1, "digest")


@pytest.mark.parametrize(
    ("path", "operation", "texts"),
    [
        ("/v1/embed", "embeddings", ["a", "b"]),
        ("/v2/embed", "embeddings", ["a", "b"]),
        ("/v2/rerank", "rerank", ["q", "a", "b"]),
        ("/v1/tokenize", "count_tokens", ["t"]),
    ],
)
def test_the_texts_of_other_requests_are_messages(path: str, operation: str, texts: list[str]) -> None:
    body = {"model": "m", "texts": ["a", "b"], "query": "q", "documents": ["a", "b"], "text": "t"}
    request = decode({**body, "stream": True}, path)
    assert (request.operation, request.stream) == (operation, False)
    assert [message["content"] for message in request.messages] == texts


def test_the_digest_is_of_the_operation_and_its_texts() -> None:
    texts = [message["content"] for message in BODY["messages"]]
    same = decode({**BODY, "model": "command-r", "stream": True})
    others = [decode({**BODY, "messages": [USER, USER]}), decode({**BODY, "texts": texts}, "/v2/embed")]
    assert decode().digest == same.digest
    assert len({request.digest for request in [same, *others]}) == 3


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v2/chat"), ("POST", "/v1/chat"), ("POST", "/v1/models"), ("GET", "/")]
)
def test_an_unknown_route_is_404(method: str, path: str) -> None:
    with pytest.raises(Rejected, match="not a route") as caught:
        Cohere().decode(head(path, method), b"{}")
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("path", "fields", "names"),
    [
        ("/v2/chat", {"model": None}, "model"),
        ("/v2/chat", {"messages": None}, "messages"),
        ("/v2/chat", {"messages": []}, "messages"),
        ("/v2/chat", {"messages": ["hi"]}, "messages"),
        ("/v2/chat", {"messages": [{"content": "hi"}]}, "role"),
        ("/v2/chat", {"tools": {"a": 1}}, "tools"),
        ("/v2/embed", {}, "texts"),
        ("/v2/embed", {"texts": "a"}, "texts"),
        ("/v2/embed", {"texts": ["a"], "output_dimension": 4096}, "output_dimension"),
        ("/v2/embed", {"texts": ["a"], "embedding_types": ["int4"]}, "int4"),
        ("/v2/rerank", {"documents": ["a"]}, "query"),
        ("/v2/rerank", {"query": "a"}, "documents"),
        ("/v2/rerank", {"query": "a", "documents": [{"text": "a"}]}, "documents"),
        ("/v2/rerank", {"query": "a", "documents": ["a"], "top_n": "1"}, "top_n"),
        ("/v1/tokenize", {"text": 1}, "text"),
    ],
)
def test_a_wrong_body_is_400_and_says_what_is_wrong(path: str, fields: dict[str, Any], names: str) -> None:
    with pytest.raises(Rejected, match=names) as caught:
        decode({**BODY, **fields}, path)
    assert caught.value.status == 400


# -- chat -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", REPLIES)
def test_a_whole_answer_is_what_the_sdk_s_types_describe(reply: Reply) -> None:
    answer = V2ChatResponse.model_validate(whole(reply))
    assert unknown_fields(answer) == []
    assert answer.finish_reason in FINISH_REASONS


@pytest.mark.parametrize("reply", REPLIES)
def test_every_event_is_what_the_sdk_s_types_describe(reply: Reply) -> None:
    unknown = [name for event in streamed(reply) for name in unknown_fields(STREAMED.validate_python(event))]
    opening = ["content", "tool_plan", "tool_calls", "citations"]  # sent by Cohere, not in its types
    assert unknown == opening


@pytest.mark.parametrize("reply", REPLIES)
def test_a_stream_put_together_is_the_whole_answer(reply: Reply) -> None:
    events, message = streamed(reply), whole(reply)["message"]
    deltas = [delta["content"] for delta in said("content-delta", events)]
    content = {block["type"]: block[block["type"]] for block in message.get("content", [])}
    for kind in ("text", "thinking"):
        assert "".join(delta.get(kind, "") for delta in deltas) == content.get(kind, "")
    plan = "".join(delta["tool_plan"] for delta in said("tool-plan-delta", events))
    assert plan == message.get("tool_plan", "")
    calls = [delta["tool_calls"] for delta in said("tool-call-start", events)]
    arguments: dict[int, str] = {}
    for event in events:
        if event["type"] == "tool-call-delta":
            piece = event["delta"]["message"]["tool_calls"]["function"]["arguments"]
            arguments[event["index"]] = arguments.get(event["index"], "") + piece
    assert [call["function"]["name"] for call in calls] == [call.name for call in reply.tool_calls]
    assert [json.loads(text) for text in arguments.values()] == [call.args for call in reply.tool_calls]


@pytest.mark.parametrize("reply", REPLIES)
def test_usage_and_finish_reason_are_the_same_in_stream_and_whole(reply: Reply) -> None:
    answer, *_, ending = whole(reply), *streamed(reply)
    assert ending["type"] == "message-end"
    assert ending["delta"] == {"finish_reason": answer["finish_reason"], "usage": answer["usage"]}


def test_given_usage_is_sent() -> None:
    tokens = {"input_tokens": 10, "output_tokens": 5}
    assert whole(REPLIES[-1])["usage"] == {"billed_units": tokens, "tokens": tokens, "cached_tokens": 4}


@pytest.mark.parametrize(
    ("reply", "types"),
    [
        (
            Reply("a b"),
            [
                "message-start",
                "content-start",
                "content-delta",
                "content-delta",
                "content-end",
                "message-end",
            ],
        ),
        (
            Reply("a b", tool_calls=[ToolCall("t")]),
            [
                "message-start",
                "tool-plan-delta",
                "tool-plan-delta",
                "tool-call-start",
                "tool-call-delta",
                "tool-call-end",
                "message-end",
            ],
        ),
    ],
)
def test_events_come_in_this_order(reply: Reply, types: list[str]) -> None:
    assert [event["type"] for event in streamed(reply)] == types


def test_a_stream_is_exactly_these_bytes() -> None:
    sent = b"".join(event.data for event in Cohere().events(Reply("é"), decode())).decode()
    identity = json.loads(sent.split("\n")[1].removeprefix("data: "))["id"]
    tokens = '{"input_tokens":7,"output_tokens":1}'
    message = '{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}'
    content = '{"message":{"content":{"type":"text","text":""}}}'
    usage = f'{{"billed_units":{tokens},"tokens":{tokens},"cached_tokens":0}}'
    assert sent == (
        "event: message-start\n"
        f'data: {{"id":"{identity}","type":"message-start","delta":{{"message":{message}}}}}\n\n'
        "event: content-start\n"
        f'data: {{"type":"content-start","index":0,"delta":{content}}}\n\n'
        "event: content-delta\n"
        'data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"é"}}}}\n\n'
        "event: content-end\n"
        'data: {"type":"content-end","index":0}\n\n'
        "event: message-end\n"
        f'data: {{"type":"message-end","delta":{{"finish_reason":"COMPLETE","usage":{usage}}}}}\n\n'
        "data: [DONE]\n\n"
    )


def test_only_the_last_events_tell_that_the_answer_is_complete() -> None:
    for reply in REPLIES:
        events = Cohere().events(reply, decode())
        assert [[*event.without] for event in events[-2:]] == [["finish", "usage"], ["terminal"]]
        assert all(event.kind != "end" and not event.without for event in events[:-2])


# -- embeddings, rerank, tokens, models -------------------------------------------------------------------


def test_texts_are_embedded_in_order_with_the_dimensions_asked_for() -> None:
    body = {"model": "m", "texts": ["a", "b"], "embedding_types": ["float"], "output_dimension": 64}
    answer = EmbedByTypeResponse.model_validate(whole(Reply(), decode(body, "/v2/embed")))
    assert unknown_fields(answer) == []
    assert answer.embeddings.float_ == [embed("a", 64), embed("b", 64)]
    assert answer.texts == ["a", "b"]
    assert answer.meta is not None
    assert answer.meta.billed_units is not None
    assert answer.meta.billed_units.input_tokens == 2


def test_every_embedding_type_holds_the_same_vector() -> None:
    kinds = ["float", "int8", "uint8", "binary", "ubinary", "base64"]
    body = {"model": "m", "texts": ["a booking"], "embedding_types": kinds}
    given = {
        kind: vectors[0] for kind, vectors in whole(Reply(), decode(body, "/v1/embed"))["embeddings"].items()
    }
    assert given["int8"] == as_int8(given["float"])
    assert given["uint8"] == [byte + 128 for byte in given["int8"]]
    assert given["ubinary"] == [byte + 128 for byte in given["binary"]]
    assert (len(given["float"]), len(given["binary"])) == (1024, 128)
    packed = base64.b64decode(given["base64"])
    assert struct.unpack("<1024f", packed) == pytest.approx(given["float"], abs=1e-6)


def test_without_types_the_embeddings_are_plain_lists() -> None:
    answer = whole(Reply(), decode({"model": "m", "texts": ["a"]}, "/v1/embed"))
    assert EmbedFloatsResponse.model_validate(answer).embeddings == [embed("a", 1024)]
    assert answer["response_type"] == "embeddings_floats"


def test_the_documents_nearest_to_the_query_come_first() -> None:
    documents = ["a long winter", "seats on the train", "book a seat on a train"]
    body = {"model": "m", "query": "book a train seat", "documents": documents, "top_n": 2}
    answer = V2RerankResponse.model_validate(whole(Reply(), decode(body, "/v2/rerank")))
    assert unknown_fields(answer) == []
    assert [result.index for result in answer.results] == [2, 1]
    scores = [result.relevance_score for result in answer.results]
    assert 1 >= scores[0] > scores[1] >= 0


def test_all_documents_are_ranked_unless_fewer_are_asked_for() -> None:
    body = {"model": "m", "query": "a", "documents": ["b", "c", "a"]}
    results = whole(Reply(), decode(body, "/v2/rerank"))["results"]
    assert sorted(result["index"] for result in results) == [0, 1, 2]
    assert results[0] == {"index": 2, "relevance_score": pytest.approx(1)}


def test_tokens_are_counted_as_in_the_usage_of_an_answer() -> None:
    answer = TokenizeResponse.model_validate(
        whole(Reply(), decode({"model": "m", "text": USER["content"]}, "/v1/tokenize"))
    )
    assert "".join(answer.token_strings) == USER["content"]
    assert len(answer.tokens) == whole(Reply("hi"))["usage"]["tokens"]["input_tokens"]


def test_models_are_listed_and_described() -> None:
    listed = whole(Reply(), Cohere().decode(head("/v1/models", "GET"), b""))["models"]
    one = whole(Reply(), Cohere().decode(head("/v1/models/command-a", "GET"), b""))
    assert [model["name"] for model in [*listed, one]] == ["prodtest", "command-a"]
    assert unknown_fields(GetModelResponse.model_validate(one)) == []


# -- errors -----------------------------------------------------------------------------------------------


def test_an_error_is_a_message_with_an_id() -> None:
    error = json.loads(Cohere().error(429, "slow down", {}))
    assert error == {"id": error["id"], "message": "slow down"}


def test_an_error_in_a_stream_is_a_message_end_that_says_so() -> None:
    event = Cohere().error_event(500, "no", decode(), 0)
    assert event.startswith(b"event: message-end\ndata: ")
    fields = json.loads(event.split(b"data: ")[1])
    assert unknown_fields(STREAMED.validate_python(fields)) == []
    assert fields["delta"] == {"error": "no", "finish_reason": "ERROR"}


def test_the_garbage_event_is_framed_well_and_is_not_json() -> None:
    name, data, *rest = Cohere.garbage.decode().split("\n")
    assert (name, rest) == ("event: content-delta", ["", ""])
    with pytest.raises(json.JSONDecodeError):
        json.loads(data.removeprefix("data: "))
