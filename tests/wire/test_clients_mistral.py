"""The real ChatMistralAI and MistralAIEmbeddings against the fake: what their users get from each answer."""

import asyncio
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessageChunk
from langchain_mistralai import ChatMistralAI, MistralAIEmbeddings
from pydantic import BaseModel, SecretStr
from tenacity import RetryError
from tokenizers import Tokenizer, models

from langchain_prodtest.script import Fault, Match, Reply, Script, ToolCall, Usage, answer_for, new_nonce
from langchain_prodtest.vectors import embed
from langchain_prodtest.wire import FakeServer

NONCE = new_nonce(7)
QUESTION = f"Say it. {NONCE}"
ANSWER = answer_for(NONCE)

Chat = Callable[..., ChatMistralAI]


class Verdict(BaseModel):
    """Whether to approve."""

    approve: bool
    reason: str


def book(seat: str) -> str:
    """Book a seat."""
    return seat


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def url(script: Script) -> Iterator[str]:
    with FakeServer(script, {"mistral": "mistral"}) as server:
        yield server.url("mistral")


@pytest.fixture
def chat(url: str) -> Chat:
    def make(**options: Any) -> ChatMistralAI:
        client: Callable[..., ChatMistralAI] = ChatMistralAI
        return client(model="mistral-small", api_key=SecretStr("fake"), base_url=url, **options)

    return make


@pytest.fixture
def embeddings(url: str) -> MistralAIEmbeddings:
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))  # else one is looked for outside
    return MistralAIEmbeddings(api_key=SecretStr("fake"), endpoint=url, tokenizer=tokenizer)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Do not sleep before a retry; note for how long it would have been."""
    slept: list[float] = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=slept.append, monotonic=time.monotonic))
    return slept


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


# -- healthy answers --------------------------------------------------------------------------------------


def test_invoke_and_stream_give_the_answer_to_the_nonce(chat: Chat, script: Script) -> None:
    for message in (chat().invoke(QUESTION), collect(chat())):
        assert message.text == ANSWER
        assert message.response_metadata["finish_reason"] == "stop"
        assert message.response_metadata["model_name"] == "mistral-small"
    assert [(call.nonce, call.stream, call.closed_by) for call in script.wait_for(2)] == [
        (NONCE, False, "server"),
        (NONCE, True, "server"),
    ]


def test_a_new_event_loop_for_each_call_sends_each_request_once(chat: Chat, script: Script) -> None:
    model = chat()
    for _ in range(2):
        assert asyncio.run(model.ainvoke(QUESTION)).text == ANSWER
        assert asyncio.run(acollect(model)).text == ANSWER
    assert len(script.wait_for(4)) == 4


def test_usage_is_the_same_whole_and_streamed(chat: Chat, script: Script) -> None:
    script.add(*[Reply("five words are said here", usage=Usage(input=9, output=5))] * 2)
    for message in (chat().invoke(QUESTION), collect(chat())):
        assert message.usage_metadata is not None
        usage = message.usage_metadata
        assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (9, 5, 14)


def test_tool_calls_arrive_whole_and_in_a_stream(chat: Chat, script: Script) -> None:
    calls = [ToolCall("book", {"seat": "12Ä"}, id="abcDEF123"), ToolCall("book", {"seat": "3"})]
    script.add(*[Reply(tool_calls=calls)] * 2)
    model = chat().bind_tools([book])
    for message in (model.invoke(QUESTION), collect(model)):
        assert [call["args"] for call in message.tool_calls] == [{"seat": "12Ä"}, {"seat": "3"}]
        assert message.tool_calls[0]["id"] == "abcDEF123"
        assert len(message.tool_calls[1]["id"] or "") == 9
        assert message.response_metadata["finish_reason"] == "tool_calls"
    assert [call.tools[0]["function"]["name"] for call in script.wait_for(2)] == ["book", "book"]


def test_thoughts_arrive_as_reasoning(chat: Chat, script: Script) -> None:
    script.add(*[Reply("done", reasoning="because")] * 2)
    for message in (chat().invoke(QUESTION), collect(chat())):
        assert message.text == "done"
        assert [block["reasoning"] for block in message.content_blocks if block["type"] == "reasoning"] == [
            "because"
        ]


@pytest.mark.parametrize("method", ["function_calling", "json_mode", "json_schema"])
def test_structured_output(chat: Chat, script: Script, method: Any) -> None:
    verdict = Verdict(approve=False, reason="too late")
    if method == "function_calling":
        script.add(Reply(tool_calls=[ToolCall("Verdict", verdict.model_dump())]))
    else:
        script.add(Reply(verdict.model_dump_json()))
    assert chat().with_structured_output(Verdict, method=method).invoke(QUESTION) == verdict


def test_texts_are_embedded(embeddings: MistralAIEmbeddings, script: Script) -> None:
    assert embeddings.embed_documents(["a", "b"]) == [embed("a", 1024), embed("b", 1024)]
    assert embeddings.embed_query("a") == asyncio.run(embeddings.aembed_query("a")) == embed("a", 1024)
    assert [call.operation for call in script.wait_for(3)] == ["embeddings"] * 3


# -- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 404, 408, 422, 429, 500, 503, 529])
@pytest.mark.parametrize("stream", [True, False])
def test_every_status_is_tried_once_and_is_no_model_error(
    chat: Chat, script: Script, status: int, stream: bool
) -> None:
    """Though the client's `max_retries` is 5."""
    script.add(Fault(status=status, retry_after=1))
    with pytest.raises(httpx.HTTPStatusError) as caught:
        collect(chat()) if stream else chat().invoke(QUESTION)
    assert not isinstance(caught.value, ModelError)
    assert caught.value.response.headers["mistral-correlation-id"]
    assert '"object":"error"' in str(caught.value) or status == 422
    assert len(script.wait_for(1)) == 1


@pytest.mark.parametrize("how", ["refuse", "reset", "eof"])
def test_a_connection_that_breaks_before_the_head_is_tried_five_times_over_twenty_seconds(
    chat: Chat, script: Script, pauses: list[float], how: Any
) -> None:
    script.add(*[Fault(how=how)] * 4, Reply("at last"))
    assert chat().invoke(QUESTION).text == "at last"
    assert len(script.wait_for(5)) == 5
    assert pauses == [4, 4, 4, 8]


def test_the_attempt_is_inferred_from_the_digest(chat: Chat, script: Script, pauses: list[float]) -> None:
    script.add(*[Fault(how="eof")] * 2, Reply("at last"))
    chat().invoke(QUESTION)
    assert [(call.attempt, call.attempt_source) for call in script.wait_for(3)] == [
        (1, "digest"),
        (2, "digest"),
        (3, "digest"),
    ]


def test_a_stream_whose_connection_breaks_before_the_head_is_not_tried_again(
    chat: Chat, script: Script
) -> None:
    script.add(Fault(how="eof"))
    with pytest.raises(httpx.TransportError):
        collect(chat())
    assert len(script.wait_for(1)) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_embeddings_are_tried_five_times_half_a_minute_apart(
    embeddings: MistralAIEmbeddings, script: Script, pauses: list[float], status: int
) -> None:
    with script.always(Fault(status=status)), pytest.raises(RetryError):
        embeddings.embed_query("a")
    assert len(script.wait_for(5)) == 5
    assert pauses == [30] * 4


def test_embeddings_that_are_refused_are_tried_once(embeddings: MistralAIEmbeddings, script: Script) -> None:
    script.add(Fault(status=400), match=Match(operation="embeddings"))
    with pytest.raises(httpx.HTTPStatusError):
        embeddings.embed_query("a")
    assert len(script.wait_for(1)) == 1


# -- damaged streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset", "eof"])
@pytest.mark.parametrize("after", [1, 5])
def test_a_cut_stream_raises_the_transport_s_error_and_is_not_retried(
    chat: Chat, script: Script, how: Any, after: int
) -> None:
    script.add(Fault(how=how, after=after))
    with pytest.raises(httpx.TransportError):
        collect(chat())
    assert len(script.wait_for(1)) == 1


def test_a_garbage_event_raises(chat: Chat, script: Script) -> None:
    script.add(Fault(how="garbage", after=5))
    with pytest.raises(ValueError, match="Expecting"):
        collect(chat())
    assert len(script.wait_for(1)) == 1


@pytest.mark.parametrize("after", [5, 99])
def test_a_clean_early_end_is_presented_as_a_success(chat: Chat, script: Script, after: int) -> None:
    script.add(Fault(how="clean_end", after=after))
    answer = collect(chat())
    assert ANSWER.startswith(answer.text)
    assert (answer.text == ANSWER) == (after == 99)
    assert "finish_reason" not in answer.response_metadata
    assert answer.usage_metadata is None
    assert len(script.wait_for(1)) == 1


def test_a_tool_call_is_never_cut_since_it_comes_in_one_event() -> None:
    reply = Reply(tool_calls=[ToolCall("remove", {"path": "/data/tenant42/tmp"})])
    damaged = Script(default=lambda request: reply)
    with FakeServer(damaged, {"mistral": "mistral"}) as server:
        for after in (1, 2, 3):
            damaged.add(Fault(how="clean_end", after=after))
            client: Callable[..., ChatMistralAI] = ChatMistralAI
            model = client(model="m", api_key=SecretStr("fake"), base_url=server.url("mistral"))
            assert [call["args"] for call in collect(model).tool_calls] in ([], [reply.tool_calls[0].args])


@pytest.mark.asyncio
async def test_async_streams_are_damaged_as_sync_ones_are(chat: Chat, script: Script) -> None:
    script.add(Fault(how="clean_end", after=5), Fault(how="eof", after=5), Fault(status=429))
    model = chat()
    assert "finish_reason" not in (await acollect(model)).response_metadata
    with pytest.raises(httpx.TransportError):
        await acollect(model)
    with pytest.raises(httpx.HTTPStatusError):
        await acollect(model)


def test_an_error_event_is_swallowed(chat: Chat, script: Script) -> None:
    """Half an answer, no error: the client takes the event for a chunk without choices."""
    script.add(Fault(how="error_event", after=5))
    answer = collect(chat())
    assert ANSWER.startswith(answer.text)
    assert 0 < len(answer.text) < len(ANSWER)
    assert "finish_reason" not in answer.response_metadata


def test_an_answer_that_failed_is_presented_as_a_success(chat: Chat, script: Script) -> None:
    script.add(*[Reply("half", finish="error")] * 2)
    for message in (chat().invoke(QUESTION), collect(chat())):
        assert (message.text, message.response_metadata["finish_reason"]) == ("half", "error")


@pytest.mark.parametrize(("what", "reason"), [("finish", None), ("terminal", "stop")])
def test_a_missing_end_is_not_missed(chat: Chat, script: Script, what: Any, reason: str | None) -> None:
    script.add(Fault(how="missing", what=what))
    answer = collect(chat())
    assert (answer.text, answer.response_metadata.get("finish_reason")) == (ANSWER, reason)


# -- answers that are none --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "stream", "outcome"),
    [
        ("html", False, ValueError),
        ("html", True, httpx.TransportError),
        ("empty", False, KeyError),
        ("error_body", False, KeyError),
        ("error_body", True, httpx.TransportError),
    ],
)
def test_what_a_status_200_without_an_answer_becomes(
    chat: Chat, script: Script, how: Any, stream: bool, outcome: type[Exception] | None
) -> None:
    """None is the worst: an empty answer, presented as a success."""
    script.add(Fault(how=how))
    if outcome is None:
        message = collect(chat()) if stream else chat().invoke(QUESTION)
        assert (message.text, message.tool_calls) == ("", [])
    else:
        with pytest.raises(outcome):
            collect(chat()) if stream else chat().invoke(QUESTION)
    assert len(script.wait_for(1)) == 1
