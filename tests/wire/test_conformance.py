"""Every real client against its fake provider: the same claims for all. A new client is a row of CLIENTS."""

import asyncio
import gc
import time
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from openrouter.errors import ResponseValidationError
from pydantic import BaseModel

from langchain_prodtest.script import Fault, Reply, Script, ToolCall, Usage, answer_for, new_nonce
from langchain_prodtest.wire import FakeServer
from tests.wire.clients import CLIENTS, DAMAGES, Client

NONCE = new_nonce(7)
QUESTION = f"Say it. {NONCE}"
ANSWER = answer_for(NONCE)

pytestmark = [  # the clients' own
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession"),
    pytest.mark.filterwarnings("ignore:Model .* is not known to support structured output"),
]

Chat = Callable[..., BaseChatModel]


class Verdict(BaseModel):
    """Whether to approve."""

    approve: bool
    reason: str


def book(seat: str) -> str:
    """Book a seat."""
    return seat


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> Client:
    return CLIENTS[request.param]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def chat(client: Client, script: Script) -> Iterator[Chat]:
    with FakeServer(script, {client.provider: client.provider}) as server:
        yield lambda **options: client.build(server.url(client.provider), **options)


@pytest.fixture
def sessions_left_open() -> Iterator[None]:
    """Collect the sessions that aiohttp's users do not close, lest they fail the test that runs then."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a clock of their own run for the retries that clients do beside their SDK."""
    passed = [time.time()]

    def sleep(seconds: float) -> None:
        passed[0] += seconds

    clock = SimpleNamespace(sleep=sleep, time=lambda: passed[0], monotonic=time.monotonic)
    monkeypatch.setattr("tenacity.nap.time", clock)
    monkeypatch.setattr("openrouter.utils.retries.time", clock)


def collect(model: Any) -> AIMessageChunk:
    chunks = list(model.stream(QUESTION))
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    assert isinstance(total, AIMessageChunk)
    return total


async def acollect(model: Any) -> AIMessageChunk:
    chunks = [chunk async for chunk in model.astream(QUESTION)]
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    assert isinstance(total, AIMessageChunk)
    return total


async def both(model: Any) -> tuple[str, str]:
    return (await model.ainvoke(QUESTION)).text, (await acollect(model)).text


def finish(message: AIMessage) -> str:
    """Return what the provider says of how the answer ended; "" if it did not."""
    return str(
        message.response_metadata.get("finish_reason") or message.response_metadata.get("status") or ""
    )


def name_of(error: BaseException) -> str:
    return f"{type(error).__module__.partition('.')[0]}.{type(error).__name__}"


# -- healthy answers --------------------------------------------------------------------------------------


def test_invoke_and_stream_give_the_answer_and_say_that_it_ended(chat: Chat, script: Script) -> None:
    model = chat()
    for message in (model.invoke(QUESTION), collect(model)):
        assert (message.text, finish(message)) in [(ANSWER, "stop"), (ANSWER, "completed")]
    assert [(call.nonce, call.operation) for call in script.calls] == [(NONCE, script.calls[0].operation)] * 2


@pytest.mark.usefixtures("sessions_left_open")
def test_ainvoke_and_astream_give_the_answer(chat: Chat) -> None:
    assert asyncio.run(both(chat())) == (ANSWER, ANSWER)


def test_usage_is_as_scripted_whole_and_streamed(chat: Chat, client: Client, script: Script) -> None:
    script.add(*[Reply("said", usage=Usage(input=9, output=5, cached=4, reasoning=2))] * 2)
    model = chat()
    for message in (model.invoke(QUESTION), collect(model)):
        assert isinstance(message, AIMessage)
        assert message.usage_metadata
        usage = message.usage_metadata
        assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (9, 5, 14)
        told = {
            "cached": usage.get("input_token_details", {}).get("cache_read"),
            "reasoning": usage.get("output_token_details", {}).get("reasoning"),
        }
        assert {name: count for name, count in told.items() if count is not None} == {
            name: count for name, count in (("cached", 4), ("reasoning", 2)) if name in client.details
        }


def test_tool_calls_arrive_whole_and_in_a_stream(chat: Chat, script: Script) -> None:
    reply = Reply(
        tool_calls=[ToolCall("book", {"seat": "12Ä"}, id="call_1"), ToolCall("book", {"seat": "3"})]
    )
    script.add(reply, reply)
    model = chat().bind_tools([book])
    for message in (model.invoke(QUESTION), collect(model)):
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [
            ("book", {"seat": "12Ä"}),
            ("book", {"seat": "3"}),
        ]
        assert message.tool_calls[0]["id"] == "call_1"
        assert message.tool_calls[1]["id"]
        assert finish(message) in ("tool_calls", "completed")


def test_structured_output_by_a_schema_whole_and_streamed(chat: Chat, client: Client, script: Script) -> None:
    script.add(*[Reply('{"approve": false, "reason": "too late"}')] * 2)
    model = chat().with_structured_output(Verdict, **client.structured)
    assert model.invoke(QUESTION) == Verdict(approve=False, reason="too late")
    assert list(model.stream(QUESTION))[-1] == Verdict(approve=False, reason="too late")


def test_reasoning_is_told_where_the_client_reads_it(chat: Chat, client: Client, script: Script) -> None:
    script.add(*[Reply("so", reasoning="because of this")] * 2)
    model = chat()
    for message in (model.invoke(QUESTION), collect(model)):
        assert message.text == "so"
        assert message.additional_kwargs.get("reasoning_content", "") == (
            "because of this" if client.reasoning else ""
        )


# -- errors -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_pauses")
def test_each_error_status_raises_its_error_after_so_many_attempts(
    chat: Chat, client: Client, script: Script
) -> None:
    found, model = {}, chat()
    for status in client.errors:
        script.reset()
        fault = Fault(status=status, headers={"retry-after-ms": "1"})
        with script.always(fault), pytest.raises(Exception) as caught:  # noqa: PT011 - the table says which
            model.invoke(QUESTION)
        found[status] = (name_of(caught.value), len(script.calls))
    assert found == client.errors


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("fault", [Fault(how="eof"), Fault(how="eof", after=40)], ids=["eof", "cut"])
def test_an_answer_that_is_cut_raises_after_so_many_attempts(
    chat: Chat, client: Client, script: Script, fault: Fault
) -> None:
    with script.always(fault), pytest.raises(Exception) as caught:  # noqa: PT011 - the table says which
        chat().invoke(QUESTION)
    assert type(caught.value).__name__ in client.cut
    assert len(script.calls) == client.attempts


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("client", [CLIENTS["openrouter"]])
@pytest.mark.parametrize("fault", [Fault(status=500), Fault(status=503), Fault(how="reset")])
def test_openrouter_s_client_hammers_a_provider_that_is_down(
    chat: Chat, script: Script, fault: Fault
) -> None:
    with script.always(fault), pytest.raises(Exception, match=r"."):
        chat().invoke(QUESTION)
    assert len(script.calls) > 10


# -- damaged streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset", "eof"])
def test_a_cut_stream_raises_and_is_not_tried_again(
    chat: Chat, client: Client, script: Script, how: Any
) -> None:
    script.add(Fault(how=how, after=7))
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the table says which
        collect(chat())
    assert type(caught.value).__name__ in client.cut_stream
    assert len(script.calls) == 1


def test_a_garbage_event_raises_and_is_not_tried_again(chat: Chat, client: Client, script: Script) -> None:
    script.add(Fault(how="garbage", after=5))
    with pytest.raises((ValueError, ResponseValidationError), match=r"Expecting|invalid response|validation"):
        collect(chat())
    assert len(script.calls) == 1


def test_a_clean_early_end_is_presented_as_a_success(chat: Chat, script: Script) -> None:
    """The reason for this tool: half an answer, no error, no retry; only how it ended is not said."""
    script.add(Fault(how="clean_end", after=13))
    answer = collect(chat())
    assert ANSWER.startswith(answer.text)
    assert 0 < len(answer.text) < len(ANSWER)
    assert finish(answer) == ""
    assert len(script.calls) == 1


def test_each_damage_with_status_200_comes_to_what_the_table_says(
    chat: Chat, client: Client, script: Script
) -> None:
    found, model = {}, chat()
    for name in client.damage:
        script.reset()
        fault, streamed = DAMAGES[name]
        with script.always(fault):
            try:
                answer = collect(model) if streamed else model.invoke(QUESTION)
                found[name] = f"ok, {finish(answer) or 'no end'}"
            except Exception as error:
                found[name] = name_of(error)
        assert len(script.calls) == 1
    assert found == client.damage
