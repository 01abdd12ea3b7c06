"""Gemini's codec: what it reads from a request, and exactly what it sends."""

import json
from typing import Any

import pytest
from google.genai import errors
from google.genai.types import ContentEmbedding, FinishReason, GenerateContentResponse, Model

from langchain_prodtest.script import Reply, Request, ToolCall, Usage
from langchain_prodtest.vectors import embed
from langchain_prodtest.wire.codec import Head, Rejected
from langchain_prodtest.wire.gemini import Gemini

NONCE = "pt-00000000000000aa"
USER = {"role": "user", "parts": [{"text": f"Say it. {NONCE}"}]}
BODY: dict[str, Any] = {"contents": [USER]}

REPLIES = [
    Reply("Grüße, 世界 \U0001f600!"),
    Reply(""),
    Reply("cut", finish="length"),
    Reply("no", finish="content_filter"),
    Reply("I will not", finish="refusal"),
    Reply("said before", finish="RECITATION"),
    Reply(tool_calls=[ToolCall("book", {"seat": "12Ä", "n": 1}), ToolCall("pay")]),
    Reply("I book.", tool_calls=[ToolCall("book", {}, id="mine")]),
    Reply("thought it over", reasoning="because " * 8),
    Reply("counted in tokens", usage=Usage(input=10, output=5, cached=4, reasoning=2)),
]


def head(method: str = "generateContent", model: str = "gemini-2.5-flash", **changes: Any) -> Head:
    path = f"/v1beta/models/{model}:{method}"
    return Head("gemini", "POST", path, {}, 1_800_000_000.5)._replace(**changes)


def decode(body: object = BODY, method: str = "generateContent", **changes: Any) -> Request:
    return Gemini().decode(head(method, **changes), json.dumps(body).encode())


def whole(reply: Reply, request: Request | None = None) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(Gemini().whole(reply, request or decode()))
    return fields


def chunks(reply: Reply) -> list[dict[str, Any]]:
    events = [event.data for event in Gemini().events(reply, decode(method="streamGenerateContent"))]
    for event in events:
        assert event.startswith(b"data: ")
        assert event.endswith(b"\r\n\r\n")
        assert event.count(b"\n") == 2
    return [json.loads(event[6:]) for event in events]


# -- requests ---------------------------------------------------------------------------------------------


def test_a_request_is_read_into_its_fields() -> None:
    book = {"name": "book", "parameters": {"type": "OBJECT"}}
    tools = [{"functionDeclarations": [book, {"name": "pay"}]}, {"googleSearch": {}}]
    request = decode({**BODY, "tools": tools, "systemInstruction": {"parts": [{"text": "Be short."}]}})
    assert (request.provider, request.operation, request.model) == ("gemini", "chat", "gemini-2.5-flash")
    assert request.messages == [
        {"role": "system", "content": [{"text": "Be short."}]},
        {"role": "user", "content": USER["parts"]},
    ]
    assert request.tools == [
        {"type": "function", "function": book},
        {"type": "function", "function": {"name": "pay"}},
    ]
    assert (request.nonce, request.received) == (NONCE, 1_800_000_000.5)
    assert (request.attempt, request.attempt_source) == (1, "digest")


def test_the_path_alone_decides_whether_an_answer_is_streamed() -> None:
    assert not decode({**BODY, "stream": True}).stream
    assert decode(method="streamGenerateContent").stream


@pytest.mark.parametrize("version", ["v1", "v1alpha", "v1beta"])
def test_every_version_of_the_api_is_served(version: str) -> None:
    assert decode(path=f"/{version}/models/gemini-3-pro:countTokens").model == "gemini-3-pro"


def test_the_digest_is_of_what_is_said() -> None:
    same = decode({"generationConfig": {"temperature": 0}, **BODY}, "streamGenerateContent")
    other = decode({**BODY, "systemInstruction": {"parts": [{"text": "Be short."}]}})
    assert decode().digest == same.digest != other.digest


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1beta/models/m:generateContent"),
        ("POST", "/v1beta/models/m"),
        ("POST", "/v1beta/models:generateContent"),
        ("POST", "/v1beta/models/m:predict"),
        ("POST", "/v2/models/m:generateContent"),
        ("GET", "/"),
    ],
)
def test_an_unknown_route_is_404(method: str, path: str) -> None:
    with pytest.raises(Rejected, match="not found") as caught:
        Gemini().decode(head(path=path)._replace(method=method), b"{}")
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("method", "body", "names"),
    [
        ("generateContent", "[]", "object"),
        ("generateContent", "{", "JSON"),
        ("generateContent", "{}", "contents"),
        ("generateContent", '{"contents": []}', "contents"),
        ("generateContent", '{"contents": ["hi"]}', "contents"),
        ("generateContent", '{"contents": [{"role": "user"}]}', "parts"),
        ("generateContent", '{"contents": [{"parts": "hi"}]}', "parts"),
        ("generateContent", '{"contents": [{"parts": [{}]}], "tools": {"a": 1}}', "tools"),
        (
            "generateContent",
            '{"contents": [{"parts": [{}]}], "tools": [{"functionDeclarations": 1}]}',
            "functionDeclarations",
        ),
        ("generateContent", '{"contents": [{"parts": [{}]}], "systemInstruction": 1}', "systemInstruction"),
        ("countTokens", '{"generateContentRequest": 1}', "generateContentRequest"),
        ("embedContent", "{}", "content"),
        ("batchEmbedContents", "{}", "requests"),
        ("batchEmbedContents", '{"requests": [{}]}', "content"),
        ("embedContent", '{"content": {"parts": [{}]}, "outputDimensionality": 9999}', "1 to 768"),
        ("embedContent", '{"content": {"parts": [{}]}, "outputDimensionality": "x"}', "1 to 768"),
    ],
)
def test_a_wrong_body_is_400_and_says_what_is_wrong(method: str, body: str, names: str) -> None:
    with pytest.raises(Rejected, match=names) as caught:
        Gemini().decode(head(method), body.encode())
    assert caught.value.status == 400


# -- answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", REPLIES)
def test_whole_answers_and_chunks_are_what_the_sdk_s_types_allow(reply: Reply) -> None:
    """These types forbid unknown fields."""
    for fields in [whole(reply), *chunks(reply)]:
        answer = GenerateContentResponse.model_validate(fields)
        assert answer.model_version == "gemini-2.5-flash"
        assert answer.candidates


@pytest.mark.parametrize("reply", REPLIES)
def test_the_finish_reason_is_one_of_the_enumeration_and_comes_last(reply: Reply) -> None:
    given = whole(reply)["candidates"][0]["finishReason"]
    streamed = [chunk["candidates"][0].get("finishReason") for chunk in chunks(reply)]
    assert given in set(FinishReason)
    assert streamed == [None] * (len(streamed) - 1) + [given]


@pytest.mark.parametrize(
    ("reply", "reason"),
    list(
        zip(
            REPLIES,
            ["STOP", "STOP", "MAX_TOKENS", "SAFETY", "STOP", "RECITATION", *["STOP"] * 4],
            strict=True,
        )
    ),
)
def test_finish_reasons_are_given_in_gemini_s_words(reply: Reply, reason: str) -> None:
    assert whole(reply)["candidates"][0]["finishReason"] == reason


@pytest.mark.parametrize("reply", REPLIES)
def test_a_stream_put_together_is_the_whole_answer(reply: Reply) -> None:
    def said(answers: list[dict[str, Any]]) -> tuple[str, str, list[Any]]:
        parts = [part for answer in answers for part in answer["candidates"][0]["content"]["parts"]]
        thoughts = "".join(part["text"] for part in parts if part.get("thought"))
        text = "".join(part.get("text", "") for part in parts if not part.get("thought"))
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        return thoughts, text, [(call["name"], call["args"]) for call in calls]

    assert said(chunks(reply)) == said([whole(reply)])
    assert said([whole(reply)]) == (
        reply.reasoning,
        reply.text,
        [(call.name, call.args) for call in reply.tool_calls],
    )


@pytest.mark.parametrize("reply", REPLIES)
def test_usage_grows_from_chunk_to_chunk_and_ends_as_in_the_whole_answer(reply: Reply) -> None:
    streamed = [chunk["usageMetadata"] for chunk in chunks(reply)]
    totals = [usage["totalTokenCount"] for usage in streamed]
    assert totals == sorted(totals)
    assert streamed[-1] == whole(reply)["usageMetadata"]
    for usage in streamed:
        parts = [usage.get(f"{name}TokenCount", 0) for name in ("prompt", "candidates", "thoughts")]
        assert sum(parts) == usage["totalTokenCount"]
        assert min(parts) >= 0


def test_given_usage_is_sent() -> None:
    assert whole(REPLIES[-1])["usageMetadata"] == {
        "promptTokenCount": 10,
        "candidatesTokenCount": 3,
        "totalTokenCount": 15,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 10}],
        "thoughtsTokenCount": 2,
        "cachedContentTokenCount": 4,
        "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 4}],
    }


def test_a_stream_is_exactly_these_bytes() -> None:
    events = [event.data for event in Gemini().events(Reply("é b"), decode())]
    identity = json.loads(events[0][6:])["responseId"]
    expected = [
        f'data: {{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}],"role":"model"}},'
        f'"index":0{finish}}}],"usageMetadata":{{"promptTokenCount":7,"candidatesTokenCount":{count},'
        f'"totalTokenCount":{7 + count},"promptTokensDetails":[{{"modality":"TEXT","tokenCount":7}}]}},'
        f'"modelVersion":"gemini-2.5-flash","responseId":"{identity}"}}\r\n\r\n'
        for text, count, finish in [("é", 0, ""), (" b", 0, ""), ("", 1, ',"finishReason":"STOP"')]
    ]
    assert events == [event.encode() for event in expected]


def test_function_calls_come_whole_and_have_ids() -> None:
    reply = Reply(tool_calls=[ToolCall("book", {"seat": "12A"}, id="mine"), ToolCall("book", {})])
    first, second, _ = [chunk["candidates"][0]["content"]["parts"][0] for chunk in chunks(reply)]
    assert first == {"functionCall": {"name": "book", "args": {"seat": "12A"}, "id": "mine"}}
    assert second["functionCall"]["id"]


def test_only_the_last_event_tells_that_the_answer_is_complete() -> None:
    events = Gemini().events(REPLIES[0], decode())
    assert [event.kind for event in events] == ["piece"] * (len(events) - 1) + ["end"]
    assert [[*event.without] for event in events[-2:]] == [["usage"], ["finish", "usage"]]


# -- embeddings, counts, models ---------------------------------------------------------------------------


def test_a_batch_is_embedded_in_order_with_the_dimensions_asked_for() -> None:
    requests = [{"content": {"parts": [{"text": text}]}, "outputDimensionality": 64} for text in ("a", "b")]
    given = whole(Reply(), decode({"requests": requests}, "batchEmbedContents"))["embeddings"]
    assert [ContentEmbedding.model_validate(item).values for item in given] == [
        embed("a", 64),
        embed("b", 64),
    ]


@pytest.mark.parametrize(("model", "size"), [("gemini-embedding-001", 3072), ("text-embedding-004", 768)])
def test_one_text_is_embedded_with_the_dimensions_of_the_model(model: str, size: int) -> None:
    request = Gemini().decode(head("embedContent", model), b'{"content": {"parts": [{"text": "a"}]}}')
    assert request.operation == "embeddings"
    assert whole(Reply(), request) == {"embedding": {"values": embed("a", size)}}


@pytest.mark.parametrize("body", [BODY, {"generateContentRequest": {"model": "models/m", **BODY}}])
def test_tokens_are_counted_as_in_the_usage_of_an_answer(body: dict[str, Any]) -> None:
    counted = whole(Reply(), decode(body, "countTokens"))
    assert counted["totalTokens"] == whole(Reply("hi"))["usageMetadata"]["promptTokenCount"]


def test_models_are_listed_and_described() -> None:
    listed = whole(Reply(), Gemini().decode(head(path="/v1beta/models")._replace(method="GET"), b""))
    one = whole(Reply(), Gemini().decode(head(path="/v1beta/models/m")._replace(method="GET"), b""))
    assert [model["name"] for model in listed["models"]] == ["models/prodtest"]
    assert one["name"] == "models/m"
    known = {field.alias for field in Model.model_fields.values()} | {"supportedGenerationMethods"}
    assert set(one) <= known


# -- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "named"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (418, "FAILED_PRECONDITION"),
        (429, "RESOURCE_EXHAUSTED"),
        (503, "UNAVAILABLE"),
        (529, "INTERNAL"),
    ],
)
def test_an_error_is_exactly_these_bytes(status: int, named: str) -> None:
    body = {"error": {"code": status, "message": "no", "status": named}}
    assert json.loads(Gemini().error(status, "no", {})) == body
    assert errors.APIError(0, body).status == named
    event = Gemini().error_event(status, "no", decode(), 0)
    assert event == b"data: %b\r\n\r\n" % Gemini().error(status, "no", {})


def test_the_garbage_event_is_framed_well_and_is_not_json() -> None:
    assert Gemini.garbage.startswith(b"data: ")
    assert Gemini.garbage.endswith(b"\r\n\r\n")
    with pytest.raises(json.JSONDecodeError):
        json.loads(Gemini.garbage[6:])
