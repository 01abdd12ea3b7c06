"""The real ChatPerplexity, its agent, embeddings and search against the fake: what their users get."""

import asyncio
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import perplexity
import pytest
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessageChunk
from langchain_perplexity import ChatPerplexity, PerplexityEmbeddings, PerplexitySearchRetriever
from pydantic import BaseModel, SecretStr

from langchain_prodtest.script import Fault, Reply, Script, ToolCall, Usage, answer_for, new_nonce
from langchain_prodtest.vectors import embed
from langchain_prodtest.wire import FakeServer
from langchain_prodtest.wire.quantized import as_int8

NONCE = new_nonce(7)
QUESTION = f"Say it. {NONCE}"
ANSWER = answer_for(NONCE)
SEARCH = [{"type": "web_search"}]

Chat = Callable[..., ChatPerplexity]


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


@pytest.fixture(autouse=True)
def url(script: Script, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Lead the clients to the fake by the only way there is: an environment variable."""
    with FakeServer(script, {"perplexity": "perplexity"}) as server:
        monkeypatch.setenv("PERPLEXITY_BASE_URL", server.url("perplexity"))
        yield server.url("perplexity")


@pytest.fixture
def chat() -> Chat:
    def make(**options: Any) -> ChatPerplexity:
        client: Callable[..., ChatPerplexity] = ChatPerplexity
        return client(model="sonar", api_key=SecretStr("fake"), **options)

    return make


@pytest.fixture(params=[False, True], ids=["chat", "agent"])
def either(chat: Chat, request: pytest.FixtureRequest) -> Chat:
    return lambda **options: chat(use_responses_api=request.param, **options)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Do not sleep before a retry; note for how long it would have been."""
    slept: list[float] = []
    clock = SimpleNamespace(sleep=slept.append, time=time.time, monotonic=time.monotonic)
    monkeypatch.setattr("perplexity._base_client.time", clock)
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


def test_invoke_and_stream_give_the_answer_to_the_nonce(either: Chat, script: Script) -> None:
    for message in (either().invoke(QUESTION), collect(either())):
        assert message.text == ANSWER
        assert message.response_metadata["model_name"] == "sonar"
    assert [(call.nonce, call.stream, call.closed_by) for call in script.wait_for(2)] == [
        (NONCE, False, "server"),
        (NONCE, True, "server"),
    ]


def test_a_new_event_loop_for_each_call_sends_each_request_once(either: Chat, script: Script) -> None:
    model = either()
    for _ in range(2):
        assert asyncio.run(model.ainvoke(QUESTION)).text == ANSWER
        assert asyncio.run(acollect(model)).text == ANSWER
    assert len(script.wait_for(4)) == 4


def test_usage_is_the_same_whole_and_streamed(either: Chat, script: Script) -> None:
    script.add(*[Reply("five words are said here", usage=Usage(input=9, output=5))] * 2)
    for message in (either().invoke(QUESTION), collect(either())):
        assert message.usage_metadata is not None
        usage = message.usage_metadata
        assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (9, 5, 14)


def test_sources_arrive_whole_and_streamed(chat: Chat) -> None:
    whole, streamed = chat().invoke(QUESTION), collect(chat())
    assert len(whole.additional_kwargs["citations"]) == 2
    assert whole.additional_kwargs["citations"] == streamed.additional_kwargs["citations"]
    found = whole.additional_kwargs["search_results"]
    assert [result.url for result in found] == whole.additional_kwargs["citations"]


def test_the_agent_searches_where_it_has_the_tool(chat: Chat, script: Script) -> None:
    model = chat().bind(tools=SEARCH)
    for message in (model.invoke(QUESTION), collect(model)):
        assert message.text == ANSWER
        assert len(message.additional_kwargs["search_results"]) == 2
    assert [call.operation for call in script.wait_for(2)] == ["responses"] * 2


def test_the_agent_s_tool_calls_arrive_whole_and_in_a_stream(chat: Chat, script: Script) -> None:
    calls = [ToolCall("book", {"seat": "12Ä"}, id="call_1"), ToolCall("book", {"seat": "3"})]
    script.add(*[Reply(tool_calls=calls)] * 2)
    model = chat(use_responses_api=True).bind_tools([book])
    for message in (model.invoke(QUESTION), collect(model)):
        assert [call["args"] for call in message.tool_calls] == [{"seat": "12Ä"}, {"seat": "3"}]
        assert message.tool_calls[0]["id"] == "call_1"


def test_the_client_drops_tool_calls_and_the_finish_reason_of_a_chat(chat: Chat, script: Script) -> None:
    script.add(Reply("Plan it.", tool_calls=[ToolCall("book", {"seat": "3"})], finish="length"))
    message = chat().invoke(QUESTION)
    assert (message.text, message.tool_calls) == ("Plan it.", [])
    assert "finish_reason" not in message.response_metadata


@pytest.mark.parametrize("method", ["json_schema", "json_mode", "function_calling"])
def test_structured_output(chat: Chat, script: Script, method: Any) -> None:
    verdict = Verdict(approve=False, reason="too late")
    script.add(Reply(verdict.model_dump_json(), reasoning="because"))
    assert chat().with_structured_output(Verdict, method=method).invoke(QUESTION) == verdict
    assert script.wait_for(1)[0].body["response_format"]["type"] == "json_schema"


def test_texts_are_embedded(script: Script) -> None:
    make: Callable[..., PerplexityEmbeddings] = PerplexityEmbeddings
    model = make(api_key=SecretStr("fake"))
    first, second = (as_int8(embed(text, 2560)) for text in "ab")
    assert model.embed_documents(["a", "b"]) == [first, second]
    assert model.embed_query("a") == asyncio.run(model.aembed_query("a")) == first
    assert [call.operation for call in script.wait_for(3)] == ["embeddings"] * 3


def test_a_search_gives_documents() -> None:
    documents = PerplexitySearchRetriever(pplx_api_key=SecretStr("fake")).invoke("trains")
    assert [document.metadata["title"] for document in documents] == ["Page 1 on trains", "Page 2 on trains"]


# -- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, perplexity.BadRequestError),
        (401, perplexity.AuthenticationError),
        (403, perplexity.PermissionDeniedError),
        (404, perplexity.NotFoundError),
        (413, perplexity.APIStatusError),
        (422, perplexity.UnprocessableEntityError),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_these_statuses_are_tried_once_and_are_no_model_errors(
    either: Chat, script: Script, status: int, kind: type[perplexity.APIStatusError], stream: bool
) -> None:
    script.add(Fault(status=status))
    with pytest.raises(kind) as caught:
        collect(either()) if stream else either().invoke(QUESTION)
    assert not isinstance(caught.value, ModelError)
    assert caught.value.response.headers["x-request-id"]
    assert len(script.wait_for(1)) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (408, perplexity.APIStatusError),
        (409, perplexity.ConflictError),
        (429, perplexity.RateLimitError),
        (503, perplexity.InternalServerError),
        (529, perplexity.InternalServerError),
    ],
)
def test_these_statuses_are_tried_seven_times_over_twenty_seconds(
    chat: Chat, script: Script, pauses: list[float], status: int, kind: type[Exception]
) -> None:
    with script.always(Fault(status=status)), pytest.raises(kind):
        collect(chat())
    assert [(call.attempt, call.attempt_source) for call in script.wait_for(7)] == [
        (attempt, "header") for attempt in range(1, 8)
    ]
    assert pauses == [pytest.approx(pause, rel=0.26) for pause in (0.5, 1, 2, 4, 8, 8)]


@pytest.mark.parametrize(("given", "slept"), [(30.0, 30.0), (61.0, 0.5), ("nonsense", 0.5)])
def test_retry_after_is_obeyed_up_to_a_minute(
    chat: Chat, script: Script, pauses: list[float], given: float | str, slept: float
) -> None:
    script.add(Fault(status=429, retry_after=given), Reply("at last"))
    assert chat().invoke(QUESTION).text == "at last"
    assert pauses == [pytest.approx(slept, rel=0.26)]


@pytest.mark.parametrize("how", ["refuse", "reset", "eof"])
def test_a_connection_that_breaks_before_the_head_is_tried_again(
    chat: Chat, script: Script, pauses: list[float], how: Any
) -> None:
    script.add(*[Fault(how=how)] * 6, Reply("at last"))
    assert chat().invoke(QUESTION).text == "at last"
    assert script.wait_for(7)[-1].attempt == 7


# -- damaged streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset", "eof"])
@pytest.mark.parametrize("after", [1, 5])
def test_a_cut_stream_raises_the_transport_s_error_and_is_not_retried(
    either: Chat, script: Script, how: Any, after: int
) -> None:
    script.add(Fault(how=how, after=after))
    with pytest.raises(httpx.TransportError):
        collect(either())
    assert len(script.wait_for(1)) == 1


def test_a_garbage_event_raises(either: Chat, script: Script) -> None:
    script.add(Fault(how="garbage", after=5))
    with pytest.raises(ValueError, match="Expecting"):
        collect(either())
    assert len(script.wait_for(1)) == 1


@pytest.mark.parametrize("after", [8, 99])
def test_a_clean_early_end_is_presented_as_a_success(either: Chat, script: Script, after: int) -> None:
    """A whole text without the end is told by nothing but the reason or the usage that is missing."""
    script.add(Fault(how="clean_end", after=after))
    answer = collect(either())
    assert ANSWER.startswith(answer.text)
    assert (answer.text == ANSWER) == (after == 99)
    assert not {"finish_reason", "status"} & set(answer.response_metadata)
    assert len(script.wait_for(1)) == 1


@pytest.mark.asyncio
async def test_async_streams_are_damaged_as_sync_ones_are(chat: Chat, script: Script) -> None:
    script.add(Fault(how="clean_end", after=5), Fault(how="eof", after=5), Fault(status=400))
    model = chat()
    assert "finish_reason" not in (await acollect(model)).response_metadata
    with pytest.raises(httpx.TransportError):
        await acollect(model)
    with pytest.raises(perplexity.BadRequestError):
        await acollect(model)


def test_an_error_event_is_swallowed(chat: Chat, script: Script) -> None:
    """Half an answer, no error: the client takes the event for a chunk without choices."""
    script.add(Fault(how="error_event", after=5))
    answer = collect(chat())
    assert ANSWER.startswith(answer.text)
    assert 0 < len(answer.text) < len(ANSWER)
    assert "finish_reason" not in answer.response_metadata


@pytest.mark.parametrize(("what", "reason"), [("finish", None), ("terminal", "stop")])
def test_a_missing_end_is_not_missed(chat: Chat, script: Script, what: Any, reason: str | None) -> None:
    script.add(Fault(how="missing", what=what))
    answer = collect(chat())
    assert (answer.text, answer.response_metadata.get("finish_reason")) == (ANSWER, reason)


def test_an_agent_s_failure_raises_in_a_stream_and_is_an_empty_success_otherwise(
    chat: Chat, script: Script
) -> None:
    script.add(*[Reply("out of order", finish="error")] * 2)
    with pytest.raises(RuntimeError, match="out of order"):
        collect(chat(use_responses_api=True))
    message = chat(use_responses_api=True).invoke(QUESTION)
    assert (message.text, message.response_metadata["status"]) == ("", "failed")


def test_the_agent_s_missing_end_and_a_page_of_html_are_presented_as_successes(
    chat: Chat, script: Script
) -> None:
    script.add(Fault(how="missing", what="terminal"), Fault(how="html"))
    answer = collect(chat(use_responses_api=True))
    assert (answer.text, answer.usage_metadata, answer.response_metadata.get("status")) == (
        ANSWER,
        None,
        None,
    )
    assert chat(use_responses_api=True).invoke(QUESTION).text == ""


# -- answers that are none --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "stream", "outcome"),
    [
        ("html", False, AttributeError),
        ("html", True, ValueError),
        ("empty", False, TypeError),
        ("empty", True, ValueError),
        ("error_body", False, TypeError),
        ("error_body", True, ValueError),
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
