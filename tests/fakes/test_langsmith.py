"""The fake LangSmith keeps the runs of chains, models and tools, and their errors."""

import threading

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda

from langchain_prodtest.fakes.chat import ScriptedChat
from langchain_prodtest.fakes.langsmith import traced
from langchain_prodtest.fakes.recording import RecordingTool
from langchain_prodtest.script import Reply, ToolCall


def fail(text: str) -> str:
    raise ValueError(text)


def test_the_runs_of_an_agent_are_kept_as_a_tree() -> None:
    model = ScriptedChat()
    model.script(Reply(tool_calls=[ToolCall("book", {"seat": "12A"})]), Reply("Booked."))
    with traced() as langsmith:
        agent = create_agent(model, [RecordingTool("book", {"seat": str})])
        agent.invoke({"messages": [HumanMessage("Book 12A")]})
    kinds = [run.kind for run in langsmith.recorded]
    assert (kinds.count("llm"), kinds.count("tool")) == (2, 1)
    assert all(run.ended for run in langsmith.recorded)
    ids = {run.id for run in langsmith.recorded}
    assert [run.name for run in langsmith.recorded if run.parent not in ids] == ["LangGraph"]


def test_an_error_is_kept_and_other_threads_are_traced_too() -> None:
    def work() -> None:
        with pytest.raises(ValueError, match="no seat"):
            RunnableLambda(fail).invoke("no seat")

    with traced() as langsmith:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    (run,) = langsmith.recorded
    assert (run.name, run.ended, "no seat" in run.error) == ("fail", True, True)


def test_afterwards_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    with traced() as langsmith:
        pass
    RunnableLambda(str).invoke(1)
    assert langsmith.recorded == []
