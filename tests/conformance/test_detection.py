"""The detection table: each test fails for the bug it is there for, with what happened and a remedy."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelFallbackMiddleware, ModelRetryMiddleware
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.runnables import RunnableGenerator, RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from langchain_prodtest import Fault, ProductionTests, Reply
from langchain_prodtest.conformance.trial import Trial
from langchain_prodtest.fakes.environment import KEY
from langchain_prodtest.fakes.providers import FakeProviders
from langchain_prodtest.script import Request

STRUCTURED = {"type": "json_object"}


@tool
async def book(seat: str) -> str:
    """Book a seat."""
    return f"{seat} is yours"


def model(name: str = "primary", **settings: Any) -> ChatOpenAI:
    return ChatOpenAI(**{"model": name, "max_retries": 0, "stream_usage": True, **settings})


def agent(*middleware: Any, **settings: Any) -> Any:
    return create_agent(model(**settings), tools=[book], middleware=middleware)


def retry(**settings: Any) -> Any:
    return ModelRetryMiddleware(
        **{"max_retries": 2, "on_failure": "error", "initial_delay": 0.02, "jitter": False, **settings}
    )


class ObeysAnyWait(AgentMiddleware[Any, Any, Any]):
    """Waits as long as the provider says, however long that is."""

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        try:
            return await handler(request)
        except Exception as error:
            await asyncio.sleep(float(error.response.headers["retry-after"]))  # type: ignore[attr-defined]
            return await handler(request)


class Sticks(AgentMiddleware[Any, Any, Any]):
    """Never goes back to the first model once that has failed."""

    failed = False

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        try:
            return await handler(request.override(model=model("backup")) if self.failed else request)
        except Exception:
            self.failed = True
            return await handler(request.override(model=model("backup")))


async def shielded(text: str) -> Any:
    return await asyncio.shield(model().ainvoke(text))


async def collected(text: AsyncIterator[str]) -> AsyncIterator[str]:
    question = "".join([piece async for piece in text])
    yield "".join([str(piece.text) async for piece in model().astream(question)])


async def rebuilt(text: str) -> AIMessage:
    return AIMessage(str((await model().ainvoke(text)).text))


async def blocking(text: str) -> Any:
    time.sleep(0.4)  # noqa: ASYNC251 - the bug
    return await model().ainvoke(text)


async def telling(text: str) -> Any:
    try:
        return await model().ainvoke(text)
    except Exception as error:
        raise RuntimeError(f"no answer with key {KEY}") from error


async def naive(text: AsyncIterator[str]) -> AsyncIterator[str]:
    """Reads server-sent events as if each read held whole lines."""
    body = {
        "model": "m",
        "stream": True,
        "messages": [{"role": "user", "content": "".join([p async for p in text])}],
    }
    url = f"{os.environ['OPENAI_BASE_URL']}/chat/completions"
    async with httpx.AsyncClient() as client, client.stream("POST", url, json=body) as response:
        async for read in response.aiter_bytes():
            for line in read.decode("utf-8", "replace").splitlines():
                with contextlib.suppress(ValueError, LookupError, TypeError):
                    yield json.loads(line.removeprefix("data: "))["choices"][0]["delta"]["content"] or ""


class Kept:
    """A cache, keyed by what `key` makes of a question; it keeps failures too unless it is healthy."""

    def __init__(self, key: Callable[[str], str], healthy: bool = False) -> None:
        self.kept: dict[str, Any] = {}
        self.key, self.healthy = key, healthy

    async def __call__(self, text: str) -> Any:
        key = self.key(text)
        if key not in self.kept:
            try:
                self.kept[key] = await model().ainvoke(text)
            except Exception as error:
                if self.healthy:
                    raise
                self.kept[key] = f"failed: {error}"
        return self.kept[key]


def kept(key: Callable[[str], str], healthy: bool = False) -> Any:
    return RunnableLambda(Kept(key, healthy).__call__)


class Embeds(ProductionTests):
    size = 1

    def embed(self, runnable: Any, texts: list[str]) -> Any:
        return OpenAIEmbeddings(
            model="e", chunk_size=self.size, check_embedding_ctx_length=False
        ).aembed_documents(texts)


class Batched(Embeds):
    size = 16


def routed(text: str) -> Any:
    return model("large" if "prove" in text else "small")


def all_small(text: str) -> Any:
    return model("small")


ROUTES = {"routes": {"Say hello.": "small", "Please prove it.": "large"}}


def seats(request: Request) -> Reply:
    return Reply(f'{{"seats": ["12A", "12B"], "nonce": "{request.nonce}"}}')


class Planted(NamedTuple):
    """A bug, the test that must fail for it, and what the failure says."""

    bug: str
    build: Callable[[], Any]
    test: Callable[..., None]
    given: dict[str, Any]
    says: str
    settings: Mapping[str, Any] = MappingProxyType({})


P = ProductionTests
TABLE = [
    Planted(
        "no_retry",
        agent,
        P.test_one_transient_failure_is_survived,
        {"fault": Fault(status=503)},
        "The provider failed once (503) and the user got OpenAIAPIError",
    ),
    Planted(
        "retries_everything",
        lambda: agent(retry(retry_on=(Exception,))),
        P.test_a_request_that_is_wrong_is_sent_once,
        {"status": 400},
        "A request that was refused with 400 was sent 3 times",
    ),
    Planted(
        "ignores_retry_after",
        lambda: agent(retry()),
        P.test_retry_after_is_obeyed_within_the_deadline,
        {"wait": "1"},
        "Retry-After: 1, and the model was asked again 0.0",
    ),
    Planted(
        "obeys_retry_after_bomb",
        lambda: agent(ObeysAnyWait()),
        P.test_retry_after_is_obeyed_within_the_deadline,
        {"wait": "86400"},
        "Retry-After: 86400, and the request had not ended after",
        {"deadline": 1.0},
    ),
    Planted(
        "double_retry",
        lambda: agent(retry(), max_retries=1),
        P.test_retries_do_not_multiply,
        {"fault": Fault(status=503)},
        "6 provider requests for one model call: 6 to openai (SDK 2 × framework 3)",
    ),
    Planted(
        "no_backoff",
        lambda: agent(retry(max_retries=3, initial_delay=0.0)),
        P.test_retries_wait_between_each_other,
        {},
        "The model was down and asked again after ",
        {"min_wait": 5.0},  # a busy machine retries slowly
    ),
    Planted(
        "no_retry_of_a_stream",
        agent,
        P.test_a_stream_that_breaks_before_its_first_word_is_survived,
        {"fault": Fault(how="reset", after=1)},
        "The stream broke before its first word, and the user got",
    ),
    Planted(
        "naive_sse_parser",
        lambda: RunnableGenerator(naive),
        P.test_an_answer_is_right_however_it_is_sliced,
        {},
        "The stream was sliced, and the user got as a complete answer",
    ),
    Planted(
        "stale_cache",
        lambda: kept(lambda text: text[:40]),
        P.test_a_question_gets_its_own_answer,
        {},
        "Two different questions got the same answer, '[pt-",
    ),
    Planted(
        "no_cache",
        model,
        P.test_an_identical_question_is_answered_once,
        {},
        "The same question came again; the provider was asked 1 more times",
        {"caches": True},
    ),
    Planted(
        "keeps_failures",
        lambda: kept(str),
        P.test_a_failure_is_not_kept,
        {},
        "The provider was well again, and the same question got 'failed: ",
        {"caches": True},
    ),
    Planted(
        "wrong_model_route",
        lambda: RunnableLambda(all_small),
        P.test_each_question_goes_to_the_model_for_it,
        {},
        "The question 'Please prove it.' was answered by small",
        ROUTES,
    ),
    Planted(
        "unbatched_embeddings",
        model,
        P.test_texts_are_embedded_in_batches,
        {},
        "41 texts were embedded with 41 requests",
        {"embed": Embeds().embed},
    ),
    Planted(
        "no_timeout",
        agent,
        P.test_the_deadline_holds,
        {"fault": Fault(how="hang"), "way": "invoke"},
        "The provider was silent (hang, invoke), and the request had not ended",
        {"deadline": 0.6},
    ),
    Planted(
        "timeout_not_deadline",
        lambda: agent(timeout=0.5),
        P.test_the_deadline_holds,
        {"fault": Fault(how="drip", delay=0.05), "way": "stream"},
        "The provider was silent (drip, stream), and the request had not ended",
        {"deadline": 1.0},
    ),
    Planted(
        "no_stall_timeout",
        agent,
        P.test_the_deadline_holds,
        {"fault": Fault(how="stall", after=4), "way": "stream"},
        "The provider was silent (stall, stream), and the request had not ended",
        {"deadline": 0.6},
    ),
    Planted(
        "keeps_working_after_disconnect",
        lambda: RunnableLambda(shielded),
        P.test_cancelling_ends_the_provider_s_work,
        {"way": "invoke"},
        "The user left, and the request to the provider went on",
    ),
    Planted(
        "fallback_never_called",
        lambda: agent(ModelFallbackMiddleware(model("backup")), retry(on_failure="continue")),
        P.test_the_fallback_answers_in_an_outage_and_only_then,
        {},
        "The first model was down and the user got 'Model call failed after 3 attempts",
        {"fallback": "backup"},
    ),
    Planted(
        "fallback_sticks",
        lambda: agent(Sticks()),
        P.test_the_fallback_answers_in_an_outage_and_only_then,
        {},
        "The fallback backup was still asked after the outage",
        {"fallback": "backup"},
    ),
    Planted(
        "fallback_on_400",
        lambda: agent(ModelFallbackMiddleware(model("backup"))),
        P.test_a_wrong_request_does_not_reach_the_fallback,
        {},
        "A request that was refused with 400 was sent to backup too",
        {"fallback": "backup"},
    ),
    Planted(
        "silent_truncation",
        agent,
        P.test_a_cut_answer_is_not_presented_as_complete,
        {"fault": Fault(how="clean_end", after=6)},
        "The stream was cut (clean_end), and the user got as a complete answer '[pt-",
    ),
    Planted(
        "duplicated_stream",
        lambda: agent(retry()),
        P.test_nothing_is_said_twice,
        {},
        "The stream broke and was tried again, and the user read '[pt-",
    ),
    Planted(
        "masked_failure",
        lambda: agent(retry(on_failure="continue")),
        P.test_an_outage_is_not_an_answer,
        {"fault": Fault(status=503)},
        "No provider answered (503), and the user got as an answer 'Model call failed",
    ),
    Planted(
        "buffered_stream",
        lambda: RunnableGenerator(collected),
        P.test_the_answer_is_passed_on_as_it_comes,
        {},
        "The provider streamed its answer, and the user read nothing before its end",
    ),
    Planted(
        "accepts_cut_json",
        lambda: model(extra_body={"response_format": STRUCTURED}) | JsonOutputParser(),
        P.test_a_cut_structured_answer_is_refused,
        {},
        "A structured answer ended at the token limit, and the user got",
        {"reply": seats},
    ),
    Planted(
        "runs_cut_tool_call",
        agent,
        P.test_a_cut_tool_call_is_never_run,
        {"missing": 12},
        "The arguments of a tool call were cut, and the tool ran: book(",
    ),
    Planted(
        "duplicate_tool_call",
        lambda: agent().with_retry(stop_after_attempt=2, wait_exponential_jitter=False),
        P.test_a_tool_runs_once_though_the_next_call_fails,
        {"fault": Fault(status=503)},
        "The model call after a tool failed, and the tool ran again: book(",
    ),
    Planted(
        "runaway_agent",
        agent,
        P.test_a_model_that_never_stops_is_stopped,
        {},
        "The model called a tool each time, and was asked more than 5 times",
        {"max_model_calls": 5},
    ),
    Planted(
        "usage_lost",
        lambda: RunnableLambda(rebuilt),
        P.test_usage_is_what_the_wire_said,
        {},
        "The provider billed 1009 + 101 tokens, and the messages report 0 + 0",
    ),
    Planted(
        "blocking_handler",
        lambda: RunnableLambda(blocking),
        P.test_the_event_loop_is_not_blocked,
        {},
        "s at tests/conformance/test_detection.py:",
    ),
    Planted(
        "ignores_max_concurrency",
        model,
        P.test_requests_at_once_stay_within_the_limit,
        {},
        "requests were at the provider at once",
        {"max_concurrency": 2},
    ),
    Planted(
        "leaks_key",
        lambda: RunnableLambda(telling),
        P.test_the_key_stays_secret,
        {},
        "The provider's key is in the error",
    ),
]


def tried(planted: Planted, providers: FakeProviders, request: pytest.FixtureRequest) -> None:
    """Run the test on the bug, as pytest would in a subclass with these settings."""
    suite = ProductionTests()
    vars(suite).update(planted.settings)
    trial = Trial(planted.build(), providers, suite, request.config.rootpath)
    assert trial.healthy.calls
    given = dict(planted.given)
    for fixture in {"caplog", "capfd"} & set(planted.test.__code__.co_varnames):
        given[fixture] = request.getfixturevalue(fixture)
    planted.test(suite, trial, **given)


@pytest.mark.prodtest(strict=False)
@pytest.mark.parametrize("planted", TABLE, ids=lambda planted: planted.bug)
def test_a_bug_fails_the_test_that_is_there_for_it(
    planted: Planted, fake_providers: FakeProviders, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(pytest.fail.Exception) as failure:
        tried(planted, fake_providers, request)
    text = str(failure.value)
    assert planted.says in text
    first, expected, remedy = text.split("\n")
    assert expected.startswith("  Expected: ")
    assert first.endswith(".")
    assert remedy.endswith(".")


class Seats(BaseModel):
    seats: list[str]
    nonce: str


HEALTHY = [
    Planted(
        "backoff", lambda: agent(retry(initial_delay=0.1)), P.test_retries_wait_between_each_other, {}, ""
    ),
    Planted(
        "cache",
        lambda: kept(str, healthy=True),
        P.test_an_identical_question_is_answered_once,
        {},
        "",
        {"caches": True},
    ),
    Planted(
        "cache_of_answers_only",
        lambda: kept(str, healthy=True),
        P.test_a_failure_is_not_kept,
        {},
        "",
        {"caches": True},
    ),
    Planted(
        "routes",
        lambda: RunnableLambda(routed),
        P.test_each_question_goes_to_the_model_for_it,
        {},
        "",
        ROUTES,
    ),
    Planted(
        "batched_embeddings",
        model,
        P.test_texts_are_embedded_in_batches,
        {},
        "",
        {"embed": Batched().embed},
    ),
    Planted(
        "whole_json_or_none",
        lambda: model().with_structured_output(Seats, method="json_schema"),
        P.test_a_cut_structured_answer_is_refused,
        {},
        "",
        {"reply": seats},
    ),
    Planted(
        "synchronous_model_with_retries",
        lambda: model(max_retries=1),
        P.test_one_transient_failure_is_survived,
        {"fault": Fault(status=503)},
        "",
        {"sync": True},
    ),
]


@pytest.mark.prodtest(strict=False)
@pytest.mark.parametrize("twin", HEALTHY, ids=lambda twin: twin.bug)
def test_a_healthy_twin_passes(
    twin: Planted, fake_providers: FakeProviders, request: pytest.FixtureRequest
) -> None:
    """What the healthy agent does not have: structured answers, synchronous code."""
    tried(twin, fake_providers, request)
    assert fake_providers.calls


def test_every_test_is_in_the_table() -> None:
    """Each test of the suite has a bug that it finds, but egress, which is tried where nothing can leave."""
    tests = {name for name in dir(ProductionTests) if name.startswith("test_")}
    assert tests - {planted.test.__name__ for planted in TABLE} == {
        "test_nothing_else_is_called",
        "test_the_trace_is_passed_on",  # test_service.py
    }
