"""Perplexity's codec: answers with sources, its agent, embeddings and search."""

import json
from base64 import b64decode
from typing import Any

import pytest
from perplexity.generated import api  # what perplexity.types takes its names from
from pydantic import BaseModel, TypeAdapter

from langchain_prodtest.script import Reply, Request, ToolCall, Usage
from langchain_prodtest.vectors import embed
from langchain_prodtest.wire.codec import Head, Rejected
from langchain_prodtest.wire.perplexity import Perplexity
from langchain_prodtest.wire.quantized import as_bits, as_int8
from tests.wire.walk import unknown_fields

NONCE = "pt-00000000000000aa"
USER = {"role": "user", "content": f"Say it. {NONCE}"}
BODY: dict[str, Any] = {"model": "sonar", "messages": [USER]}
AGENT: dict[str, Any] = {"model": "openai/gpt-5", "input": [{**USER, "type": "message"}]}
STREAMED: TypeAdapter[BaseModel] = TypeAdapter(api.ResponseStreamChunk)
STREAMED.rebuild(_types_namespace=vars(api))

REPLIES = [
    Reply("Grüße, 世界 \U0001f600!"),
    Reply(""),
    Reply("cut", finish="length"),
    Reply("no", finish="content_filter"),
    Reply("I book.", tool_calls=[ToolCall("book", {"seat": "12Ä"}, id="mine"), ToolCall("pay")]),
    Reply(tool_calls=[ToolCall("book", {"n": 1})]),
    Reply("thought it over", reasoning="because " * 8),
    Reply("counted in tokens", usage=Usage(input=10, output=5, cached=4, reasoning=2)),
]


def head(path: str = "/chat/completions", **headers: str) -> Head:
    return Head("perplexity", "POST", path, headers, 1_800_000_000.5)


def decode(body: object = BODY, path: str = "/chat/completions") -> Request:
    return Perplexity().decode(head(path), json.dumps(body).encode())


def agent(**fields: Any) -> Request:
    return decode({**AGENT, **fields}, "/v1/responses")


def whole(reply: Reply, request: Request | None = None) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(Perplexity().whole(reply, request or decode()))
    return fields


def chunks(reply: Reply, request: Request | None = None) -> list[dict[str, Any]]:
    events = Perplexity().events(reply, request or decode({**BODY, "stream": True}))
    assert events[-1].data == b"data: [DONE]\n\n"
    return [json.loads(event.data.removeprefix(b"data: ")) for event in events[:-1]]


def agent_events(reply: Reply, request: Request | None = None) -> list[dict[str, Any]]:
    told = []
    for event in Perplexity().events(reply, request or agent(stream=True)):
        name, data, *rest = event.data.decode().split("\n")
        told.append(json.loads(data.removeprefix("data: ")))
        assert (name, rest) == (f"event: {told[-1]['type']}", ["", ""])
    return told


# -- chat -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", REPLIES)
def test_whole_answers_and_chunks_are_what_the_sdk_s_types_describe(reply: Reply) -> None:
    for fields in [whole(reply), *chunks(reply)]:
        assert unknown_fields(api.StreamChunk.model_validate(fields)) == []
        assert isinstance(fields["choices"][0]["message"]["content"], str)


@pytest.mark.parametrize("reply", REPLIES)
def test_each_chunk_holds_the_message_so_far_and_its_last_piece(reply: Reply) -> None:
    text = ""
    for chunk in chunks(reply):
        (choice,) = chunk["choices"]
        text += choice["delta"]["content"]
        assert choice["message"]["content"] == text
    answer = whole(reply)["choices"][0]
    assert (text, choice["finish_reason"]) == (answer["message"]["content"], answer["finish_reason"])
    assert choice["message"].get("tool_calls", []) == [
        {**call, "id": told["id"]}
        for call, told in zip(
            answer["message"].get("tool_calls", []), choice["message"].get("tool_calls", []), strict=True
        )
    ]
    assert text.endswith(reply.text)
    assert (reply.reasoning in text) or not reply.reasoning


@pytest.mark.parametrize(
    ("reply", "reason"), [(REPLIES[0], "stop"), (REPLIES[2], "length"), (REPLIES[4], "stop")]
)
def test_an_answer_ends_by_stop_or_by_length(reply: Reply, reason: str) -> None:
    assert whole(reply)["choices"][0]["finish_reason"] == reason


@pytest.mark.parametrize("reply", REPLIES)
def test_usage_grows_from_chunk_to_chunk_and_ends_as_in_the_whole_answer(reply: Reply) -> None:
    told = [chunk["usage"] for chunk in chunks(reply)]
    totals = [usage["total_tokens"] for usage in told]
    assert totals == sorted(totals)
    assert told[-1] == whole(reply)["usage"]
    assert ["request_cost" in usage["cost"] for usage in told] == [False] * (len(told) - 1) + [True]


def test_given_usage_is_sent_with_its_cost() -> None:
    usage = whole(REPLIES[-1])["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (10, 5, 15)
    assert usage["reasoning_tokens"] == 2
    parts = [usage["cost"][f"{name}_cost"] for name in ("input_tokens", "output_tokens", "request")]
    assert sum(parts) == pytest.approx(usage["cost"]["total_cost"])


def test_reasoning_is_told_in_the_text() -> None:
    content = whole(Reply("done", reasoning="because"))["choices"][0]["message"]["content"]
    assert content == "<think>\nbecause\n</think>\n\ndone"


def test_a_stream_is_exactly_these_bytes() -> None:
    events = [
        event.data for event in Perplexity().events(Reply("é"), decode({**BODY, "disable_search": True}))
    ]
    identity = json.loads(events[0][6:])["id"]
    start = (
        f'data: {{"id":"{identity}","object":"chat.completion.chunk","created":1800000000,"model":"sonar",'
        '"citations":[],"search_results":[],"choices":[{"index":0,"finish_reason":'
    )
    message = '"message":{"role":"assistant","content":"é"},"delta":{"role":"assistant","content":'
    usage = '"usage":{"prompt_tokens":7,"completion_tokens":'
    cost = '"search_context_size":"low","cost":{"input_tokens_cost":7e-6,"output_tokens_cost":'
    assert b"".join(events).decode() == (
        f'{start}null,{message}"é"}}}}],{usage}0,"total_tokens":7,{cost}0.0,"total_cost":7e-6}}}}}}\n\n'
        f'{start}"stop",{message}""}}}}],{usage}1,"total_tokens":8,{cost}1e-6,"total_cost":0.005008,'
        '"request_cost":0.005}}}\n\n'
        "data: [DONE]\n\n"
    )


def test_the_attempt_is_the_client_s_retry_mark() -> None:
    marked = head(**{"x-stainless-retry-count": "2"})
    request = Perplexity().decode(marked, json.dumps(BODY).encode())
    assert (request.attempt, request.attempt_source) == (3, "header")


# -- sources ----------------------------------------------------------------------------------------------


def test_an_answer_names_its_sources_the_same_for_the_same_question() -> None:
    first, again = whole(Reply("a")), whole(Reply("b"))
    assert first["citations"] == [result["url"] for result in first["search_results"]]
    assert len(first["citations"]) == 2
    assert first["citations"] == again["citations"] == chunks(Reply("c"))[0]["citations"]
    assert whole(Reply("a"), decode({**BODY, "messages": [USER, USER]}))["citations"] != first["citations"]


def test_search_can_be_disabled() -> None:
    answer = whole(Reply("a"), decode({**BODY, "disable_search": True}))
    assert (answer["citations"], answer["search_results"]) == ([], [])


def test_images_and_related_questions_are_told_where_they_are_asked_for() -> None:
    asked = whole(Reply("a"), decode({**BODY, "return_images": True, "return_related_questions": True}))
    assert [image["origin_url"] for image in asked["images"]] == asked["citations"]
    assert len(asked["related_questions"]) == 2
    assert not {"images", "related_questions"} & set(whole(Reply("a")))


@pytest.mark.parametrize(("limit", "count"), [(None, 2), (1, 1)])
def test_a_search_has_results(limit: int | None, count: int) -> None:
    request = decode({"query": "trains", "max_results": limit}, "/search")
    assert (request.operation, request.messages[0]["content"]) == ("web_search", "trains")
    answer = api.SearchCreateResponse.model_validate(whole(Reply(), request))
    assert unknown_fields(answer) == []
    assert [result.title for result in answer.results] == [
        f"Page {number} on trains" for number in range(1, count + 1)
    ]


# -- agent ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("tools", [[], [{"type": "web_search"}]])
def test_responses_and_their_events_are_what_the_sdk_s_types_describe(
    reply: Reply, tools: list[dict[str, Any]]
) -> None:
    answer = api.ResponseCreateResponse.model_validate(whole(reply, agent(tools=tools)))
    assert unknown_fields(answer) == []
    assert answer.output_text == reply.text
    for event in agent_events(reply, agent(tools=tools, stream=True)):
        assert unknown_fields(STREAMED.validate_python(event)) == []


@pytest.mark.parametrize("reply", REPLIES)
def test_events_put_together_are_the_response(reply: Reply) -> None:
    events = agent_events(reply)
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert text == reply.text
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    last = events[-1]
    assert (last["type"], last["response"]["output"]) == ("response.completed", done)
    assert last["response"]["usage"] == whole(reply, agent())["usage"]
    calls = [item for item in done if item["type"] == "function_call"]
    assert [json.loads(call["arguments"]) for call in calls] == [call.args for call in reply.tool_calls]


def test_a_response_that_failed_says_why() -> None:
    reply = Reply("no", finish="error")
    answer = api.ResponseCreateResponse.model_validate(whole(reply, agent()))
    assert unknown_fields(answer) == []
    assert (answer.status, answer.output) == ("failed", [])
    events = agent_events(reply)
    assert [unknown_fields(STREAMED.validate_python(event)) for event in events] == [[], [], []]
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["error"] == whole(reply, agent())["error"]
    assert events[-1]["error"]["message"] == "no"


def test_only_the_last_event_tells_that_the_response_is_complete() -> None:
    events = Perplexity().events(REPLIES[0], agent(stream=True))
    assert (events[-1].kind, [*events[-1].without]) == ("end", ["terminal", "finish", "usage"])
    assert all(event.kind != "end" for event in events[:-1])


def test_web_search_is_told_with_its_results() -> None:
    request = agent(tools=[{"type": "web_search"}])
    found = whole(Reply("a"), request)["output"][0]
    assert (found["type"], found["queries"]) == ("search_results", [USER["content"]])
    told = {event["type"]: event for event in agent_events(Reply("a"), request)}
    assert told["response.reasoning.search_results"]["results"] == found["results"]


# -- embeddings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "size"), [({"model": "pplx-embed-v1-4b"}, 2560), ({"model": "pplx-embed-v1-0.6b"}, 1024)]
)
def test_vectors_are_signed_bytes_in_base64(fields: dict[str, Any], size: int) -> None:
    answer = whole(Reply(), decode({"input": ["a", "b"], **fields}, "/v1/embeddings"))
    assert unknown_fields(api.EmbeddingCreateResponse.model_validate(answer)) == []
    for text, item in zip("ab", answer["data"], strict=True):
        packed = b64decode(item["embedding"])
        assert [byte - 256 if byte > 127 else byte for byte in packed] == as_int8(embed(text, size))


def test_vectors_may_be_bits_and_of_fewer_dimensions() -> None:
    body = {"model": "m", "input": "a", "dimensions": 128, "encoding_format": "base64_binary"}
    (item,) = whole(Reply(), decode(body, "/v1/embeddings"))["data"]
    assert b64decode(item["embedding"]) == as_bits(embed("a", 128))


# -- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/chat/completions", {"messages": []}, 400),
        ("/v1/responses", {}, 400),
        ("/v1/embeddings", {"input": 1}, 400),
        ("/v1/embeddings", {"input": "a", "encoding_format": "float"}, 400),
        ("/search", {}, 400),
        ("/search", {"query": [1]}, 400),
        ("/v1/moderations", {"input": "a"}, 404),
    ],
)
def test_a_wrong_request_is_refused(path: str, body: dict[str, Any], status: int) -> None:
    with pytest.raises(Rejected) as caught:
        decode({"model": "m", **body}, path)
    assert caught.value.status == status


def test_an_error_has_openai_s_shape_and_none_of_its_headers() -> None:
    codec = Perplexity()
    assert set(json.loads(codec.error(400, "no", {}))["error"]) == {"message", "type", "param", "code"}
    assert set(codec.headers()) == {"x-request-id"}
    assert codec.error_headers(429) == {}


def test_an_error_in_the_agent_s_stream_is_an_event_of_its_own() -> None:
    event = Perplexity().error_event(500, "it broke", agent(stream=True), 7)
    assert event.startswith(b"event: response.failed\ndata: ")
    told = json.loads(event.partition(b"data: ")[2])
    assert unknown_fields(STREAMED.validate_python(told)) == []
    assert (told["sequence_number"], told["error"]["message"]) == (7, "it broke")
