"""The real ChatOpenAI against the fake provider: what its users get from each answer and each fault."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from langchain_prodtest.script import Call, Fault, Reply, Script, ToolCall, Usage, answer_for, new_nonce
from langchain_prodtest.wire import FakeServer
from tests.wire.generation import OPENAI_2

NONCE = new_nonce(7)
QUESTION = f"Say it. {NONCE}"
ANSWER = answer_for(NONCE)

Chat = Callable[..., ChatOpenAI]


class Verdict(BaseModel):
    """Whether to approve."""

    approve: bool
    reason: str


def book(seat: str) -> str:
    """Book a seat."""
    return seat


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def chat(script: Script) -> Iterator[Chat]:
    with FakeServer(script) as server:

        def make(**options: Any) -> ChatOpenAI:
            return ChatOpenAI(
                model="gpt-4o", api_key=SecretStr("sk-fake"), base_url=server.url("openai"), **options
            )

        yield make


def attempts(script: Script) -> list[int]:
    return [call.attempt for call in script.calls]


def collect(model: Any, question: Any = QUESTION) -> AIMessageChunk:
    chunks = list(model.stream(question))
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    assert isinstance(total, AIMessageChunk)
    return total


async def acollect(model: Any) -> AIMessageChunk:
    chunks = [chunk async for chunk in model.astream(QUESTION)]
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    assert isinstance(total, AIMessageChunk)
    return total


# -- healthy answers --------------------------------------------------------------------------------------


def test_invoke_and_stream_give_the_answer_to_the_nonce(chat: Chat, script: Script) -> None:
    assert chat().invoke(QUESTION).text == ANSWER
    streamed = collect(chat())
    assert (streamed.text, streamed.response_metadata["finish_reason"]) == (ANSWER, "stop")
    assert [(call.nonce, call.stream, call.closed_by) for call in script.calls] == [
        (NONCE, False, "server"),
        (NONCE, True, "server"),
    ]


def test_a_new_event_loop_for_each_call_sends_each_request_once(chat: Chat, script: Script) -> None:
    model = chat(max_retries=0)
    for _ in range(3):
        assert asyncio.run(model.ainvoke(QUESTION)).text == ANSWER
        assert asyncio.run(acollect(model)).text == ANSWER
    assert len(script.calls) == 6


def test_credentials_do_not_reach_the_journal(chat: Chat, script: Script) -> None:
    chat().invoke(QUESTION)
    (call,) = script.calls
    assert call.headers["authorization"] == "present"
    assert "sk-fake" not in repr(call)


def test_usage_is_the_same_whole_and_streamed(chat: Chat, script: Script) -> None:
    script.add(
        *[Reply("five words are said here", usage=Usage(input=9, output=5, cached=4, reasoning=2))] * 2
    )
    whole = chat().invoke(QUESTION)
    streamed = collect(chat(stream_usage=True))
    assert isinstance(whole, AIMessage)
    assert whole.usage_metadata == streamed.usage_metadata
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["total_tokens"] == 14
    assert whole.usage_metadata["input_token_details"]["cache_read"] == 4
    assert whole.usage_metadata["output_token_details"]["reasoning"] == 2


def test_tool_calls_arrive_whole_and_in_a_stream(chat: Chat, script: Script) -> None:
    reply = Reply(
        tool_calls=[ToolCall("book", {"seat": "12Ä"}, id="call_1"), ToolCall("book", {"seat": "3"})]
    )
    script.add(reply, reply)
    model = chat().bind_tools([book])
    for message in (model.invoke(QUESTION), collect(model)):
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [
            ("book", {"seat": "12Ä"}),
            ("book", {"seat": "3"}),
        ]
        assert message.tool_calls[0]["id"] == "call_1"
        assert message.tool_calls[1]["id"]
        assert message.response_metadata["finish_reason"] == "tool_calls"
    assert [call.tools[0]["function"]["name"] for call in script.calls] == ["book", "book"]


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the client's own, on every such answer
def test_structured_output_by_schema_whole_and_streamed(chat: Chat, script: Script) -> None:
    script.add(*[Reply('{"approve": false, "reason": "too late"}')] * 2)
    model = chat().with_structured_output(Verdict, method="json_schema")
    assert model.invoke(QUESTION) == Verdict(approve=False, reason="too late")
    assert list(model.stream(QUESTION))[-1] == Verdict(approve=False, reason="too late")
    assert script.calls[0].body["response_format"]["type"] == "json_schema"


def test_structured_output_by_function_calling(chat: Chat, script: Script) -> None:
    script.add(Reply(tool_calls=[ToolCall("Verdict", {"approve": True, "reason": "fine"})]))
    model = chat().with_structured_output(Verdict, method="function_calling")
    assert model.invoke(QUESTION) == Verdict(approve=True, reason="fine")


def test_the_models_are_listed(chat: Chat, script: Script) -> None:
    listed = chat().root_client.models.list().data
    assert [model.id for model in listed] == ["prodtest"]
    assert [(call.operation, call.unexpected) for call in script.calls] == [("models", False)]


# -- errors -----------------------------------------------------------------------------------------------


def test_429_then_success_is_two_attempts_and_waits_as_told(chat: Chat, script: Script) -> None:
    script.add(Fault(status=429, retry_after=0.2), Reply("at last"))
    assert chat().invoke(QUESTION).text == "at last"
    first, second = script.calls
    assert [(call.attempt, call.attempt_source, call.status) for call in (first, second)] == [
        (1, "header", 429),
        (2, "header", 200),
    ]
    assert second.received - first.received >= 0.2


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (503, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_an_error_status_raises_the_sdk_s_error_with_the_request_id(
    chat: Chat, script: Script, status: int, kind: type[openai.APIStatusError], stream: bool
) -> None:
    script.add(Fault(status=status))
    model = chat(max_retries=0)
    with pytest.raises(kind) as caught:
        collect(model) if stream else model.invoke(QUESTION)
    assert isinstance(caught.value, ModelError)
    assert (caught.value.request_id or "").startswith("req_")
    assert len(script.calls) == 1


@pytest.mark.parametrize("fault", [Fault(how="refuse"), Fault(how="reset"), Fault(how="eof")])
def test_a_connection_that_breaks_before_the_head_is_tried_three_times(
    chat: Chat, script: Script, fault: Fault
) -> None:
    script.add(fault, fault, Reply("at last"))
    assert chat().invoke(QUESTION).text == "at last"
    assert [call.closed_by for call in script.calls] == ["fault", "fault", "server"]
    assert script.calls[-1].attempt == 3


def test_a_script_that_is_used_up_is_not_retried(chat: Chat, script: Script) -> None:
    script.add(Reply("only one"))
    model = chat()
    model.invoke(QUESTION)
    with pytest.raises(openai.BadRequestError, match="used up"):
        model.invoke(QUESTION)
    assert [call.unexpected for call in script.calls] == [False, True]


@pytest.mark.parametrize("fault", [Fault(how="hang"), Fault(how="stall", after=20)])
def test_a_time_out_shows_who_left(chat: Chat, script: Script, fault: Fault) -> None:
    script.add(fault)
    with pytest.raises(openai.APITimeoutError):
        chat(timeout=0.2, max_retries=0).invoke(QUESTION)
    assert [call.closed_by for call in script.wait_for(1)] == ["client"]


# -- damaged streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset", "eof"])
@pytest.mark.parametrize("after", [1, 5, 27])
def test_a_cut_stream_raises_and_is_not_retried(chat: Chat, script: Script, how: Any, after: int) -> None:
    script.add(Fault(how=how, after=after))
    with pytest.raises(httpx.TransportError if OPENAI_2 else openai.APIConnectionError):
        collect(chat())
    assert attempts(script) == [1]


def test_a_stalled_stream_times_out_and_is_not_retried(chat: Chat, script: Script) -> None:
    script.add(Fault(how="stall", after=5))
    with pytest.raises(httpx.ReadTimeout if OPENAI_2 else openai.APITimeoutError):
        collect(chat(timeout=0.2))
    assert [(call.attempt, call.closed_by) for call in script.wait_for(1)] == [(1, "client")]


def test_a_garbage_event_raises(chat: Chat, script: Script) -> None:
    script.add(Fault(how="garbage", after=5))
    with pytest.raises(ValueError, match="Expecting"):
        collect(chat())
    assert attempts(script) == [1]


def test_a_drip_defeats_the_time_out_of_the_client(chat: Chat, script: Script) -> None:
    script.add(Fault(how="drip", delay=0.001))
    assert chat(timeout=0.5, max_retries=0).invoke(QUESTION).text == ANSWER
    (call,) = script.calls
    assert call.ended - call.received >= 0.5


def test_a_clean_early_end_is_presented_as_a_success(chat: Chat, script: Script) -> None:
    """The reason for this tool: half an answer, no error, no retry; only the finish reason is missing."""
    script.add(Fault(how="clean_end", after=13))
    answer = collect(chat())
    assert ANSWER.startswith(answer.text)
    assert 0 < len(answer.text) < len(ANSWER)
    assert "finish_reason" not in answer.response_metadata
    assert attempts(script) == [1]


def test_a_tool_call_cut_by_a_clean_end_becomes_a_valid_tool_call() -> None:
    """Arguments cut in half are repaired into others, and would be run."""
    tool_call = ToolCall("remove", {"path": "/data/tenant42/tmp", "recursive": False})
    script = Script(default=lambda request: Reply(tool_calls=[tool_call]))
    script.add(Fault(how="clean_end", after=8))
    with FakeServer(script) as server:
        model = ChatOpenAI(model="gpt-4o", api_key=SecretStr("sk-fake"), base_url=server.url("openai"))
        answer = collect(model)
    assert answer.invalid_tool_calls == []
    assert [call["args"] for call in answer.tool_calls] == [{"path": "/data/tenant42/"}]


@pytest.mark.asyncio
async def test_an_async_client_that_is_cancelled_is_seen_to_leave(chat: Chat, script: Script) -> None:
    script.add(Reply("late", first_token=60))
    task = asyncio.create_task(chat().ainvoke([HumanMessage(QUESTION)]))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    calls: list[Call] = await asyncio.to_thread(script.wait_for, 1)
    assert [call.closed_by for call in calls] == ["client"]
