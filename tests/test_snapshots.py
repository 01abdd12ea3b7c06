"""A snapshot of LangChain's types is the same in every run, and still shows what changed."""

import datetime
import uuid
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage

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
