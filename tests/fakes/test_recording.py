"""The recording tool keeps books on runs and effects, and loses answers as scripted."""

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage

from langchain_prodtest.fakes.chat import ScriptedChat
from langchain_prodtest.fakes.faults import ScriptedConnectionError
from langchain_prodtest.fakes.recording import RecordingTool
from langchain_prodtest.script import Fault, Reply, ToolCall


def test_runs_and_effects_are_recorded() -> None:
    book = RecordingTool("book", {"seat": str}, result="yours")
    assert book.invoke({"seat": "12A"}) == "yours"
    assert book.runs == book.effects == [{"seat": "12A"}]
    assert book.repeated == []
    book.invoke({"seat": "12A"})
    assert book.repeated == [{"seat": "12A"}]


def test_a_lost_answer_leaves_its_effect_and_a_refusal_does_not() -> None:
    book = RecordingTool("book", {"seat": str})
    book.fail(Fault(how="reset"), Fault(how="refuse"), Fault(status=503))
    for seat in ("12A", "12B"):
        with pytest.raises(ScriptedConnectionError):
            book.invoke({"seat": seat})
    with pytest.raises(Exception, match="HTTP 503"):
        book.invoke({"seat": "12C"})
    book.invoke({"seat": "12A"})
    assert [run["seat"] for run in book.runs] == ["12A", "12B", "12C", "12A"]
    assert book.repeated == [{"seat": "12A"}]


def test_two_tools_keep_books_of_their_own() -> None:
    one, other = RecordingTool("one"), RecordingTool("other")
    one.invoke({})
    assert (one.runs, other.runs) == ([{}], [])


def test_it_works_in_an_agent() -> None:
    book, model = RecordingTool("book", {"seat": str}), ScriptedChat()
    model.script(Reply(tool_calls=[ToolCall("book", {"seat": "12A"})]), Reply("Booked."))
    create_agent(model, [book]).invoke({"messages": [HumanMessage("Book 12A")]})
    assert book.effects == [{"seat": "12A"}]
