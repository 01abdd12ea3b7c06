"""Assertions on Calls: what they accept, and what they say otherwise."""

import time
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.types import Interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from langchain_prodtest import Call, ToolCall, expect
from langchain_prodtest.errors import UsageError
from langchain_prodtest.script import Request

BOOK, PAY = ToolCall("book", {"seat": "12A"}), ToolCall("pay", {})


def call(**fields: Any) -> Call:
    return Call(**{"id": 0, "provider": "openai", "status": 200, "closed_by": "server", **fields})


MESSAGES = [
    HumanMessage("Book 12A"),
    AIMessage("", tool_calls=[{"name": "book", "args": {"seat": "12A"}, "id": "1"}]),
    AIMessage("", tool_calls=[{"name": "pay", "args": {}, "id": "2"}]),
]
SHAPES: dict[str, list[dict[str, Any]]] = {
    "openai": [{"tool_calls": [{"id": "1", "function": {"name": "book", "arguments": '{"seat": "12A"}'}}]}],
    "ollama": [{"tool_calls": [{"function": {"name": "book", "arguments": {"seat": "12A"}}}]}],
    "anthropic": [{"content": [{"type": "tool_use", "id": "1", "name": "book", "input": {"seat": "12A"}}]}],
    "bedrock": [
        {"content": [{"toolUse": {"toolUseId": "1", "name": "book", "input": {"seat": "12A"}}}, {"text": ""}]}
    ],
    "gemini": [{"parts": [{"functionCall": {"name": "book", "args": {"seat": "12A"}}}]}],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_tool_calls_are_read_in_every_provider_s_shape_and_once(shape: str) -> None:
    calls = [call(messages=SHAPES[shape]), call(messages=[*SHAPES[shape], {"role": "user", "content": "x"}])]
    expect.tool_calls(calls, BOOK)


@pytest.mark.parametrize(
    ("expected", "match"),
    [
        ([BOOK, PAY], "strict"),
        (["book", "pay"], "strict"),
        ([PAY, BOOK], "unordered"),
        (["pay"], "subset"),
        ([], "subset"),
    ],
)
def test_tool_calls_that_fit_pass(expected: list[Any], match: Any) -> None:
    expect.tool_calls(MESSAGES, *expected, match=match)


@pytest.mark.parametrize(
    ("expected", "match", "says"),
    [
        ([BOOK], "strict", "not expected: pay({})"),
        ([PAY, BOOK], "strict", "the order differs"),
        ([BOOK, PAY, PAY], "unordered", "missing: pay({})"),
        ([BOOK], "unordered", "not expected: pay({})"),
        ([ToolCall("book", {"seat": "12B"})], "subset", 'missing: book({"seat": "12B"})'),
    ],
)
def test_tool_calls_that_do_not_fit_fail(expected: list[Any], match: Any, says: str) -> None:
    with pytest.raises(AssertionError) as failure:
        expect.tool_calls(MESSAGES, *expected, match=match)
    assert str(failure.value).startswith('The model called book({"seat": "12A"}), pay({}).\n  Expected: ')
    assert says in str(failure.value)


def test_a_way_to_match_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="strict"):
        expect.tool_calls([], match="loose")  # type: ignore[arg-type]


RETRIED = [call(digest="a", attempt=n + 1, received=n, ended=n + 2) for n in range(3)] + [call(digest="b")]


def test_requests_are_counted() -> None:
    expect.provider_calls(RETRIED, 4)
    expect.provider_calls(RETRIED, at_most=4)
    with pytest.raises(AssertionError, match=r"^The provider got 4 requests\.\n  Expected: at most 3\.\n"):
        expect.provider_calls(RETRIED, at_most=3)
    with pytest.raises(AssertionError, match=r"Expected: 5"):
        expect.provider_calls(RETRIED, 5)


def test_retries_and_amplification_are_told_apart_from_further_steps() -> None:
    expect.retries(RETRIED, at_most=2)
    expect.amplification(RETRIED, at_most=3)
    with pytest.raises(AssertionError, match="2 requests were repeated ones"):
        expect.retries(RETRIED, at_most=1)
    with pytest.raises(AssertionError, match=r"One model call became 3 requests(.|\n)*Keep one retry layer"):
        expect.amplification(RETRIED, at_most=2)
    expect.amplification([], at_most=0)


def test_concurrency_is_the_most_that_was_open_at_once() -> None:
    assert expect.peak(RETRIED) == 2
    expect.concurrency(RETRIED, at_most=2)
    with pytest.raises(AssertionError, match="2 requests were open at once"):
        expect.concurrency(RETRIED, at_most=1)


class Provider:
    def __init__(self, *calls: Call) -> None:
        self.calls, self.open = list(calls), list[Request]()


def test_a_request_that_its_client_left_is_closed_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    expect.closed_upstream(Provider(call(), call(closed_by="client")))
    with pytest.raises(AssertionError, match="The last request was ended by the server"):
        expect.closed_upstream(Provider(call()))
    with pytest.raises(AssertionError, match="by nobody: there was none"):
        expect.closed_upstream(Provider())
    monkeypatch.setattr(expect, "SETTLE", 0.05)
    working = Provider()
    working.open.append(Request(provider="openai"))
    with pytest.raises(AssertionError, match="still open"):
        expect.closed_upstream(working)


def fail_after(seconds: float) -> None:
    with expect.within(0):
        time.sleep(seconds)
        raise ValueError


def test_a_deadline_holds_for_failures_too() -> None:
    with expect.within(60):
        pass
    with pytest.raises(AssertionError, match=r"It took .* s\.\n  Expected: at most 0 s"):
        fail_after(0.001)


def test_a_text_that_begins_again_is_found() -> None:
    text = "Seat 12A is free, and seat 12B is free."
    expect.said_once(text)
    expect.said_once("ha ha ha")
    with pytest.raises(AssertionError, match="The text begins again at character 30"):
        expect.said_once(text[:30] + text)


def test_tokens_are_held_below() -> None:
    usage: Any = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    expect.tokens([HumanMessage("x"), AIMessage("y", usage_metadata=usage)], at_most=7)
    with pytest.raises(AssertionError, match="7 tokens were used"):
        expect.tokens([AIMessage("y", usage_metadata=usage)], at_most=6)
    with pytest.raises(AssertionError, match="1 of 1 messages report no usage"):
        expect.tokens([AIMessage("y")], at_most=6)


PRICES = {
    "gpt": expect.Price(input=2.0, output=8.0, cached=1.0),
    "gpt-small": expect.Price(input=1.0, output=1.0),
}


def billed(model: str, **usage: Any) -> AIMessage:
    told: Any = {"input_tokens": 1000, "output_tokens": 500, "total_tokens": 1500, **usage}
    return AIMessage("", usage_metadata=told, response_metadata={"model_name": model})


def test_cost_is_counted_by_the_price_list_of_the_longest_name_that_fits() -> None:
    cached = billed("gpt-2026-11-01", input_token_details={"cache_read": 600})
    expect.cost([HumanMessage("hi"), cached], PRICES, at_most=0.0054)
    expect.cost([billed("gpt-small-x")], PRICES, at_most=0.0015)
    with pytest.raises(AssertionError, match=r"It cost 0.007500(.|\n)*gpt-small: 0.001500 for 1500 tokens"):
        expect.cost([billed("gpt"), billed("gpt-small")], PRICES, at_most=0.0074)


def test_what_has_no_price_or_no_usage_is_not_cheap() -> None:
    with pytest.raises(AssertionError, match="no price for the model 'other'"):
        expect.cost([billed("other")], PRICES, at_most=1)
    with pytest.raises(AssertionError, match="1 of 1 messages report no usage"):
        expect.cost([AIMessage("")], PRICES, at_most=1)


class Seat(BaseModel):
    seat: str
    aisle: bool = False


class Row(TypedDict):
    row: int


def test_a_structured_answer_is_of_its_schema_with_these_fields() -> None:
    expect.structured({"messages": [], "structured_response": Seat(seat="12A")}, Seat, seat="12A")
    expect.structured(Seat(seat="12A"), Seat)
    expect.structured({"row": 12}, Row, row=12)


@pytest.mark.parametrize(
    ("answer", "schema", "says"),
    [
        (Seat(seat="12B"), Seat, "seat is '12B', not '12A'"),
        ({"messages": []}, Seat, "The answer is {'messages': []}.\n  Expected: a Seat."),
        (AIMessage("12A"), Seat, "The answer is AIMessage("),
        ({"structured_response": {}}, Row, "The answer is {}.\n  Expected: a Row."),
    ],
)
def test_what_is_no_such_answer_is_told(answer: Any, schema: type, says: str) -> None:
    given = {"seat": "12A"} if schema is Seat else {}
    with pytest.raises(AssertionError) as failure:
        expect.structured(answer, schema, **given)
    assert says in str(failure.value)


STOPPED = {"__interrupt__": [Interrupt(value={"ask": "Book 12A?", "allowed": ["yes", "no"]}, id="1")]}


def test_interrupts_are_compared_by_the_keys_that_are_given() -> None:
    expect.interrupts(STOPPED, {"ask": "Book 12A?"})
    expect.interrupts(STOPPED, {"ask": ..., "allowed": ["yes", ...]})
    expect.interrupts({"messages": []})
    with pytest.raises(
        AssertionError, match=r"The graph stopped for \{'ask': 'Book 12A\?'.*\n.*no interrupt"
    ):
        expect.interrupts(STOPPED)
    with pytest.raises(AssertionError, match="stopped for nothing"):
        expect.interrupts({"messages": []}, ...)
    with pytest.raises(AssertionError, match=r"Expected: \{'ask': 'Pay'\}"):
        expect.interrupts(STOPPED, {"ask": "Pay"})
