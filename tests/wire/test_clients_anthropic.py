"""The real ChatAnthropic against the fake provider: what its users get from each answer and each fault."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx
import httpx2
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_anthropic import chat_models as classes
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel, SecretStr

from langchain_prodtest.script import Fault, Reply, Script, ToolCall, Usage, answer_for, new_nonce
from langchain_prodtest.wire import FakeServer
from langchain_prodtest.wire.anthropic import Anthropic
from langchain_prodtest.wire.codec import Event
from tests.wire.generation import ANTHROPIC_0

TRANSPORT: Any = httpx if ANTHROPIC_0 else httpx2
NONCE = new_nonce(7)
MODEL = "claude-prodtest"  # the client warns of what it knows about real ones
QUESTION = f"Say it. {NONCE}"
ANSWER = answer_for(NONCE)

Chat = Callable[..., ChatAnthropic]
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
    """One server for all tests: the client sets TLS up for each base URL anew, which takes long."""
    script = Script()
    with FakeServer(script, {"anthropic": "anthropic"}) as server:
        yield server, script


@pytest.fixture
def script(provider: tuple[FakeServer, Script]) -> Script:
    provider[1].reset()
    return provider[1]


@pytest.fixture
def chat(provider: tuple[FakeServer, Script], script: Script) -> Chat:
    server, _ = provider

    def make(**options: Any) -> ChatAnthropic:
        chosen: dict[str, Any] = {"model": MODEL, "api_key": SecretStr("sk-ant-fake")}
        return ChatAnthropic(**{**chosen, "base_url": server.url("anthropic"), **options})

    return make


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the SDK wait a hundredth of what it does between attempts."""
    monkeypatch.setattr("anthropic._base_client.INITIAL_RETRY_DELAY", 0.005)


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


def attempts(script: Script) -> list[int]:
    return [call.attempt for call in script.calls]


# -- healthy answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_the_answer_to_the_nonce_arrives_with_reason_and_usage(chat: Chat, script: Script, way: str) -> None:
    answer = ask(chat(), way)
    assert (answer.text, answer.response_metadata["stop_reason"]) == (ANSWER, "end_turn")
    assert answer.response_metadata["model_name"] == MODEL
    assert answer.usage_metadata["input_tokens"] == -(-len(QUESTION) // 4)
    assert answer.usage_metadata["output_tokens"] == -(-len(ANSWER) // 4)
    (call,) = script.calls
    assert (call.nonce, call.attempt, call.attempt_source) == (NONCE, 1, "header")
    assert (call.stream, call.closed_by) == ("stream" in way, "server")


def test_a_new_event_loop_for_each_call_sends_each_request_once(chat: Chat, script: Script) -> None:
    model = chat(max_retries=0)
    for _ in range(2):
        assert ask(model, "ainvoke").text == ask(model, "astream").text == ANSWER
    assert len(script.calls) == 4


def test_credentials_do_not_reach_the_journal(chat: Chat, script: Script) -> None:
    chat().invoke(QUESTION)
    (call,) = script.calls
    assert "present" in (call.headers.get("authorization"), call.headers.get("x-api-key"))
    assert "sk-ant-fake" not in repr(call)


@pytest.mark.parametrize("way", WAYS)
def test_cached_and_reasoning_tokens_arrive_and_add_up(chat: Chat, script: Script, way: str) -> None:
    script.add(Reply("said", usage=Usage(input=9, output=5, cached=4, reasoning=2)))
    usage = ask(chat(), way).usage_metadata
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (9, 5, 14)
    assert usage["input_token_details"]["cache_read"] == 4
    assert usage["output_token_details"]["reasoning"] == 2


@pytest.mark.parametrize("way", WAYS)
def test_tool_calls_arrive(chat: Chat, script: Script, way: str) -> None:
    calls = [ToolCall("book", {"seat": "12Ä"}, id="toolu_1"), ToolCall("book", {"seat": "3"})]
    script.add(Reply("I book.", tool_calls=calls))
    message = ask(chat().bind_tools([book]), way)
    assert [(call["name"], call["args"]) for call in message.tool_calls] == [
        ("book", {"seat": "12Ä"}),
        ("book", {"seat": "3"}),
    ]
    assert message.tool_calls[0]["id"] == "toolu_1"
    assert message.tool_calls[1]["id"].startswith("toolu_")
    assert message.text == "I book."
    assert message.response_metadata["stop_reason"] == "tool_use"
    assert script.calls[0].tools[0]["name"] == "book"


@pytest.mark.parametrize("way", WAYS)
def test_thinking_arrives_with_its_signature(chat: Chat, script: Script, way: str) -> None:
    script.add(Reply("Yes.", reasoning="It was said twice."))
    message = ask(chat(thinking={"type": "adaptive"}), way)
    thinking, text = [block for block in message.content if block]
    assert (thinking["type"], thinking["thinking"]) == ("thinking", "It was said twice.")
    assert thinking["signature"]
    assert text["text"] == "Yes."
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]


def test_a_whole_conversation_is_read_with_system_prompt_and_tool_results(chat: Chat, script: Script) -> None:
    tool_call = {"name": "book", "args": {"seat": "3"}, "id": "toolu_1", "type": "tool_call"}
    history = [
        SystemMessage("Be brief."),
        HumanMessage(QUESTION),
        AIMessage("", tool_calls=[tool_call]),
        ToolMessage("seat 3 is booked", tool_call_id="toolu_1"),
    ]
    assert chat().bind_tools([book]).invoke(history).text == ANSWER
    (call,) = script.calls
    assert [message["role"] for message in call.messages] == ["system", "user", "assistant", "tool"]
    assert call.messages[-1]["content"] == "seat 3 is booked"


def test_a_tool_call_without_its_result_is_refused(chat: Chat, script: Script) -> None:
    call = {"name": "book", "args": {}, "id": "toolu_1", "type": "tool_call"}
    history = [HumanMessage("hi"), AIMessage("", tool_calls=[call]), HumanMessage("well?")]
    with pytest.raises(classes.AnthropicInvalidRequestError, match="`tool_use` ids were found without"):
        chat().invoke(history)
    assert [call.unexpected for call in script.calls] == [True]


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_structured_output_whole_and_streamed(chat: Chat, script: Script, method: Any) -> None:
    fields = {"approve": False, "reason": "too late"}
    by_tool = method == "function_calling"
    reply = Reply(tool_calls=[ToolCall("Verdict", fields)]) if by_tool else Reply(json.dumps(fields))
    script.add(reply, reply)
    model = chat().with_structured_output(Verdict, method=method)
    expected = Verdict(approve=False, reason="too late")
    assert (model.invoke(QUESTION), list(model.stream(QUESTION))[-1]) == (expected, expected)
    body = script.calls[0].body
    forced, form = body.get("tool_choice"), body.get("output_config", {}).get("format", {})
    assert forced == ({"type": "tool", "name": "Verdict"} if by_tool else None)
    assert form.get("type") == (None if by_tool else "json_schema")


def test_tokens_are_counted_as_in_the_answer(chat: Chat, script: Script) -> None:
    messages = [SystemMessage("Be brief."), HumanMessage(QUESTION)]
    model = chat()
    answer = model.invoke(messages)
    assert answer.usage_metadata is not None
    assert model.get_num_tokens_from_messages(messages) == answer.usage_metadata["input_tokens"]
    assert [(call.operation, call.unexpected) for call in script.calls] == [
        ("chat", False),
        ("count_tokens", False),
    ]


@pytest.mark.parametrize("way", WAYS)
def test_a_refusal_is_a_normal_answer(chat: Chat, script: Script, way: str) -> None:
    script.add(Reply("I can", finish="content_filter"))
    answer = ask(chat(), way)
    assert (answer.text, answer.response_metadata["stop_reason"]) == ("I can", "refusal")


# -- errors before the answer -----------------------------------------------------------------------------


def _error(name: str, before: str) -> type[anthropic.APIStatusError]:
    kind: type[anthropic.APIStatusError] = getattr(anthropic._exceptions, before if ANTHROPIC_0 else name)
    return kind


STATUSES: dict[int, tuple[type[anthropic.APIStatusError], int]] = {
    400: (classes.AnthropicInvalidRequestError, 1),
    401: (classes.AnthropicAuthenticationError, 1),
    403: (classes.AnthropicPermissionDeniedError, 1),
    404: (classes.AnthropicModelNotFoundError, 1),
    408: (_error("RequestTimeoutError", "APIStatusError"), 3),
    409: (anthropic.ConflictError, 3),
    413: (_error("ContentTooLargeError", "RequestTooLargeError"), 1),
    422: (anthropic.UnprocessableEntityError, 1),
    424: (anthropic.APIStatusError, 1),
    429: (classes.AnthropicRateLimitError, 3),
    500: (classes.AnthropicAPIError, 3),
    502: (classes.AnthropicAPIError, 3),
    503: (classes.AnthropicAPIError, 3),
    504: (classes.AnthropicAPIError, 3),
    529: (classes.AnthropicOverloadedError, 3),
}
UNCLASSIFIED = {408, 409, 413, 422, 424}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("way", ["invoke", "astream"])
def test_an_error_status_raises_this_class_after_these_attempts(
    chat: Chat, script: Script, status: int, way: str
) -> None:
    kind, count = STATUSES[status]
    with script.always(Fault(status=status)), pytest.raises(anthropic.APIStatusError) as caught:
        ask(chat(), way)
    assert type(caught.value) is kind
    assert isinstance(caught.value, ModelError) == (status not in UNCLASSIFIED)
    assert (caught.value.request_id or "").startswith("req_01")
    assert attempts(script) == [1, 2, 3][:count]


def test_a_prompt_that_is_too_long_has_a_class_of_its_own(chat: Chat, script: Script) -> None:
    body = Anthropic().error(400, "prompt is too long: 210000 tokens > 200000 maximum", {}).decode()
    script.add(Fault(status=400, body=body))
    with pytest.raises(classes.AnthropicContextOverflowError):
        chat().invoke(QUESTION)


@pytest.mark.parametrize(("status", "told", "count"), [(429, "false", 1), (400, "true", 3)])
def test_the_server_says_whether_to_retry(
    chat: Chat, script: Script, status: int, told: str, count: int
) -> None:
    fault = Fault(status=status, headers={"x-should-retry": told})
    with script.always(fault), pytest.raises(anthropic.APIStatusError):
        chat().invoke(QUESTION)
    assert len(script.calls) == count


@pytest.mark.parametrize(
    ("retry_after", "waits"),
    [
        ({"retry_after": 30}, 30.0),
        ({"retry_after": 3600}, None if ANTHROPIC_0 else 3600.0),
        ({"retry_after": "inf"}, None if ANTHROPIC_0 else 4_294_967.0),
        ({"headers": {"retry-after-ms": "250"}}, 0.25),
        ({"retry_after": 0}, None),
        ({"retry_after": -1}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "nan"}, None),
    ],
)
def test_retry_after_is_obeyed_without_a_bound(
    chat: Chat,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    retry_after: dict[str, Any],
    waits: float | None,
) -> None:
    """Without a usable value, the SDK backs off by its own rule."""
    slept: list[float] = []
    monkeypatch.setattr("anthropic._base_client.time.sleep", slept.append)
    script.add(Fault(status=429, **retry_after), Reply("at last"))
    assert chat().invoke(QUESTION).text == "at last"
    (seconds,) = slept
    assert seconds == waits if waits is not None else 0 < seconds < 0.1


@pytest.mark.parametrize(("status", "own", "count"), [(503, 2, 9), (503, 0, 3), (401, 2, 1)])
def test_a_retry_above_multiplies_the_sdk_s_own(
    chat: Chat, script: Script, status: int, own: int, count: int
) -> None:
    model = chat(max_retries=own).with_retry(
        retry_if_exception_type=(classes.AnthropicAPIError,), wait_exponential_jitter=False
    )
    with script.always(Fault(status=status)), pytest.raises(ModelError):
        model.invoke(QUESTION)
    assert len(script.calls) == count


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke"])
@pytest.mark.parametrize("how", ["refuse", "reset", "eof"])
def test_a_connection_that_breaks_before_the_head_is_tried_three_times(
    chat: Chat, script: Script, how: Any, way: str
) -> None:
    script.add(*[Fault(how=how)] * 3, Reply("at last"))
    with pytest.raises(classes.AnthropicConnectionError):
        ask(chat(), way)
    assert [call.closed_by for call in script.calls] == ["fault"] * 3
    assert ask(chat(), way).text == "at last"


def test_a_port_where_nobody_listens_is_a_connection_error(chat: Chat) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        model = chat(base_url=f"http://127.0.0.1:{held.getsockname()[1]}")
        with pytest.raises(classes.AnthropicConnectionError):
            model.invoke(QUESTION)


def test_no_answer_times_out_three_times(chat: Chat, script: Script) -> None:
    with script.always(Fault(how="hang")), pytest.raises(classes.AnthropicTimeoutError):
        chat(timeout=0.2).invoke(QUESTION)
    assert [call.closed_by for call in script.wait_for(3)] == ["client"] * 3


@pytest.mark.parametrize("how", ["reset", "eof"])
def test_a_body_cut_short_of_its_length_is_tried_three_times(chat: Chat, script: Script, how: Any) -> None:
    with script.always(Fault(how=how, after=40)), pytest.raises(classes.AnthropicConnectionError):
        chat().invoke(QUESTION)
    assert attempts(script) == [1, 2, 3]


def test_a_body_that_ends_well_in_the_middle_is_not_json_and_not_retried(chat: Chat, script: Script) -> None:
    script.add(Fault(how="clean_end", after=40))
    with pytest.raises(json.JSONDecodeError):
        chat().invoke(QUESTION)
    assert attempts(script) == [1]


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
@pytest.mark.parametrize(
    ("how", "kind"), [("html", AttributeError), ("empty", TypeError), ("error_body", TypeError)]
)
def test_a_wrong_body_with_status_200_raises_and_is_not_retried(
    chat: Chat, script: Script, how: Any, kind: type[Exception], way: str
) -> None:
    script.add(Fault(how=how))
    with pytest.raises(kind):
        ask(chat(), way)
    assert attempts(script) == [1]


# -- damaged streams: always one attempt ------------------------------------------------------------------


@pytest.mark.parametrize("way", ["stream", "astream"])
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(how="eof", after=5), TRANSPORT.RemoteProtocolError),
        (Fault(how="eof", after=5, framing="length"), TRANSPORT.RemoteProtocolError),
        (Fault(how="eof", after_bytes=1999), TRANSPORT.RemoteProtocolError),
        (Fault(how="reset", after=5), TRANSPORT.ReadError),
        (Fault(how="garbage", after=5), json.JSONDecodeError),
        (Fault(how="stall", after=5), TRANSPORT.ReadTimeout),
    ],
)
def test_a_damaged_stream_raises_a_class_of_the_transport(
    chat: Chat, script: Script, fault: Fault, kind: type[Exception], way: str
) -> None:
    script.add(fault)
    with pytest.raises(kind) as caught:
        ask(chat(timeout=0.3), way)
    assert not isinstance(caught.value, ModelError)
    assert [call.attempt for call in script.wait_for(1)] == [1]


@pytest.mark.parametrize("way", ["stream", "astream"])
@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
def test_a_clean_early_end_is_presented_as_a_success(
    chat: Chat, script: Script, framing: Any, way: str
) -> None:
    script.add(Fault(how="clean_end", after=13, framing=framing))
    answer = ask(chat(), way)
    assert ANSWER.startswith(answer.text)
    assert 0 < len(answer.text) < len(ANSWER)
    assert answer.response_metadata.get("stop_reason") is None
    assert answer.usage_metadata is None
    assert attempts(script) == [1]


def test_a_tool_call_cut_by_a_clean_end_becomes_a_valid_tool_call(
    chat: Chat, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool_call = ToolCall("remove", {"path": "/data/tenant42/tmp", "recursive": False})
    monkeypatch.setattr(script, "default", lambda request: Reply(tool_calls=[tool_call]))
    script.add(Fault(how="clean_end", after=10))
    answer = ask(chat().bind_tools([book]), "stream")
    assert answer.invalid_tool_calls == []
    assert [call["args"] for call in answer.tool_calls] == [{"path": "/data/tenant42/"}]


def test_a_drip_defeats_the_time_out_of_the_client(chat: Chat, script: Script) -> None:
    script.add(Fault(how="drip", delay=0.001))
    assert ask(chat(timeout=0.5, max_retries=0), "invoke").text == ANSWER
    (call,) = script.calls
    assert call.ended - call.received >= 0.5


Change = Callable[[list[Event]], list[Event]]
Damage = Callable[[Change], None]


@pytest.fixture
def damage(monkeypatch: pytest.MonkeyPatch) -> Damage:
    """Return what makes the provider change the events of its streams."""
    healthy = Anthropic.events

    def changed(change: Change) -> None:
        monkeypatch.setattr(
            Anthropic, "events", lambda self, reply, request: change(healthy(self, reply, request))
        )

    return changed


def with_bytes(data: bytes) -> Change:
    return lambda events: [*events[:5], Event(data, "piece"), *events[5:]]


UNKNOWN_EVENT = b'event: novelty\ndata: {"type":"novelty","index":0}\n\n'
BAD_BYTES = b'event: content_block_delta\ndata: {"type":"content_block_delta","x":"\xff"}\n\n'


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_missing_message_stop_does_no_harm(chat: Chat, script: Script, way: str) -> None:
    script.add(Fault(how="missing", what="terminal"))
    answer = ask(chat(), way)
    assert (answer.text, answer.response_metadata["stop_reason"]) == (ANSWER, "end_turn")


@pytest.mark.parametrize("way", ["stream", "astream"])
@pytest.mark.parametrize("data", [UNKNOWN_EVENT, b": comment\n\n"])
def test_unknown_events_and_comments_do_no_harm(chat: Chat, damage: Damage, data: bytes, way: str) -> None:
    damage(with_bytes(data))
    answer = ask(chat(), way)
    assert (answer.text, answer.response_metadata["stop_reason"]) == (ANSWER, "end_turn")


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_missing_stop_reason_is_presented_as_a_success(chat: Chat, script: Script, way: str) -> None:
    script.add(Fault(how="missing", what="finish"))
    answer = ask(chat(), way)
    assert answer.text == ANSWER
    assert answer.response_metadata.get("stop_reason") is None
    assert answer.usage_metadata


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_an_error_event_raises_an_unclassified_error_with_status_200(
    chat: Chat, script: Script, way: str
) -> None:
    script.add(Fault(how="error_event", after=5))
    with pytest.raises(anthropic.APIStatusError) as caught:
        ask(chat(), way)
    assert type(caught.value) is anthropic.APIStatusError
    assert (caught.value.status_code, caught.value.type) == (200, "api_error")
    assert attempts(script) == [1]


@pytest.mark.parametrize("way", ["stream", "astream"])
@pytest.mark.parametrize("how", ["html", "empty", "error_body"])
def test_a_stream_that_is_none_raises(chat: Chat, script: Script, how: Any, way: str) -> None:
    script.add(Fault(how=how))
    with pytest.raises(ValueError, match="No generation chunks were returned"):
        ask(chat(), way)
    assert attempts(script) == [1]


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_stream_without_events_raises(chat: Chat, damage: Damage, way: str) -> None:
    damage(lambda events: [])
    with pytest.raises(ValueError, match="No generation chunks were returned"):
        ask(chat(), way)


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_bytes_that_are_no_text_raise(chat: Chat, damage: Damage, way: str) -> None:
    damage(with_bytes(BAD_BYTES))
    with pytest.raises(UnicodeDecodeError):
        ask(chat(), way)
