"""What holds for every protocol: it understands what it speaks, its planted answers are found, and it is set
up by the configuration."""

import json
from typing import Any

import pytest

from langchain_prodtest.config import Answer, Target
from langchain_prodtest.errors import UsageError
from langchain_prodtest.load.framing import Event
from langchain_prodtest.load.proof import PLANTED, plant, proven
from langchain_prodtest.load.protocols import PROTOCOLS, find_protocol
from langchain_prodtest.load.protocols.agent_server import AgentServer
from langchain_prodtest.load.protocols.langserve import LangServe
from langchain_prodtest.load.protocols.posted import Posted
from langchain_prodtest.load.protocols.sse import Sse
from langchain_prodtest.load.reading import Reading
from langchain_prodtest.measure import Sample

BODY: dict[str, Any] = {"question": "{prompt}"}
MAPPED = {
    "mapped-sse": Answer(text="delta.text", done="finished"),
    "mapped-sse-no-end": Answer(text="text"),
    "mapped-ndjson": Answer(framing="ndjson", text="choices.0.text", done="done"),
    "mapped-json": Answer(framing="json", text="answer.text"),
}
TARGETS = {name: Target(protocol=name) for name in PROTOCOLS if name != "mapped"} | {
    name: Target(protocol="mapped", body=BODY, answer=answer) for name, answer in MAPPED.items()
}


@pytest.fixture(params=TARGETS)
def protocol(request: pytest.FixtureRequest) -> Posted:
    return find_protocol(TARGETS[request.param])


def readings(protocol: Posted, body: bytes, step: int) -> list[Reading]:
    parser = protocol.parser()
    events: list[Event] = []
    for at in range(0, len(body), step):
        events += parser.feed(body[at : at + step])
    return [protocol.read(event) for event in [*events, *parser.close()]]


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_it_understands_what_it_speaks_however_it_is_cut(protocol: Posted, step: int) -> None:
    """With a terminal marker, or without one where the end of the body is the end."""
    said = readings(protocol, protocol.speak(['say "hé"', " now", "\n."]), step)
    assert "".join(reading.text for reading in said) == 'say "hé" now\n.'
    endings = [reading.ending for reading in said if reading.ending]
    assert endings == (["complete"] if protocol.at_end == "closed" else [])


def test_answers_that_are_wrong_on_purpose_are_reported_so(protocol: Posted) -> None:
    kept: list[Sample] = []
    plant(protocol, "chat", seed=5, keep=kept.append)
    assert [sample.outcome for sample in kept] == list(PLANTED)
    assert proven(kept) == ""


def test_the_question_is_in_the_body(protocol: Posted) -> None:
    assert 'say \\"hi\\"' in protocol.body('say "hi"').decode()
    assert isinstance(json.loads(protocol.body("{model}")), dict)
    assert b"{model}" in protocol.body("{model}")


@pytest.mark.parametrize("data", ["<html>", "{", '"'])
def test_what_is_not_json_is_an_error_and_never_text(protocol: Posted, data: str) -> None:
    """As a message, and under the name of every event that carries text."""
    named = {Sse: "token", LangServe: "data", AgentServer: "messages"}
    name = named.get(type(protocol), "message")
    reading = protocol.read(Event(name, data))
    assert (reading.text, reading.ending) == ("", "error_event")
    assert f"unreadable {name} event" in reading.detail


@pytest.mark.parametrize(
    ("name", "event", "detail"),
    [
        ("openai", Event("message", '{"error": {"message": "overloaded"}}'), "overloaded"),
        ("openai", Event("message", '{"error": "overloaded"}'), "overloaded"),
        ("anthropic", Event("error", '{"type": "error", "error": {"message": "overloaded"}}'), "overloaded"),
        (
            "langserve",
            Event("error", '{"status_code": 500, "message": "Internal"}'),
            "Internal",
        ),
        ("agent-server", Event("error", '{"error": "APIError", "message": "overloaded"}'), "overloaded"),
        ("agent-server", Event("error", '"overloaded"'), "overloaded"),
        ("sse", Event("error", '{"message": "overloaded"}'), "overloaded"),
    ],
)
def test_an_error_after_a_200_is_an_error(name: str, event: Event, detail: str) -> None:
    assert find_protocol(TARGETS[name]).read(event) == Reading(ending="error_event", detail=detail)


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("openai", Event("message", '{"choices": [{"delta": {"role": "assistant"}}]}')),
        ("openai", Event("message", '{"choices": [], "usage": {"total_tokens": 3}}')),
        ("openai", Event("message", '{"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]}')),
        ("anthropic", Event("ping", '{"type": "ping"}')),
        (
            "anthropic",
            Event("", '{"type": "content_block_delta", "delta": {"partial_json": "{"}}'),
        ),
        ("anthropic", Event("message_start", '{"type": "message_start", "message": {"content": []}}')),
        ("langserve", Event("metadata", '{"run_id": "1"}')),
        ("langserve", Event("data", '""')),
        ("langserve", Event("data", "3")),
        ("agent-server", Event("metadata", '{"run_id": "1"}')),
        ("agent-server", Event("messages", '[{"type": "tool", "content": "42"}, {}]')),
        ("agent-server", Event("messages", '[{"type": "human", "content": "hi"}, {}]')),
    ],
)
def test_what_is_no_answer_text_starts_no_clock(name: str, event: Event) -> None:
    assert find_protocol(TARGETS[name]).read(event) == Reading()


@pytest.mark.parametrize(
    "output",
    [
        '"hi"',
        '{"content": "hi", "type": "AIMessageChunk"}',
        '{"content": [{"type": "text", "text": "hi"}], "type": "AIMessageChunk"}',
        '{"output": "hi"}',
        '{"output": {"content": "hi"}}',
    ],
)
def test_langserves_chunks_are_read_in_every_shape_of_a_chain(output: str) -> None:
    assert find_protocol(TARGETS["langserve"]).read(Event("data", output)) == Reading(text="hi")


def test_a_mapped_error_wins_and_a_path_may_end_anywhere() -> None:
    target = Target(protocol="mapped", body=BODY, answer=Answer(text="a.0.b", error="error.message"))
    protocol = find_protocol(target)
    reading = protocol.read(Event("message", '{"error": {"message": "no"}}'))
    assert reading == Reading(ending="error_event", detail="no")
    for data in ("{}", '{"a": []}', '{"a": 3}', '{"a": [{"b": 3}]}', "[]", "null"):
        assert protocol.read(Event("message", data)) == Reading()


def test_configured_bodies_headers_and_models_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "secret")
    target = Target(
        protocol="langserve", model="big", headers={"Authorization": "Bearer $KEY"},
        body={"input": {"q": ["{prompt} by {model}", 3]}},
    )  # fmt: skip
    protocol = find_protocol(target)
    assert json.loads(protocol.body("hi")) == {"input": {"q": ["hi by big", 3]}}
    assert protocol.headers == {"Authorization": "Bearer secret"}


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (Target(protocol="ssee"), 'Did you mean "sse"'),
        (Target(protocol="mapped"), 'protocol "mapped" needs body'),
        (Target(headers={"Authorization": "$NOT_SET_ANYWHERE"}), "NOT_SET_ANYWHERE is not set; export it"),
        (Target(headers={"a": "b\r\nc: d"}), "printable ASCII only"),
    ],
)
def test_what_cannot_be_is_refused(target: Target, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        find_protocol(target)
