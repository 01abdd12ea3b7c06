"""The real ChatOllama, OllamaLLM and OllamaEmbeddings against the fake provider, in health and in faults."""

import asyncio
import json
import math
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import ollama
import pytest
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM
from pydantic import BaseModel, ValidationError

from langchain_prodtest.script import Fault, Match, Reply, Script, ToolCall, Usage, answer_for, new_nonce
from langchain_prodtest.wire import FakeServer
from langchain_prodtest.wire.codec import Event
from langchain_prodtest.wire.ollama import Ollama

NONCE = new_nonce(7)
QUESTION = f"Say it. {NONCE}"
ANSWER = answer_for(NONCE)

Chat = Callable[..., ChatOllama]
WAYS = ["invoke", "ainvoke", "stream", "astream"]


class Verdict(BaseModel):
    """Whether to approve."""

    approve: bool
    reason: str


def book(seat: str) -> str:
    """Book a seat."""
    return seat


@pytest.fixture(scope="module")
def provider() -> Iterator[tuple[FakeServer, Script]]:
    script = Script()
    with FakeServer(script, {"ollama": "ollama"}) as server:
        yield server, script


@pytest.fixture
def script(provider: tuple[FakeServer, Script]) -> Script:
    provider[1].reset()
    return provider[1]


@pytest.fixture
def url(provider: tuple[FakeServer, Script], script: Script) -> str:
    return provider[0].url("ollama")


@pytest.fixture
def chat(url: str) -> Chat:
    def make(**options: Any) -> ChatOllama:
        return ChatOllama(**{"model": "llama3.1", "base_url": url, **options})

    return make


def ask(model: Any, way: str, question: Any = QUESTION) -> Any:
    """Return the answer that a client gets in one of four ways, the pieces of a stream put together."""
    if way == "ainvoke":
        return asyncio.run(model.ainvoke(question))
    if way == "invoke":
        return model.invoke(question)

    async def collected() -> list[Any]:
        return [chunk async for chunk in model.astream(question)]

    first, *rest = asyncio.run(collected()) if way == "astream" else list(model.stream(question))
    for chunk in rest:
        first += chunk
    return first


# -- healthy answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_the_answer_to_the_nonce_arrives_with_reason_and_usage(chat: Chat, script: Script, way: str) -> None:
    """The client streams whatever the way."""
    answer = ask(chat(), way)
    assert (answer.text, answer.response_metadata["done_reason"]) == (ANSWER, "stop")
    assert answer.response_metadata["model_name"] == "llama3.1"
    assert answer.response_metadata["eval_duration"] > 0
    assert answer.usage_metadata["input_tokens"] == -(-len(QUESTION) // 4)
    assert answer.usage_metadata["output_tokens"] == -(-len(ANSWER) // 4)
    (call,) = script.calls
    assert (call.nonce, call.stream, call.closed_by) == (NONCE, True, "server")


def test_a_new_event_loop_for_each_call_sends_each_request_once(chat: Chat, script: Script) -> None:
    model = chat()
    for _ in range(2):
        assert ask(model, "ainvoke").text == ask(model, "astream").text == ANSWER
    assert [(call.attempt, call.attempt_source) for call in script.calls] == [
        (number, "digest") for number in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize("way", WAYS)
def test_tool_calls_and_given_usage_arrive(chat: Chat, script: Script, way: str) -> None:
    calls = [ToolCall("book", {"seat": "12Ä"}), ToolCall("book", {"seat": "3"})]
    script.add(Reply("I book.", tool_calls=calls, usage=Usage(input=9, output=5)))
    message = ask(chat().bind_tools([book]), way)
    assert [(call["name"], call["args"]) for call in message.tool_calls] == [
        ("book", {"seat": "12Ä"}),
        ("book", {"seat": "3"}),
    ]
    assert message.text == "I book."
    assert message.usage_metadata["total_tokens"] == 14
    assert script.calls[0].tools[0]["function"]["name"] == "book"


@pytest.mark.parametrize("way", WAYS)
def test_thinking_arrives_where_it_is_asked_for(chat: Chat, script: Script, way: str) -> None:
    script.add(*[Reply("Yes.", reasoning="It was said twice.")] * 2)
    asked, unasked = ask(chat(reasoning=True), way), ask(chat(), way)
    assert asked.additional_kwargs["reasoning_content"] == "It was said twice."
    assert asked.text == unasked.text == "Yes."
    assert "reasoning_content" not in unasked.additional_kwargs


def test_a_whole_conversation_is_read(chat: Chat, script: Script) -> None:
    tool_call = {"name": "book", "args": {"seat": "3"}, "id": "1", "type": "tool_call"}
    history = [
        SystemMessage("Be brief."),
        HumanMessage(QUESTION),
        AIMessage("", tool_calls=[tool_call]),
        ToolMessage("seat 3 is booked", tool_call_id="1"),
    ]
    assert chat().bind_tools([book]).invoke(history).text == ANSWER
    (call,) = script.calls
    assert [message["role"] for message in call.messages] == ["system", "user", "assistant", "tool"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_structured_output_whole_and_streamed(chat: Chat, script: Script, method: Any) -> None:
    fields = {"approve": False, "reason": "too late"}
    by_tool = method == "function_calling"
    reply = Reply(tool_calls=[ToolCall("Verdict", fields)]) if by_tool else Reply(json.dumps(fields))
    script.add(reply, reply)
    model = chat().with_structured_output(Verdict, method=method)
    expected = Verdict(approve=False, reason="too late")
    assert (model.invoke(QUESTION), list(model.stream(QUESTION))[-1]) == (expected, expected)
    forms: dict[str, Any] = {"json_schema": Verdict.model_json_schema(), "json_mode": "json"}
    assert script.calls[0].body.get("format") == forms.get(method)


def test_a_model_is_validated_by_the_list_of_models(chat: Chat, script: Script) -> None:
    assert chat(validate_model_on_init=True).invoke(QUESTION).text == ANSWER
    with pytest.raises(ValueError, match=r"`nobody` not found in Ollama.*prodtest:latest"):
        chat(model="nobody", validate_model_on_init=True)
    assert [(call.operation, call.unexpected) for call in script.calls] == [
        ("models", False),
        ("chat", False),
        ("models", False),
    ]


@pytest.mark.parametrize("way", WAYS)
def test_a_completion_model_answers_a_prompt(url: str, script: Script, way: str) -> None:
    model = OllamaLLM(model="llama3.1", base_url=url)
    assert ask(model, way) == ANSWER
    assert [(call.operation, call.nonce) for call in script.calls] == [("generate", NONCE)]


def test_the_client_of_ollama_itself_is_answered(url: str, script: Script) -> None:
    client = ollama.Client(url)
    assert client.chat("m", [{"role": "user", "content": QUESTION}], stream=False).message.content == ANSWER
    assert client.generate("m", QUESTION, stream=False).response == ANSWER
    assert client.show("m").capabilities
    assert client.generate("m", keep_alive=-1).done_reason == "load"
    assert [call.stream for call in script.calls] == [False] * 4


def test_embeddings_are_near_for_near_texts_and_as_long_as_asked(url: str, script: Script) -> None:
    embeddings = OllamaEmbeddings(model="nomic-embed-text", base_url=url)
    near, also_near, far = embeddings.embed_documents(["a red car", "red cars", "income tax"])
    assert math.dist(near, also_near) < math.dist(near, far)
    assert near == asyncio.run(embeddings.aembed_query("a red car"))
    shorter = OllamaEmbeddings(model="nomic-embed-text", base_url=url, dimensions=32)
    assert (len(near), len(shorter.embed_query("a red car"))) == (768, 32)
    assert [call.operation for call in script.calls] == ["embeddings"] * 3


# -- errors before the answer: one attempt each -----------------------------------------------------------


@pytest.mark.parametrize(
    "status", [400, 401, 403, 404, 408, 409, 413, 422, 424, 429, 500, 502, 503, 504, 529]
)
@pytest.mark.parametrize("way", ["invoke", "astream"])
def test_an_error_status_raises_a_response_error_at_once(
    chat: Chat, script: Script, status: int, way: str
) -> None:
    with script.always(Fault(status=status)), pytest.raises(ollama.ResponseError) as caught:
        ask(chat(), way)
    assert caught.value.status_code == status
    assert not isinstance(caught.value, ModelError)
    assert len(script.calls) == 1


@pytest.mark.parametrize("status", [401, 503])
def test_only_a_retry_above_tries_again_and_a_wrong_key_too(chat: Chat, script: Script, status: int) -> None:
    model = chat().with_retry(wait_exponential_jitter=False)
    with script.always(Fault(status=status)), pytest.raises(ollama.ResponseError):
        model.invoke(QUESTION)
    assert [call.attempt for call in script.calls] == [1, 2, 3]


def test_an_error_tells_its_text_alone(chat: Chat, script: Script) -> None:
    script.add(Fault(status=404, body=Ollama().error(404, "model 'llama3.1' not found", {}).decode()))
    with pytest.raises(ollama.ResponseError, match=r"^model 'llama3.1' not found \(status code: 404\)$"):
        chat().invoke(QUESTION)


def test_an_error_in_openai_s_shape_is_passed_on_as_an_object(chat: Chat, script: Script) -> None:
    script.add(Fault(status=500, body='{"error": {"message": "no"}}'))
    with pytest.raises(ollama.ResponseError, match=r"^{'message': 'no'} \(status code: 500\)$"):
        chat().invoke(QUESTION)


@pytest.mark.parametrize("way", ["invoke", "astream"])
@pytest.mark.parametrize(
    ("how", "kind"),
    [("refuse", httpx.TransportError), ("reset", httpx.ReadError), ("eof", httpx.RemoteProtocolError)],
)
def test_a_connection_that_breaks_before_the_head_raises_at_once(
    chat: Chat, script: Script, how: Any, kind: type[Exception], way: str
) -> None:
    script.add(Fault(how=how), Reply("at last"))
    with pytest.raises(kind):
        ask(chat(), way)
    assert [call.closed_by for call in script.calls] == ["fault"]
    assert ask(chat(), way).text == "at last"


def test_a_port_where_nobody_listens_is_a_connection_error(chat: Chat) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(httpx.ConnectError):
            chat(base_url=base).invoke(QUESTION)
        with pytest.raises(ConnectionError, match="Failed to connect to Ollama"):
            OllamaEmbeddings(model="nomic-embed-text", base_url=base).embed_query("hi")


def test_no_answer_times_out_once(chat: Chat, script: Script) -> None:
    script.add(Fault(how="hang"))
    with pytest.raises(httpx.ReadTimeout):
        chat(client_kwargs={"timeout": 0.2}).invoke(QUESTION)
    assert [call.closed_by for call in script.wait_for(1)] == ["client"]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(status=503), ollama.ResponseError),
        (Fault(how="eof"), httpx.RemoteProtocolError),
        (Fault(how="eof", after=40), httpx.RemoteProtocolError),
        (Fault(how="clean_end", after=40), json.JSONDecodeError),
    ],
)
def test_embeddings_fail_at_once(url: str, script: Script, fault: Fault, kind: type[Exception]) -> None:
    script.add(fault, match=Match(operation="embeddings"))
    with pytest.raises(kind):
        OllamaEmbeddings(model="nomic-embed-text", base_url=url).embed_query("hi")
    assert len(script.calls) == 1


# -- damaged streams, also under invoke: always one attempt -----------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(how="eof", after=5), httpx.RemoteProtocolError),
        (Fault(how="eof", after=5, framing="length"), httpx.RemoteProtocolError),
        (Fault(how="reset", after=5), httpx.ReadError),
        (Fault(how="garbage", after=5), json.JSONDecodeError),
        (Fault(how="stall", after=5), httpx.ReadTimeout),
    ],
)
def test_a_damaged_stream_raises_a_class_of_the_transport(
    chat: Chat, script: Script, fault: Fault, kind: type[Exception], way: str
) -> None:
    script.add(fault)
    with pytest.raises(kind):
        ask(chat(client_kwargs={"timeout": 0.2}), way)
    assert [call.attempt for call in script.wait_for(1)] == [1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
def test_a_clean_early_end_is_presented_as_a_success(
    chat: Chat, script: Script, framing: Any, way: str
) -> None:
    script.add(Fault(how="clean_end", after=13, framing=framing))
    answer = ask(chat(), way)
    assert ANSWER.startswith(answer.text)
    assert 0 < len(answer.text) < len(ANSWER)
    assert "done_reason" not in answer.response_metadata
    assert answer.usage_metadata is None
    assert len(script.calls) == 1


def test_a_drip_defeats_the_time_out_of_the_client(chat: Chat, script: Script) -> None:
    script.add(Fault(how="drip", delay=0.0002))
    assert ask(chat(client_kwargs={"timeout": 0.4}), "invoke").text == ANSWER
    (call,) = script.calls
    assert call.ended - call.received >= 0.4


Change = Callable[[list[Event]], list[Event]]
Damage = Callable[[Change], None]


@pytest.fixture
def damage(monkeypatch: pytest.MonkeyPatch) -> Damage:
    """Return what makes the provider change the lines of its streams."""
    healthy = Ollama.events

    def changed(change: Change) -> None:
        monkeypatch.setattr(
            Ollama, "events", lambda self, reply, request: change(healthy(self, reply, request))
        )

    return changed


def with_bytes(data: bytes) -> Change:
    return lambda events: [*events[:5], Event(data, "piece"), *events[5:]]


@pytest.mark.parametrize("way", ["invoke", "astream"])
def test_a_missing_done_line_is_presented_as_a_success(chat: Chat, script: Script, way: str) -> None:
    script.add(Fault(how="missing", what="terminal"))
    answer = ask(chat(), way)
    assert answer.text == ANSWER
    assert "done_reason" not in answer.response_metadata
    assert answer.usage_metadata is None


@pytest.mark.parametrize("way", ["invoke", "astream"])
def test_fields_and_lines_that_are_unknown_do_no_harm(chat: Chat, damage: Damage, way: str) -> None:
    damage(
        with_bytes(b'{"model":"m","message":{"role":"assistant","content":"","new":1},"done":false,"n":1}\n')
    )
    assert ask(chat(), way).text == ANSWER


@pytest.mark.parametrize("way", ["invoke", "astream"])
def test_an_error_line_raises_without_a_status(chat: Chat, script: Script, way: str) -> None:
    script.add(Fault(how="error_event", after=5))
    with pytest.raises(ollama.ResponseError, match="The server had an error") as caught:
        ask(chat(), way)
    assert caught.value.status_code == -1
    assert len(script.calls) == 1


@pytest.mark.parametrize("way", ["invoke", "astream"])
@pytest.mark.parametrize(
    ("how", "kind"),
    [("html", json.JSONDecodeError), ("error_body", ollama.ResponseError), ("empty", ValidationError)],
)
def test_a_wrong_body_with_status_200_raises_at_once(
    chat: Chat, script: Script, how: Any, kind: type[Exception], way: str
) -> None:
    script.add(Fault(how=how))
    with pytest.raises(kind):
        ask(chat(), way)
    assert len(script.calls) == 1


@pytest.mark.parametrize("way", ["invoke", "astream"])
@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (with_bytes(b"\n"), json.JSONDecodeError, "Expecting value"),
        (with_bytes(b'{"message":{"content":"\xff"}\n'), json.JSONDecodeError, "Expecting"),
        (with_bytes(b'{"error":{"message":"no"}}\n'), TypeError, "JSON object must be str"),
        (lambda events: [], ValueError, "No data received from Ollama stream|No generation chunks"),
    ],
    ids=["blank line", "bad bytes", "error object", "no line"],
)
def test_lines_that_are_no_json_raise(
    chat: Chat, damage: Damage, change: Change, kind: type[Exception], message: str, way: str
) -> None:
    damage(change)
    with pytest.raises(kind, match=message):
        ask(chat(), way)


@pytest.mark.parametrize("way", ["invoke", "astream"])
def test_an_answer_that_only_loads_the_model_is_none(chat: Chat, script: Script, way: str) -> None:
    script.add(Reply("", finish="load"))
    with pytest.raises(ValueError, match=r"No data received from Ollama stream|No generation chunks"):
        ask(chat(), way)
