"""A snapshot of LangChain's types is the same in every run, and still shows what changed."""

import datetime
import uuid
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Interrupt
from pydantic import BaseModel

from langchain_prodtest import Reply, ToolCall
from langchain_prodtest.fakes.chat import ScriptedChat
from langchain_prodtest.script import Request
from langchain_prodtest.snapshots import LangChainExtension, stable

TEXT = """\
list([
  HumanMessage(
    content='Book 12A',
  ),
  AIMessage(
    content='',
    response_metadata=dict({
      'finish_reason': 'tool_calls',
    }),
    tool_calls=list([
      dict({
        'args': dict({
          'aisle': True,
          'seat': '12A',
        }),
        'id': 'call-1',
        'name': 'book',
        'type': 'tool_call',
      }),
    ]),
  ),
  ToolMessage(
    content='12A is yours',
    status='success',
    tool_call_id='call-1',
  ),
])"""


@tool
def book(seat: str) -> str:
    """Book a seat."""
    return f"{seat} is yours"


def written(data: Any) -> str:
    return LangChainExtension().serialize(data)


def conversation(**metadata: Any) -> list[Any]:
    """The same conversation as another run would have it: other ids, times and versions, other key order."""
    call_id = f"call_{uuid.uuid4().hex}"
    args = {"seat": "12A", "aisle": True}
    return [
        HumanMessage("Book 12A", id=str(uuid.uuid4())),
        AIMessage(
            "",
            id=f"lc_run--{uuid.uuid4()}",
            tool_calls=[{"name": "book", "args": dict(reversed(args.items())), "id": call_id}],
            response_metadata={
                "finish_reason": "tool_calls",
                "system_fingerprint": uuid.uuid4().hex,
                "created": uuid.uuid4().int,
                **metadata,
            },
        ),
        ToolMessage("12A is yours", tool_call_id=call_id, id=str(uuid.uuid4())),
    ]


def test_a_conversation_is_written_as_one_reads_it() -> None:
    assert written(conversation()) == TEXT


def test_two_runs_are_written_alike() -> None:
    assert written(conversation()) == written(conversation())


def test_versions_run_ids_and_times_are_left_out() -> None:
    volatile = {
        "lc_versions": {"langchain-core": "1.8.3"},
        "run_id": str(uuid.uuid4()),
        "timestamp": "2026-11-24T14:00:00Z",
    }
    assert written(conversation(**volatile)) == TEXT


def test_what_changed_shows() -> None:
    changed = conversation()
    changed[1].tool_calls[0]["args"]["seat"] = "12B"
    assert written(changed) != TEXT


def test_tool_call_ids_are_numbered_so_that_answers_still_fit_their_calls() -> None:
    calls: list[Any] = [{"name": "book", "args": {}, "id": f"call_{uuid.uuid4().hex}"} for _ in range(2)]
    crossed = [ToolMessage(str(n), tool_call_id=call["id"]) for n, call in enumerate(calls)][::-1]
    ids = [line.strip() for line in written([AIMessage("", tool_calls=calls), *crossed]).splitlines()]
    assert [line for line in ids if "call-" in line] == [
        "'id': 'call-1',",
        "'id': 'call-2',",
        "tool_call_id='call-2',",
        "tool_call_id='call-1',",
    ]


def test_bare_tool_calls_and_dictionaries_of_messages_are_stable_too() -> None:
    def state() -> dict[str, Any]:
        call = {"name": "book", "args": {}, "id": uuid.uuid4().hex, "type": "tool_call"}
        return {"messages": conversation(), "pending": [call], "at": datetime.datetime.now(datetime.UTC)}

    assert written(state()) == written(state())
    assert stable(state())["at"] == "<time>"


def test_times_and_ids_in_values_are_masked_and_other_text_is_not() -> None:
    one, other = str(uuid.uuid4()), str(uuid.uuid4())
    assert stable([one, other, one, "2026-11-24T14:00:00+00:00", "2026 was good", "run"]) == [
        "id-1",
        "id-2",
        "id-1",
        "<time>",
        "2026 was good",
        "run",
    ]


def test_documents_keep_content_and_metadata() -> None:
    document = Document("Seats.", metadata={"source": "a.md", "created_at": 5}, id=str(uuid.uuid4()))
    assert written(document) == (
        "Document(\n  metadata=dict({\n    'source': 'a.md',\n  }),\n  page_content='Seats.',\n)"
    )


def test_a_removed_message_is_told_by_number() -> None:
    assert "id='message-1'" in written(RemoveMessage(id=str(uuid.uuid4())))


def test_a_field_called_name_is_no_obstacle() -> None:
    assert "name='ada'" in written(HumanMessage("hi", name="ada"))


def test_tuples_stay_tuples() -> None:
    assert stable(("a", HumanMessage("hi")))[0] == "a"


class Seat(BaseModel):
    seat: str
    booked: datetime.datetime


def test_models_and_dataclasses_are_written_by_their_fields() -> None:
    now = datetime.datetime.now(datetime.UTC)
    text = "Seat(\n  booked='<time>',\n  seat='12A',\n)"
    assert written(Seat(seat="12A", booked=now)) == text
    assert written(Interrupt(value="Book?", id=uuid.uuid4().hex)) == (
        "Interrupt(\n  id='id-1',\n  value='Book?',\n)"
    )


def test_a_graph_is_its_mermaid_text_without_styles() -> None:
    text = written(create_agent(ScriptedChat(), tools=[book]))
    assert "\n  model -.-> tools;" in text.replace("\t", "  ")
    assert "classDef" not in text


def stopped() -> Any:
    """The state of an agent that waits for its user; other ids each time."""
    model = ScriptedChat()
    model.script(Reply(tool_calls=[ToolCall("book", {"seat": "12A"})]))
    hitl: Any = HumanInTheLoopMiddleware(interrupt_on={"book": True})
    agent = create_agent(model, tools=[book], middleware=[hitl], checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "t"}}
    agent.invoke({"messages": [HumanMessage("Book 12A")]}, thread)
    return agent.get_state(thread)


def test_a_state_with_its_interrupts_is_written_alike_in_two_runs() -> None:
    text = written(stopped())
    assert text == written(stopped())
    assert "HumanInTheLoopMiddleware.after_model" in text
    assert text.startswith("StateSnapshot(")


def test_a_request_to_a_provider_is_its_body_without_secrets() -> None:
    body = {"model": "m", "temperature": 0, "extra": {"api_key": "sk-1"}, "user": "u"}
    request = Request(provider="openai", headers={"authorization": "Bearer sk-1"}, body=body, received=5.0)
    text = written(request)
    assert "'api_key': '<secret>'" in text
    assert "'temperature': 0" in text
    assert "sk-1" not in text


def test_a_prompt_is_its_messages() -> None:
    prompt = ChatPromptTemplate([("system", "Be {mood}."), ("user", "{question}")])
    value = prompt.invoke({"mood": "kind", "question": "Who?"})
    assert written(value) == written([SystemMessage("Be kind."), HumanMessage("Who?")])


def test_types_of_one_s_own_are_written_as_one_says() -> None:
    def normalise(data: Any) -> Any:
        return "<booking>" if isinstance(data, complex) else None

    assert stable({"of": [1j, "x"]}, normalise) == {"of": ["<booking>", "x"]}
