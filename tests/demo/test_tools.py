from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage

from langchain_prodtest.demo.middleware import Turn
from langchain_prodtest.demo.tools import Ledger, book_seat


class Scripted(GenericFakeChatModel):
    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


async def _book(ledger: Ledger, seat: str, trace_id: str) -> str:
    """Let an agent call the tool, and return what the tool said."""
    call = {"name": "book_seat", "args": {"seat": seat}, "id": "call_1"}
    model = Scripted(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("Done.")]))
    agent = create_agent(model, [book_seat(ledger)], context_schema=Turn)
    state = await agent.ainvoke(
        {"messages": [{"role": "user", "content": "Book."}]}, context=Turn(trace_id, None)
    )
    return next(str(m.content) for m in state["messages"] if isinstance(m, ToolMessage))


def test_the_same_key_is_booked_once() -> None:
    ledger = Ledger()
    assert [ledger.book(key) for key in ("a", "b", "a")] == [1, 2, 1]
    assert ledger.bookings == {"a": 1, "b": 2}


@pytest.mark.asyncio
async def test_a_repeated_request_gets_its_first_booking_again() -> None:
    ledger = Ledger()
    said = [await _book(ledger, "12A", trace) for trace in ("trace-1", "trace-1", "trace-2")]
    assert said == [
        "Seat 12A is booked, booking 1.",
        "Seat 12A is booked, booking 1.",
        "Seat 12A is booked, booking 2.",
    ]
