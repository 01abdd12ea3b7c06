"""Streams are snapshots of what was said, wherever it was cut."""

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.tools import tool

from langchain_prodtest import Reply, ToolCall, Usage
from langchain_prodtest.fakes.chat import ScriptedChat
from langchain_prodtest.snapshots import LangChainExtension
from langchain_prodtest.snapshots.pieces import in_one_piece

ASK: Any = {"messages": [("user", "Book 12A")]}


@tool
def book(seat: str) -> str:
    """Book a seat."""
    return f"{seat} is yours"


def model(chunks: int) -> ScriptedChat:
    made = ScriptedChat()
    calls, used = [ToolCall("book", {"seat": "12A"})], Usage(input=9, output=5)
    made.script(
        Reply("I shall book it.", tool_calls=calls, chunks=chunks, usage=used),
        Reply("It is booked for you.", chunks=chunks, usage=used),
    )
    return made


def talker(chunks: int) -> ScriptedChat:
    made = ScriptedChat()
    made.script(Reply("It is booked for you.", chunks=chunks, usage=Usage(input=9, output=5)))
    return made


def written(data: Any) -> str:
    return LangChainExtension().serialize(data)


@pytest.mark.parametrize("mode", ["messages", "updates", "values", ["messages", "updates"], "debug"])
def test_a_graph_s_stream_is_written_alike_however_it_is_cut(mode: Any) -> None:
    one, other = (
        written(list(create_agent(model(chunks), tools=[book]).stream(ASK, stream_mode=mode)))
        for chunks in (1, 4)
    )
    assert one == other
    assert "It is booked for you." in one


def test_subgraphs_streams_keep_their_namespace() -> None:
    pieces = [((), "messages", (AIMessageChunk(content=text, id="1"), {"n": 1})) for text in ("a", "b")]
    assert in_one_piece(pieces) == [((), "messages", (AIMessageChunk(content="ab", id="1"), {"n": 1}))]


@pytest.mark.parametrize("wrapped", [False, True])
def test_events_are_written_alike_however_the_answer_was_cut(wrapped: bool) -> None:
    async def events(chunks: int) -> list[Any]:
        made: Any = (
            talker(chunks) | StrOutputParser() if wrapped else create_agent(model(chunks), tools=[book])
        )
        asked: Any = "Book 12A" if wrapped else ASK
        return [event async for event in made.astream_events(asked, version="v2")]

    one, other = (written(asyncio.run(events(chunks))) for chunks in (1, 4))
    assert one == other
    assert "on_chat_model_stream" in one


def test_a_model_s_stream_is_one_message() -> None:
    one, other = (written(list(talker(chunks).stream("Book 12A"))) for chunks in (1, 4))
    assert one == other
    assert one.count("AIMessageChunk(") == 1


def test_what_does_not_belong_together_stays_apart() -> None:
    pieces: list[Any] = [AIMessageChunk(content="a", id="1"), AIMessageChunk(content="b", id="2"), "c", "d"]
    assert in_one_piece(pieces) == pieces
    told = [
        {"event": "on_chain_stream", "run_id": "1", "data": {"chunk": {node: 1}}} for node in ("one", "two")
    ]
    assert in_one_piece(told) == told
