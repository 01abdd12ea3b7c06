"""The real ChatCohere, CohereEmbeddings and CohereRerank against the fake: what users get from answers."""

import asyncio
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import cohere
import httpx
import pytest
from cohere.core.api_error import ApiError
from langchain_cohere import ChatCohere, CohereEmbeddings, CohereRerank
from langchain_core.documents import Document
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessageChunk
from pydantic import BaseModel, SecretStr

from langchain_prodtest.script import Fault, Match, Reply, Script, ToolCall, Usage, answer_for, new_nonce
from langchain_prodtest.vectors import embed
from langchain_prodtest.wire import FakeServer

NONCE = new_nonce(7)
QUESTION = f"Say it. {NONCE}"
ANSWER = answer_for(NONCE)

Chat = Callable[..., ChatCohere]


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
    with FakeServer(script, {"cohere": "cohere"}) as server:
        yield server.url("cohere")


@pytest.fixture
def chat(url: str) -> Chat:
    def make(**options: Any) -> ChatCohere:
        return ChatCohere(model="command-a", cohere_api_key=SecretStr("fake"), base_url=url, **options)

    return make


@pytest.fixture
def embeddings(url: str) -> CohereEmbeddings:
    make: Callable[..., CohereEmbeddings] = CohereEmbeddings
    return make(model="embed-v4.0", cohere_api_key=SecretStr("fake"), base_url=url, user_agent="test")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Do not sleep before a retry; note for how long it would have been."""
    slept: list[float] = []
    clock = SimpleNamespace(sleep=slept.append, time=time.time, monotonic=time.monotonic)
    monkeypatch.setattr("cohere.core.http_client.time", clock)
    monkeypatch.setattr("tenacity.nap.time", clock)
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
        assert message.response_metadata["finish_reason"] == "COMPLETE"
    assert [(call.nonce, call.model, call.stream, call.closed_by) for call in script.wait_for(2)] == [
        (NONCE, "command-a", False, "server"),
        (NONCE, "command-a", True, "server"),
    ]


@pytest.mark.asyncio
async def test_ainvoke_and_astream_give_the_answer_to_the_nonce(chat: Chat) -> None:
    assert (await chat().ainvoke(QUESTION)).text == ANSWER
    assert (await acollect(chat())).text == ANSWER


def test_the_key_does_not_reach_the_journal(chat: Chat, script: Script) -> None:
    chat().invoke(QUESTION)
    (call,) = script.wait_for(1)
    assert call.headers["authorization"] == "present"
    assert "fake" not in repr(call)


def test_usage_arrives_whole_and_in_an_async_stream(chat: Chat, script: Script) -> None:
    """A sync stream of this client drops it."""
    script.add(*[Reply("five words are said here", usage=Usage(input=9, output=5))] * 3)
    for message in (chat().invoke(QUESTION), asyncio.run(acollect(chat()))):
        assert message.usage_metadata is not None
        usage = message.usage_metadata
        assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (9, 5, 14)
    assert collect(chat()).usage_metadata is None


def test_tool_calls_and_their_plan_arrive_whole(chat: Chat, script: Script) -> None:
    calls = [ToolCall("book", {"seat": "12Ä"}, id="mine"), ToolCall("book", {"seat": "3"})]
    script.add(Reply("Plan it.", tool_calls=calls))
    message = chat().bind_tools([book]).invoke(QUESTION)
    assert [call["args"] for call in message.tool_calls] == [{"seat": "12Ä"}, {"seat": "3"}]
    assert message.tool_calls[0]["id"] == "mine"
    assert message.response_metadata["finish_reason"] == "TOOL_CALL"
    assert message.text == "Plan it."
    assert [call.tools[0]["function"]["name"] for call in script.wait_for(1)] == ["book"]


def test_a_streamed_tool_call_is_read_from_its_pieces(chat: Chat, script: Script) -> None:
    """The client keeps the call beside the message; its chunks have an id each and are not joined."""
    script.add(Reply(tool_calls=[ToolCall("book", {"seat": "12Ä"}, id="mine")]))
    message = collect(chat().bind_tools([book]))
    assert [call["function"] for call in message.response_metadata["tool_calls"]] == [
        {"name": "book", "arguments": '{"seat":"12Ä"}'}
    ]
    assert message.response_metadata["tool_calls"][0]["id"] == "mine"


def test_thoughts_arrive_as_reasoning(chat: Chat, script: Script) -> None:
    script.add(*[Reply("done", reasoning="because")] * 2)
    for message in (chat().invoke(QUESTION), collect(chat())):
        assert message.text == "done"
        (block,) = [block for block in message.content if isinstance(block, dict) and "summary" in block]
        assert block["summary"][0]["text"] == "because"


@pytest.mark.parametrize("method", ["json_schema", "json_mode", "function_calling"])
def test_structured_output(chat: Chat, script: Script, method: Any) -> None:
    verdict = Verdict(approve=False, reason="too late")
    if method == "function_calling":
        script.add(Reply(tool_calls=[ToolCall("Verdict", verdict.model_dump())]))
    else:
        script.add(Reply(verdict.model_dump_json()))
    assert chat().with_structured_output(Verdict, method=method).invoke(QUESTION) == verdict


def test_a_default_model_is_asked_for(url: str) -> None:
    assert ChatCohere(cohere_api_key=SecretStr("fake"), base_url=url).model == "prodtest"


def test_tokens_are_counted_by_the_provider(chat: Chat) -> None:
    """The client looks for a tokenizer to download first; the fake's models have none."""
    assert chat().get_num_tokens("a" * 41) == 11


@pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20")  # in the SDK
@pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince211")
def test_texts_are_embedded(embeddings: CohereEmbeddings, script: Script) -> None:
    assert embeddings.embed_documents(["a", "b"]) == [embed("a", 1024), embed("b", 1024)]
    assert embeddings.embed_query("a") == asyncio.run(embeddings.aembed_query("a")) == embed("a", 1024)
    assert [call.operation for call in script.wait_for(3)] == ["embeddings"] * 3


def test_documents_are_ranked_and_the_best_kept(url: str) -> None:
    model = CohereRerank(model="rerank-v3.5", cohere_api_key=SecretStr("fake"), base_url=url, top_n=2)
    documents = [Document(text) for text in ("a long winter", "seats on trains", "book a train seat")]
    best, second = model.compress_documents(documents, "book a train seat")
    assert best.page_content == "book a train seat"
    assert 1 >= best.metadata["relevance_score"] > second.metadata["relevance_score"] > 0


# -- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, cohere.BadRequestError),
        (401, cohere.UnauthorizedError),
        (403, cohere.ForbiddenError),
        (404, cohere.NotFoundError),
        (413, ApiError),
        (422, cohere.UnprocessableEntityError),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_these_statuses_are_tried_once_and_are_no_model_errors(
    chat: Chat, script: Script, status: int, kind: type[ApiError], stream: bool
) -> None:
    script.add(Fault(status=status))
    with pytest.raises(kind) as caught:
        collect(chat()) if stream else chat().invoke(QUESTION)
    assert not isinstance(caught.value, ModelError)
    assert caught.value.status_code == status
    assert set(caught.value.body) == {"id", "message"}
    assert (caught.value.headers or {})["x-debug-trace-id"]
    assert len(script.wait_for(1)) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (408, ApiError),
        (409, ApiError),
        (429, cohere.TooManyRequestsError),
        (500, cohere.InternalServerError),
        (503, cohere.ServiceUnavailableError),
        (529, ApiError),
    ],
)
def test_these_statuses_are_tried_three_times_but_once_where_a_stream_is_asked_for(
    chat: Chat, script: Script, pauses: list[float], status: int, kind: type[ApiError]
) -> None:
    with script.always(Fault(status=status)):
        with pytest.raises(kind):
            chat().invoke(QUESTION)
        calls = script.wait_for(3)
        assert [(call.attempt, call.attempt_source) for call in calls] == [(i, "digest") for i in (1, 2, 3)]
        assert pauses == [pytest.approx(1, rel=0.2), pytest.approx(2, rel=0.2)]
        with pytest.raises(kind):
            collect(chat())
        assert len(script.wait_for(4)) == 4


def test_retry_after_is_obeyed(chat: Chat, script: Script, pauses: list[float]) -> None:
    script.add(Fault(status=429, retry_after=30), Reply("at last"))
    assert chat().invoke(QUESTION).text == "at last"
    assert pauses == [30]


@pytest.mark.parametrize("how", ["refuse", "reset", "eof"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_connection_that_breaks_before_the_head_is_tried_once(
    chat: Chat, script: Script, how: Any, stream: bool
) -> None:
    script.add(Fault(how=how))
    with pytest.raises(httpx.TransportError):
        collect(chat()) if stream else chat().invoke(QUESTION)
    assert len(script.wait_for(1)) == 1


@pytest.mark.parametrize("fault", [Fault(status=400), Fault(how="reset")])
def test_embeddings_are_tried_three_times_whatever_the_error(
    embeddings: CohereEmbeddings, script: Script, pauses: list[float], fault: Fault
) -> None:
    script.add(*[fault] * 3, match=Match(operation="embeddings"))
    with pytest.raises((ApiError, httpx.TransportError)):
        embeddings.embed_query("a")
    assert len(script.wait_for(3)) == 3
    assert pauses == [4, 4]


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


def test_a_garbage_event_is_skipped(chat: Chat, script: Script) -> None:
    script.add(Fault(how="garbage", after=5))
    answer = collect(chat())
    assert (answer.text, answer.response_metadata["finish_reason"]) == (ANSWER, "COMPLETE")


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
    with pytest.raises(httpx.TransportError):
        await acollect(chat())
    with pytest.raises(cohere.BadRequestError):
        await acollect(chat())


def test_an_error_at_the_end_of_a_stream_makes_the_client_stumble(chat: Chat, script: Script) -> None:
    """It looks for the usage, which a failed answer does not have."""
    script.add(Fault(how="error_event", after=5))
    with pytest.raises(AttributeError, match="billed_units"):
        collect(chat())


@pytest.mark.parametrize(("what", "reason"), [("finish", None), ("terminal", "COMPLETE")])
def test_a_missing_end_is_not_missed(chat: Chat, script: Script, what: Any, reason: str | None) -> None:
    script.add(Fault(how="missing", what=what))
    answer = collect(chat())
    assert (answer.text, answer.response_metadata.get("finish_reason")) == (ANSWER, reason)


# -- answers that are none --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "stream", "outcome"),
    [
        ("html", False, ApiError),
        ("html", True, httpx.TransportError),
        ("empty", False, AttributeError),
        ("error_body", False, TypeError),
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
