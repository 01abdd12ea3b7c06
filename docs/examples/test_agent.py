"""Tests of a booking agent: what it does when all is well, and when its provider is not.

Run them with `pytest -p langchain_prodtest`. `fake_providers` answers on a real socket, so the real client
with its real retries is tested; `fake_chat` answers in the process, for tests of the agent's own logic.
"""

import asyncio

import openai
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware, ModelRetryMiddleware
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from langchain_prodtest import Fault, Reply, ToolCall, Usage

BOOK_12A = Reply(tool_calls=[ToolCall("book", {"seat": "12A"})])


@pytest.fixture
def booked():
    """What was really booked: the side effect that must not happen twice."""
    return []


@pytest.fixture
def build(booked):
    """Build the agent under test around a model."""

    @tool
    def book(seat: str) -> str:
        """Book a seat."""
        booked.append(seat)
        return f"{seat} is yours"

    def build_agent(model, *middleware):
        return create_agent(model, [book], middleware=middleware)

    return build_agent


def ask(agent, text="Book 12A"):
    return agent.invoke({"messages": [("user", text)]})["messages"]


# -- on the wire: the real client against a fake provider --------------------------------------------------


def test_books_once(fake_providers, build, booked):
    fake_providers.openai.script(BOOK_12A, Reply("Booked 12A."))

    answer = ask(build(ChatOpenAI(model="primary")))

    assert answer[-1].text == "Booked 12A."
    assert booked == ["12A"]


def test_books_once_despite_a_rate_limit(fake_providers, build, booked):
    fake_providers.openai.script(BOOK_12A, Fault(status=429, retry_after=0.2), Reply("Booked 12A."))

    answer = ask(build(ChatOpenAI(model="primary")))

    assert answer[-1].text == "Booked 12A."
    assert booked == ["12A"]
    assert [call.attempt for call in fake_providers.openai.calls] == [1, 1, 2]


def test_waits_as_long_as_the_provider_says(fake_providers):
    fake_providers.openai.script(Fault(status=429, retry_after=0.3), Reply("Yes."))

    ChatOpenAI(model="primary").invoke("Is 12A free?")

    first, second = fake_providers.openai.calls
    assert second.received - first.ended >= 0.3


def test_a_request_that_is_wrong_is_not_sent_again(fake_providers):
    fake_providers.openai.script(Fault(status=400))

    with pytest.raises(openai.BadRequestError):
        ChatOpenAI(model="primary").invoke("Is 12A free?")

    assert len(fake_providers.openai.calls) == 1


def test_a_failing_provider_is_asked_three_times_not_nine(fake_providers, build):
    fake_providers.openai.script(*[Fault(status=503)] * 3)
    retry = ModelRetryMiddleware(max_retries=2, on_failure="error", initial_delay=0.01, jitter=False)

    # Two layers of retries multiply: the client's own are off here, the middleware's are on.
    with pytest.raises(openai.InternalServerError):
        ask(build(ChatOpenAI(model="primary", max_retries=0), retry))

    assert len(fake_providers.openai.calls) == 3


def test_the_backup_answers_when_the_primary_fails(fake_providers, build):
    fake_providers.openai.script(Fault(status=503), Reply("Booked by the backup."))
    fallback = ModelFallbackMiddleware(ChatOpenAI(model="backup"))

    answer = ask(build(ChatOpenAI(model="primary", max_retries=0), fallback))

    assert answer[-1].text == "Booked by the backup."
    assert [call.model for call in fake_providers.openai.calls] == ["primary", "backup"]


def test_the_model_is_told_about_the_tool(fake_providers, build):
    fake_providers.openai.script(Reply("Which seat?"))

    ask(build(ChatOpenAI(model="primary")), "Book a seat")

    (call,) = fake_providers.openai.calls
    assert [tool["function"]["name"] for tool in call.tools] == ["book"]
    assert call.messages[-1]["content"] == "Book a seat"


def test_a_stream_joins_to_the_whole_answer(fake_providers):
    fake_providers.openai.script(Reply("Seat 12A is free.", usage=Usage(input=9, output=5)))

    chunks = list(ChatOpenAI(model="primary", stream_usage=True).stream("Is 12A free?"))

    whole = sum(chunks[1:], chunks[0])
    assert whole.text == "Seat 12A is free."
    assert whole.response_metadata["finish_reason"] == "stop"
    assert whole.usage_metadata["total_tokens"] == 14


def test_a_stream_that_ends_too_early_raises_nothing(fake_providers):
    """This is how the client is, and why a service must look for the finish reason itself."""
    fake_providers.openai.script(Fault(how="clean_end", after=4))

    chunks = list(ChatOpenAI(model="primary").stream("Is 12A free?"))

    assert "finish_reason" not in sum(chunks[1:], chunks[0]).response_metadata


def test_a_stream_that_is_reset_raises(fake_providers):
    fake_providers.openai.script(Fault(how="reset", after=4))

    with pytest.raises(openai.APIConnectionError):
        list(ChatOpenAI(model="primary").stream("Is 12A free?"))


def test_two_event_loops_in_one_process(fake_providers, build):
    fake_providers.openai.script(Reply("One."), Reply("Two."))
    agent = build(ChatOpenAI(model="primary"))

    answers = [asyncio.run(agent.ainvoke({"messages": [("user", "Hi")]})) for _ in range(2)]

    assert [answer["messages"][-1].text for answer in answers] == ["One.", "Two."]


# -- in the process: the agent's own logic -----------------------------------------------------------------


def test_the_conversation_is_as_it_was(fake_chat, build, lc_snapshot):
    fake_chat.script(BOOK_12A, Reply("Booked 12A."))

    assert ask(build(fake_chat)) == lc_snapshot


def test_a_lost_connection_is_tried_again(fake_chat, build, booked):
    fake_chat.script(BOOK_12A, Fault(how="reset"), Reply("Booked 12A."))

    ask(build(fake_chat, ModelRetryMiddleware(max_retries=1, initial_delay=0.01)))

    assert booked == ["12A"]
    assert [call.attempt for call in fake_chat.calls] == [1, 1, 2]


def test_a_structured_answer(fake_chat):
    class Seat(BaseModel):
        row: int
        letter: str

    fake_chat.script(Reply(tool_calls=[ToolCall("Seat", {"row": 12, "letter": "A"})]))

    assert fake_chat.with_structured_output(Seat).invoke("Which seat?") == Seat(row=12, letter="A")


@pytest.mark.prodtest(strict=False)
def test_an_agent_may_stop_before_the_script_ends(fake_chat, build, booked):
    fake_chat.script(Reply("Which seat?"), BOOK_12A, Reply("Booked 12A."))

    ask(build(fake_chat), "Book a seat")

    assert booked == []
