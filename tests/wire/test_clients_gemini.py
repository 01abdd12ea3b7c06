"""The real ChatGoogleGenerativeAI and its embeddings against the fake: what users get from each answer."""

import asyncio
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import httpx
import pytest
from google.genai.errors import UnknownApiResponseError
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessageChunk
from langchain_google_genai import ChatGoogleGenerativeAI, GoogleGenerativeAIEmbeddings
from langchain_google_genai.chat_models import (
    ChatGoogleGenerativeAIError,
    GoogleAPIError,
    GoogleAuthenticationError,
    GoogleInvalidRequestError,
    GoogleModelNotFoundError,
    GooglePermissionDeniedError,
    GoogleRateLimitError,
)
from pydantic import BaseModel, SecretStr

from langchain_prodtest.script import Fault, Match, Reply, Script, ToolCall, Usage, answer_for, new_nonce
from langchain_prodtest.vectors import embed
from langchain_prodtest.wire import FakeServer

NONCE = new_nonce(7)
QUESTION = f"Say it. {NONCE}"
ANSWER = answer_for(NONCE)

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")  # the client's own

Chat = Callable[..., ChatGoogleGenerativeAI]


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
    with FakeServer(script, {"gemini": "gemini"}) as server:
        yield server.url("gemini")


@pytest.fixture
def chat(url: str) -> Chat:
    def make(model: str = "gemini-2.5-flash", **options: Any) -> ChatGoogleGenerativeAI:
        return ChatGoogleGenerativeAI(model=model, api_key=SecretStr("fake"), base_url=url, **options)

    return make


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
    whole, streamed = chat().invoke(QUESTION), collect(chat())
    for message in (whole, streamed):
        assert message.text == ANSWER
        assert message.response_metadata["finish_reason"] == "STOP"
        assert message.response_metadata["model_name"] == "gemini-2.5-flash"
    assert [(call.nonce, call.model, call.stream, call.closed_by) for call in script.wait_for(2)] == [
        (NONCE, "gemini-2.5-flash", False, "server"),
        (NONCE, "gemini-2.5-flash", True, "server"),
    ]


@pytest.mark.asyncio
async def test_ainvoke_and_astream_give_the_answer_to_the_nonce(chat: Chat) -> None:
    assert (await chat().ainvoke(QUESTION)).text == ANSWER
    assert (await acollect(chat())).text == ANSWER


def test_the_key_does_not_reach_the_journal(chat: Chat, script: Script) -> None:
    chat().invoke(QUESTION)
    (call,) = script.wait_for(1)
    assert call.headers["x-goog-api-key"] == "present"
    assert "fake" not in repr(call)


def test_usage_is_the_same_whole_and_streamed(chat: Chat, script: Script) -> None:
    script.add(
        *[Reply("five words are said here", usage=Usage(input=9, output=5, cached=4, reasoning=2))] * 2
    )
    for message in (chat().invoke(QUESTION), collect(chat())):
        assert message.usage_metadata is not None
        assert message.usage_metadata["input_tokens"] == 9
        assert message.usage_metadata["output_tokens"] == 5
        assert message.usage_metadata["total_tokens"] == 14
        assert message.usage_metadata["output_token_details"]["reasoning"] == 2
        assert message.usage_metadata["input_token_details"]["cache_read"] == 4


def test_tool_calls_arrive_whole_and_in_a_stream(chat: Chat, script: Script) -> None:
    calls = [ToolCall("book", {"seat": "12Ä"}, id="mine"), ToolCall("book", {"seat": "3"})]
    script.add(*[Reply("Plan it.", tool_calls=calls)] * 2)
    model = chat().bind_tools([book])
    for message in (model.invoke(QUESTION), collect(model)):
        assert [call["args"] for call in message.tool_calls] == [{"seat": "12Ä"}, {"seat": "3"}]
        assert message.tool_calls[0]["id"] == "mine"
        assert message.tool_calls[1]["id"]
        assert message.text == "Plan it."
    assert [call.tools[0]["function"]["name"] for call in script.wait_for(2)] == ["book", "book"]


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3-pro-preview"])
def test_thoughts_arrive_as_reasoning(chat: Chat, script: Script, model: str) -> None:
    script.add(*[Reply("done", reasoning="because")] * 2)
    for message in (chat(model).invoke(QUESTION), collect(chat(model))):
        assert message.text == "done"
        assert [block["reasoning"] for block in message.content_blocks if block["type"] == "reasoning"] == [
            "because"
        ]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(chat: Chat, script: Script, method: Any) -> None:
    verdict = Verdict(approve=False, reason="too late")
    if method == "json_schema":
        script.add(Reply(verdict.model_dump_json()))
    else:
        script.add(Reply(tool_calls=[ToolCall("Verdict", verdict.model_dump())]))
    assert chat().with_structured_output(Verdict, method=method).invoke(QUESTION) == verdict


def test_tokens_are_counted_by_the_provider(chat: Chat, script: Script) -> None:
    assert chat().get_num_tokens("a" * 41) == 11
    assert [call.operation for call in script.wait_for(1)] == ["count_tokens"]


def test_texts_are_embedded(url: str, script: Script) -> None:
    model = GoogleGenerativeAIEmbeddings(
        model="gemini-embedding-001",
        api_key=SecretStr("fake"),
        base_url=url,
        output_dimensionality=64,
    )
    assert model.embed_documents(["a", "b"]) == [embed("a", 64), embed("b", 64)]
    assert model.embed_query("a") == asyncio.run(model.aembed_query("a")) == embed("a", 64)
    assert [call.operation for call in script.wait_for(3)] == ["embeddings"] * 3


# -- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "classified"),
    [
        (400, GoogleInvalidRequestError, True),
        (401, GoogleAuthenticationError, True),
        (403, GooglePermissionDeniedError, True),
        (404, GoogleModelNotFoundError, True),
        (409, ChatGoogleGenerativeAIError, False),
        (422, ChatGoogleGenerativeAIError, False),
        (529, GoogleAPIError, True),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_these_statuses_are_tried_once(
    chat: Chat, script: Script, status: int, kind: type[Exception], classified: bool, stream: bool
) -> None:
    script.add(Fault(status=status))
    with pytest.raises(kind) as caught:
        collect(chat()) if stream else chat().invoke(QUESTION)
    assert isinstance(caught.value, ModelError) == classified
    assert len(script.wait_for(1)) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (408, ChatGoogleGenerativeAIError),
        (429, GoogleRateLimitError),
        (500, GoogleAPIError),
        (502, GoogleAPIError),
        (503, GoogleAPIError),
        (504, GoogleAPIError),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_these_statuses_are_tried_six_times_over_half_a_minute_whatever_retry_after_says(
    chat: Chat, script: Script, pauses: list[float], status: int, kind: type[Exception], stream: bool
) -> None:
    with script.always(Fault(status=status, retry_after=90)), pytest.raises(kind):
        collect(chat()) if stream else chat().invoke(QUESTION)
    calls = script.wait_for(6)
    assert [(call.attempt, call.attempt_source) for call in calls] == [(i, "digest") for i in range(1, 7)]
    assert [int(pause) for pause in pauses] == [pytest.approx(2**i, abs=1) for i in range(5)]
    assert sum(pauses) > 30


@pytest.mark.parametrize("how", ["refuse", "reset", "eof"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_connection_that_breaks_before_the_head_is_tried_once(
    chat: Chat, script: Script, how: Any, stream: bool
) -> None:
    script.add(Fault(how=how))
    with pytest.raises(httpx.TransportError):
        collect(chat()) if stream else chat().invoke(QUESTION)
    assert len(script.wait_for(1)) == 1


def test_embeddings_are_tried_once(url: str, script: Script) -> None:
    script.add(Fault(status=503), match=Match(operation="embeddings"))
    model = GoogleGenerativeAIEmbeddings(
        model="gemini-embedding-001", api_key=SecretStr("fake"), base_url=url
    )
    with pytest.raises(Exception, match="UNAVAILABLE"):
        model.embed_query("a")
    assert len(script.wait_for(1)) == 1


def test_a_script_that_is_used_up_is_not_retried(chat: Chat, script: Script) -> None:
    script.add(Reply("only one"))
    chat().invoke(QUESTION)
    with pytest.raises(GoogleInvalidRequestError, match="used up"):
        chat().invoke(QUESTION)
    assert [call.unexpected for call in script.wait_for(2)] == [False, True]


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
    with pytest.raises(UnknownApiResponseError):
        collect(chat())
    assert len(script.wait_for(1)) == 1


@pytest.mark.parametrize("after", [5, 99])
def test_a_clean_early_end_is_presented_as_a_success(chat: Chat, script: Script, after: int) -> None:
    script.add(Fault(how="clean_end", after=after))
    answer = collect(chat())
    assert ANSWER.startswith(answer.text)
    assert (answer.text == ANSWER) == (after == 99)
    assert "finish_reason" not in answer.response_metadata
    assert len(script.wait_for(1)) == 1


@pytest.mark.asyncio
async def test_async_streams_are_damaged_as_sync_ones_are(chat: Chat, script: Script) -> None:
    script.add(Fault(how="clean_end", after=5), Fault(how="eof", after=5), Fault(status=400))
    assert "finish_reason" not in (await acollect(chat())).response_metadata
    with pytest.raises(aiohttp.ClientError):
        await acollect(chat())
    with pytest.raises(GoogleInvalidRequestError):
        await acollect(chat())


def test_an_error_event_raises(chat: Chat, script: Script) -> None:
    script.add(Fault(how="error_event", after=5))
    with pytest.raises(GoogleAPIError, match="INTERNAL"):
        collect(chat())
    assert len(script.wait_for(1)) == 1


def test_a_missing_finish_reason_is_not_missed(chat: Chat, script: Script) -> None:
    script.add(Fault(how="missing", what="finish"))
    answer = collect(chat())
    assert (answer.text, answer.response_metadata.get("finish_reason")) == (ANSWER, None)


# -- answers that are none --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "stream", "outcome"),
    [
        ("html", False, ValueError),
        ("html", True, UnknownApiResponseError),
        ("empty", False, None),
        ("empty", True, None),
        ("error_body", False, None),
        ("error_body", True, GoogleAPIError),
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
