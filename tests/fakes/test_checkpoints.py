"""A scripted checkpointer keeps what LangGraph gives it, except where it is told to fail, wait or lose."""

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.tools import tool
from langgraph.types import Command

from langchain_prodtest import Fault, Reply, ToolCall
from langchain_prodtest.fakes.chat import ScriptedChat
from langchain_prodtest.fakes.checkpoints import ScriptedSaver
from langchain_prodtest.fakes.faults import ScriptedConnectionError

THREAD: Any = {"configurable": {"thread_id": "t"}}
ASK: Any = {"messages": [("user", "Book 12A")]}


@tool
def book(seat: str) -> str:
    """Book a seat."""
    return f"{seat} is yours"


def agent(saver: ScriptedSaver, *replies: Reply, **settings: Any) -> Any:
    model = ScriptedChat()
    model.script(*replies)
    return create_agent(model, tools=[book], checkpointer=saver, **settings)


def test_a_conversation_goes_on_where_it_was() -> None:
    saver = ScriptedSaver()
    made = agent(saver, Reply("Yes."), Reply("As I said."))
    made.invoke(ASK, THREAD)
    assert len(made.invoke(ASK, THREAD)["messages"]) == 4
    assert {call.operation for call in saver.calls} >= {"get", "put", "put_writes"}
    assert {call.messages[0]["content"] for call in saver.calls} == {"t"}


def test_an_interrupt_is_kept_and_resumed() -> None:
    hitl: Any = HumanInTheLoopMiddleware(interrupt_on={"book": True})
    booking = Reply(tool_calls=[ToolCall("book", {"seat": "12A"})])
    made = agent(ScriptedSaver(), booking, Reply("Booked."), middleware=[hitl])
    assert made.invoke(ASK, THREAD)["__interrupt__"]
    resumed = made.invoke(Command(resume={"decisions": [{"type": "approve"}]}), THREAD)
    assert [message.text for message in resumed["messages"][-2:]] == ["12A is yours", "Booked."]


@pytest.mark.parametrize("operation", ["get", "put"])
def test_an_operation_fails_and_the_next_works_again(operation: Any) -> None:
    saver = ScriptedSaver()
    made = agent(saver, Reply("Yes."), Reply("Yes."))
    saver.fail(Fault(how="reset"), operation=operation)
    with pytest.raises(ScriptedConnectionError, match="reset"):
        made.invoke(ASK, THREAD)
    assert made.invoke(ASK, THREAD)["messages"][-1].text == "Yes."
    assert next(call.closed_by for call in saver.calls if call.operation == operation) == "fault"


@pytest.mark.asyncio
async def test_asynchronous_operations_fail_too() -> None:
    saver = ScriptedSaver()
    saver.fail(Fault(status=503), operation="put_writes")
    with pytest.raises(Exception, match="HTTP 503"):
        await agent(saver, Reply("Yes.")).ainvoke(ASK, THREAD)
    saver.fail(Fault(status=503), operation="list")
    with pytest.raises(Exception, match="HTTP 503"):
        [found async for found in saver.alist(THREAD)]
    assert [found async for found in saver.alist(THREAD)] == list(saver.list(THREAD))


def test_a_lost_write_is_confirmed_and_gone() -> None:
    saver = ScriptedSaver()
    made = agent(saver, Reply("Yes."), Reply("Who are you?"))
    saver.lose(10)
    assert made.invoke(ASK, THREAD)["messages"][-1].text == "Yes."
    assert made.get_state(THREAD).values == {}
    assert len(made.invoke(ASK, THREAD)["messages"]) == 2


def test_lost_writes_of_a_task_leave_the_checkpoint() -> None:
    saver = ScriptedSaver()
    made = agent(saver, Reply("Yes."))
    saver.lose(10, operation="put_writes")
    made.invoke(ASK, THREAD)
    assert len(made.get_state(THREAD).values["messages"]) == 2
    assert all(not found.pending_writes for found in saver.list(THREAD))


@pytest.mark.asyncio
async def test_a_slow_store_does_not_block_the_event_loop() -> None:
    saver = ScriptedSaver()
    saver.slow(0.2, operation="get")
    reading = asyncio.create_task(saver.aget_tuple(THREAD))
    await asyncio.sleep(0)
    assert not reading.done()  # the loop got on while it was read
    assert await reading is None
    (read,) = saver.calls
    assert read.ended - read.received > 0.1
