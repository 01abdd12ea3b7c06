"""The scripted chat model answers what its script says, as a real one would."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware
from langchain_core.exceptions import ModelRateLimitError
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.fakes.chat import ScriptedChat
from langchain_prodtest.fakes.strictness import UnexpectedCallError
from langchain_prodtest.script import Fault, Reply, Step, ToolCall, Usage


@tool
def book(seat: str) -> str:
    """Book a seat."""
    return f"{seat} is yours"


class Seat(BaseModel):
    row: int
    letter: str = "A"


class SeatDict(TypedDict):
    row: int


SEAT_SCHEMA = {
    "title": "SeatSchema",
    "description": "A seat.",
    "type": "object",
    "properties": {"row": {"type": "integer"}},
    "required": ["row"],
}


def scripted(*steps: Step) -> ScriptedChat:
    model = ScriptedChat()
    model.script(*steps)
    return model


def joined(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


def test_invoke_answers_the_steps_in_order() -> None:
    model = scripted(Reply("one"), Reply("two"))
    assert [model.invoke("hi").text, model.invoke("hi").text] == ["one", "two"]


def test_an_answer_has_finish_reason_model_and_counted_usage() -> None:
    message = scripted(Reply("two words")).invoke("three words here")
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.response_metadata["model_name"] == "scripted"
    assert message.usage_metadata == {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


def test_scripted_usage_is_sent_as_given() -> None:
    usage = Usage(input=10, output=6, cached=4, reasoning=5)
    message = scripted(Reply("x", usage=usage)).invoke("hi")
    assert message.usage_metadata == {
        "input_tokens": 10,
        "output_tokens": 6,
        "total_tokens": 16,
        "input_token_details": {"cache_read": 4},
        "output_token_details": {"reasoning": 5},
    }


def test_a_stream_comes_in_pieces_with_usage_and_finish_reason_on_the_last_only() -> None:
    chunks = list(scripted(Reply("one two three", chunks=3)).stream("hi"))
    assert [chunk.text for chunk in chunks] == ["one", " two", " three", ""]
    assert [chunk.usage_metadata is not None for chunk in chunks] == [False, False, False, True]
    assert ["finish_reason" in chunk.response_metadata for chunk in chunks] == [False, False, False, True]
    assert joined(chunks).text == "one two three"


def test_streamed_tool_calls_have_their_arguments_split_and_join_to_the_whole() -> None:
    call = ToolCall("book", {"seat": "12A"})
    stream = scripted(Reply(tool_calls=[call, call])).bind_tools([book]).stream("hi")
    chunks = [chunk for chunk in stream if isinstance(chunk, AIMessageChunk)]
    assert sum(bool(chunk.tool_call_chunks) for chunk in chunks) > 4
    calls = joined(chunks).tool_calls
    assert [(made["name"], made["args"]) for made in calls] == [("book", {"seat": "12A"})] * 2
    assert len({made["id"] for made in calls}) == 2


def test_async_invoke_and_stream_give_the_same() -> None:
    async def both() -> tuple[AIMessage, list[AIMessageChunk]]:
        model = scripted(Reply("one two"), Reply("one two"))
        return await model.ainvoke("hi"), [chunk async for chunk in model.astream("hi")]

    message, chunks = asyncio.run(both())
    assert message.text == joined(chunks).text == "one two"


def test_no_id_is_shared_between_calls() -> None:
    reply = Reply(tool_calls=[ToolCall("book", {"seat": "1"})])
    bound = scripted(reply, reply).bind_tools([book])
    first, second = bound.invoke("hi"), bound.invoke("hi")
    assert first.id != second.id
    assert first.tool_calls[0]["id"] != second.tool_calls[0]["id"]


def test_a_tool_call_id_that_is_given_is_kept() -> None:
    reply = Reply(tool_calls=[ToolCall("book", {"seat": "1"}, "call_mine")])
    assert scripted(reply).bind_tools([book]).invoke("hi").tool_calls[0]["id"] == "call_mine"


def test_reasoning_is_a_block_before_the_text() -> None:
    model = scripted(Reply("So yes.", reasoning="Hmm."), Reply("So yes.", reasoning="Hmm."))
    whole = joined(list(model.stream("hi")))
    for message in (model.invoke("hi"), whole):
        assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]
        assert message.text == "So yes."


def test_many_threads_get_each_step_once() -> None:
    model = scripted(*[Reply(str(number)) for number in range(60)])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: model.invoke("hi").text, range(60)))
    assert sorted(map(int, answers)) == list(range(60))
    assert len(model.calls) == 60


def test_an_agent_calls_the_tool_and_answers() -> None:
    model = scripted(Reply(tool_calls=[ToolCall("book", {"seat": "12A"})]), Reply("Booked."))
    messages = create_agent(model, [book]).invoke({"messages": [HumanMessage("Book 12A")]})["messages"]
    assert [message.text for message in messages] == ["Book 12A", "", "12A is yours", "Booked."]


def test_langchain_s_retry_middleware_takes_up_what_is_transient() -> None:
    model = scripted(Fault(status=429), Fault(how="reset", after=1), Reply("At last."))
    agent = create_agent(model, [book], middleware=[ModelRetryMiddleware(initial_delay=0.001)])
    assert agent.invoke({"messages": [HumanMessage("hi")]})["messages"][-1].text == "At last."
    assert [(call.attempt, call.status, call.closed_by) for call in model.calls] == [
        (1, 429, "fault"),
        (2, 0, "fault"),
        (3, 200, "server"),
    ]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [(Seat, Seat(row=3)), (SeatDict, {"row": 3}), (SEAT_SCHEMA, {"row": 3})],
    ids=["pydantic", "typed-dict", "json-schema"],
)
def test_structured_output_of_every_kind_of_schema(schema: Any, expected: object) -> None:
    name = schema["title"] if isinstance(schema, dict) else schema.__name__
    model = scripted(Reply(tool_calls=[ToolCall(name, {"row": 3})]))
    assert model.with_structured_output(schema).invoke("hi") == expected


def test_structured_output_with_the_raw_message_tells_what_did_not_parse() -> None:
    model = scripted(Reply(tool_calls=[ToolCall("Seat", {"row": "three"})]))
    result: Any = model.with_structured_output(Seat, include_raw=True).invoke("hi")
    assert isinstance(result["raw"], AIMessage)
    assert result["parsed"] is None
    assert "valid integer" in str(result["parsing_error"])


def test_a_tool_call_that_no_bound_tool_fits_is_an_error_and_is_remembered() -> None:
    model = scripted(Reply(tool_calls=[ToolCall("bock", {"seat": "1"})]))
    with pytest.raises(ScriptError, match='Did you mean "book"'):
        model.bind_tools([book]).invoke("hi")
    assert len(model.mistakes) == 1


def test_a_fault_of_a_status_raises_before_any_chunk() -> None:
    with pytest.raises(ModelRateLimitError):
        next(scripted(Fault(status=429)).stream("hi"))


def test_a_reset_comes_after_as_many_chunks_as_scripted() -> None:
    stream = scripted(Fault(how="reset", after=2)).stream("hi")
    assert [next(stream).text, next(stream).text] == ["[no-nonce]", " w00"]
    with pytest.raises(ConnectionError):
        next(stream)


def test_a_clean_end_raises_nothing_and_has_no_finish_reason() -> None:
    whole = joined(list(scripted(Fault(how="clean_end", after=2)).stream("hi")))
    assert whole.text == "[no-nonce] w00"
    assert "finish_reason" not in whole.response_metadata


def test_a_call_after_the_script_is_used_up_says_what_was_asked() -> None:
    model = scripted(Reply("one"))
    model.invoke("hi")
    with pytest.raises(UnexpectedCallError, match=re.escape("last message user: 'once more'")):
        model.invoke("once more")
    assert [call.unexpected for call in model.calls] == [False, True]


def test_a_call_is_recorded_with_messages_tools_and_how_it_ended() -> None:
    model = scripted(Reply("one two three"), Reply("x"))
    stream = model.bind_tools([book]).stream([("system", "Be kind."), ("user", "hi pt-0000000000000001")])
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    model.invoke("bye")
    left, finished = model.calls
    assert left.messages == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "hi pt-0000000000000001"},
    ]
    assert left.tools[0]["function"]["name"] == "book"
    assert (left.stream, left.closed_by, left.nonce) == (True, "client", "pt-0000000000000001")
    assert (finished.stream, finished.closed_by, finished.status) == (False, "server", 200)
    assert finished.ended >= finished.received >= left.received > 0


def test_first_token_and_chunks_are_late_as_scripted() -> None:
    model = scripted(Reply("one two", first_token=0.05, per_chunk=0.05), Reply("one two"))
    model.invoke("slow")
    model.invoke("fast")
    slow, fast = (call.ended - call.received for call in model.calls)
    assert slow >= 0.1
    assert slow > fast
