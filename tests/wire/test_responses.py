"""OpenAI's Responses API: what is read from a request, and exactly what is sent."""

import json
from typing import Any

import pytest
from openai.types.responses import Response, ResponseErrorEvent, ResponseStreamEvent
from pydantic import TypeAdapter

from langchain_prodtest.script import Reply, Request, ToolCall, Usage
from langchain_prodtest.wire.codec import Event, Head, Rejected
from langchain_prodtest.wire.openai import OpenAI
from tests.wire.generation import OPENAI_2
from tests.wire.walk import unknown_fields

NONCE = "pt-00000000000000aa"
BODY: dict[str, Any] = {"model": "gpt-5", "input": f"Say it. {NONCE}"}
EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
CALLS = [ToolCall("book", {"seat": "12Ä", "n": 1}), ToolCall("pay", id="call_mine")]

REPLIES = [
    Reply("Grüße, 世界 \U0001f600!"),
    Reply(""),
    Reply("cut off", finish="length"),
    Reply("filtered", finish="content_filter"),
    Reply("I will not say that.", finish="refusal"),
    Reply("it broke", finish="error"),
    Reply(tool_calls=CALLS),
    Reply("I book.", tool_calls=CALLS, reasoning="because of this"),
    Reply("thought", reasoning="because of this"),
    Reply("counted", usage=Usage(input=10, output=5, cached=4, reasoning=2)),
]
ASKED: dict[str, Any] = {
    "reasoning": {"effort": "low", "summary": "auto"},
    "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
}


def decode(codec: OpenAI | None = None, **changes: Any) -> Request:
    head = Head("openai", "POST", "/v1/responses", {}, 1_800_000_000.5)
    return (codec or OpenAI()).decode(head, json.dumps({**BODY, **changes}).encode())


def whole(reply: Reply, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(OpenAI().whole(reply, decode(**changes)))
    return fields


def events(reply: Reply, **changes: Any) -> list[Event]:
    return OpenAI().events(reply, decode(stream=True, **changes))


def told(reply: Reply, **changes: Any) -> list[dict[str, Any]]:
    fields = []
    for event in events(reply, **changes):
        kind, data, *rest = event.data.decode().split("\n")
        assert rest == ["", ""]
        fields.append(json.loads(data.removeprefix("data: ")))
        assert kind == f"event: {fields[-1]['type']}"
    return fields


def same_but_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: same_but_ids(v) for k, v in value.items() if k not in ("id", "item_id", "call_id")}
    return [same_but_ids(one) for one in value] if isinstance(value, list) else value


# -- requests ---------------------------------------------------------------------------------------------


def test_text_is_the_message_of_the_user_and_instructions_stand_before_it() -> None:
    request = decode(instructions="Be brief.")
    assert (request.operation, request.nonce) == ("responses", NONCE)
    assert request.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": BODY["input"]},
    ]


def test_function_calls_and_their_outputs_become_messages() -> None:
    called = {"type": "function_call", "call_id": "c1", "name": "book", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c1", "output": f"done {NONCE}"}
    said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    request = decode(input=[said, called, output])
    function = {"name": "book", "arguments": "{}"}
    assert request.messages == [
        said,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": f"done {NONCE}"},
    ]
    assert request.nonce == NONCE


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": ["hi"]}, "input"),
        ({"model": 4}, "model"),
        ({"tools": {}}, "tools"),
        ({"text": "json"}, "text"),
        ({"text": {"format": "json"}}, "text.format"),
        ({"reasoning": "much"}, "reasoning"),
        ({"include": "all"}, "include"),
    ],
)
def test_a_wrong_body_is_400_and_says_what_is_wrong(changes: dict[str, Any], names: str) -> None:
    with pytest.raises(Rejected, match=names) as caught:
        decode(**changes)
    assert caught.value.status == 400


# -- answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [{}, ASKED])
@pytest.mark.parametrize("reply", REPLIES)
def test_a_whole_answer_is_what_the_sdk_s_types_describe(reply: Reply, asked: dict[str, Any]) -> None:
    response = Response.model_validate(whole(reply, **asked))
    assert unknown_fields(response) == []


@pytest.mark.parametrize("asked", [{}, ASKED])
@pytest.mark.parametrize("reply", REPLIES)
def test_every_event_is_what_the_sdk_s_types_describe(reply: Reply, asked: dict[str, Any]) -> None:
    fields = told(reply, **asked)
    if OPENAI_2:  # its types want a name that the API has never sent; those of openai 3.9 know none
        for one in fields:
            one |= {"name": "book"} if one["type"] == "response.function_call_arguments.done" else {}
    assert [unknown_fields(EVENT.validate_python(one)) for one in fields] == [[]] * len(fields)
    assert [one["sequence_number"] for one in fields] == list(range(len(fields)))


@pytest.mark.parametrize("reply", REPLIES)
def test_the_last_event_has_the_whole_answer(reply: Reply) -> None:
    answer = whole(reply, **ASKED)
    last = told(reply, **ASKED)[-1]
    assert last["type"] == f"response.{answer['status']}"
    assert same_but_ids(last["response"]) == same_but_ids(answer)


@pytest.mark.parametrize("reply", REPLIES)
def test_the_pieces_put_together_are_the_items(reply: Reply) -> None:
    fields = told(reply, **ASKED)
    items = fields[-1]["response"]["output"]
    pieces = dict.fromkeys(range(len(items)), "")
    for one in fields:
        if one["type"].endswith(".delta"):
            pieces[one["output_index"]] += one["delta"]
    said = []
    for item in items:
        match item["type"]:
            case "reasoning":
                said.append(item["summary"][0]["text"])
            case "message":
                said.append(item["content"][0].get("text") or item["content"][0].get("refusal", ""))
            case _:
                said.append(item["arguments"])
    assert list(pieces.values()) == said


def test_the_events_of_a_text_come_in_this_order() -> None:
    assert [one["type"].removeprefix("response.") for one in told(Reply("one two"))] == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *("output_text.delta", "output_text.delta", "output_text.done", "content_part.done"),
        *("output_item.done", "completed"),
    ]


def test_the_events_of_reasoning_and_a_tool_call_come_in_this_order() -> None:
    reply = Reply(reasoning="why", tool_calls=[ToolCall("pay")])
    assert [one["type"].removeprefix("response.") for one in told(reply, **ASKED)] == [
        *("created", "in_progress", "output_item.added", "reasoning_summary_part.added"),
        *("reasoning_summary_text.delta", "reasoning_summary_text.done", "reasoning_summary_part.done"),
        *("output_item.done", "output_item.added", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done", "completed"),
    ]


@pytest.mark.parametrize("reply", REPLIES)
def test_only_what_comes_after_the_last_piece_ends_the_answer(reply: Reply) -> None:
    sent = events(reply, **ASKED)
    kinds = [event.kind for event in sent]
    assert kinds[:2] == ["open", "open"]
    assert kinds == sorted(kinds, key=lambda kind: kind == "end")
    assert ["terminal" in event.without for event in sent] == [*[False] * (len(sent) - 1), True]
    assert [kind == "piece" for kind in kinds] == [b".delta\n" in event.data[:60] for event in sent]


@pytest.mark.parametrize(
    ("finish", "status", "details"),
    [
        ("", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
        ("error", "failed", None),
    ],
)
def test_the_status_follows_from_the_finish(finish: str, status: str, details: object) -> None:
    answer = whole(Reply("text", finish=finish))
    assert (answer["status"], answer["incomplete_details"]) == (status, details)
    assert (answer["error"] is None) == (finish != "error")


def test_reasoning_is_told_only_if_a_summary_was_asked_for() -> None:
    reply = Reply("so", reasoning="because")
    assert whole(reply)["output"][0]["summary"] == []
    asked = whole(reply, reasoning={"summary": "auto"})["output"][0]
    assert asked["summary"] == [{"type": "summary_text", "text": "because"}]
    assert "encrypted_content" not in asked
    assert whole(reply)["usage"]["output_tokens_details"] == {"reasoning_tokens": 2}


def test_a_refusal_is_a_part_of_its_own() -> None:
    (item,) = whole(Reply("I will not.", finish="refusal"))["output"]
    assert item["content"] == [{"type": "refusal", "refusal": "I will not."}]


def test_the_answer_repeats_what_was_asked() -> None:
    text = {"format": {"type": "json_schema", "name": "Verdict", "schema": {}, "strict": True}}
    tool = {"type": "function", "name": "book", "parameters": {}}
    answer = whole(Reply("{}"), text=text, tools=[tool], temperature=0.2, metadata={"a": "b"}, top_p=None)
    assert answer["text"] == text
    assert answer["tools"] == [{"description": None, "strict": True, **tool}]
    assert (answer["temperature"], answer["metadata"], answer["top_p"]) == (0.2, {"a": "b"}, 1.0)


def test_usage_has_all_details_and_is_the_same_in_stream_and_whole() -> None:
    usage = whole(REPLIES[-1])["usage"]
    assert usage == told(REPLIES[-1])[-1]["response"]["usage"]
    assert usage == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    }


def test_log_probabilities_come_if_asked_for_one_for_each_piece() -> None:
    reply, asked = Reply("one two"), {"include": ["message.output_text.logprobs"]}
    tokens = [token["token"] for token in whole(reply, **asked)["output"][0]["content"][0]["logprobs"]]
    assert tokens == ["one", " two"]
    deltas = [one for one in told(reply, **asked) if one["type"].endswith("text.delta")]
    assert [[token["token"] for token in delta["logprobs"]] for delta in deltas] == [["one"], [" two"]]
    assert whole(reply)["output"][0]["content"][0]["logprobs"] == []


def test_an_error_in_a_stream_is_the_event_of_the_sdk_s_types() -> None:
    event = OpenAI().error_event(500, "it broke", decode(stream=True), 7)
    assert event.startswith(b"event: error\ndata: ")
    told = ResponseErrorEvent.model_validate_json(event.partition(b"data: ")[2], strict=True)
    assert unknown_fields(told) == []
    assert (told.type, told.sequence_number) == ("error", 7)
    assert (told.code, told.message, told.param) == ("server_error", "it broke", None)
