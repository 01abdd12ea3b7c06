"""An ASGI app as the runnable: the reference service passes; planted bugs fail over the socket too."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from langchain_prodtest import Fault, ProductionTests
from langchain_prodtest.conformance.service import Service, ServiceError
from langchain_prodtest.conformance.trial import Trial
from langchain_prodtest.demo.agent import build
from langchain_prodtest.demo.service import create_app
from langchain_prodtest.demo.settings import Settings
from langchain_prodtest.fakes.environment import KEY
from langchain_prodtest.fakes.providers import FakeProviders

DEADLINE = 2.0


class TestReferenceService(ProductionTests):
    """The healthy service, whole: the same tests, over a real socket."""

    deadline = DEADLINE
    max_model_calls = 6
    max_amplification = 3
    fallback = "deepseek"
    # It promises no limit, cache or routes, and gives no structured answer; test_detection.py has what does.
    test_requests_at_once_stay_within_the_limit: Any = None
    test_a_cut_structured_answer_is_refused: Any = None
    test_retries_wait_between_each_other: Any = None  # it makes one
    test_an_identical_question_is_answered_once: Any = None
    test_a_failure_is_not_kept: Any = None
    test_each_question_goes_to_the_model_for_it: Any = None
    test_texts_are_embedded_in_batches: Any = None

    @pytest.fixture
    def runnable(self, fake_providers: FakeProviders) -> Iterator[Service]:
        settings = Settings(
            openai_base_url=fake_providers.openai.url,
            openai_api_key=SecretStr(KEY),
            fallback_base_url=fake_providers.deepseek.url,
            fallback_api_key=SecretStr(KEY),
            deadline_seconds=DEADLINE,
        )
        with Service(create_app(build(settings)), "/chat") as service:
            yield service


class Question(BaseModel):
    message: str


@tool
async def book(seat: str) -> str:
    """Book a seat."""
    return f"{seat} is yours"


def careless() -> FastAPI:
    """Every way in which a service can spoil its agent: it swallows errors, blocks, and goes on alone."""
    app = FastAPI()
    agent: Any = create_agent(
        ChatOpenAI(model="m", max_retries=0, timeout=1, stream_usage=True), tools=[book]
    )

    async def tokens(message: str) -> AsyncIterator[str]:
        time.sleep(0.4)  # noqa: ASYNC251 - the bug
        try:
            async for piece, _ in agent.astream({"messages": [("user", message)]}, stream_mode="messages"):
                if piece.type == "AIMessageChunk" and piece.text:
                    yield f'data: {{"delta": {{"text": {piece.model_dump_json(include={"content"})}}}}}\n\n'
        except Exception:
            yield 'data: {"delta": {"text": {"content": "Sorry!"}}}\n\n'
        yield "data: [DONE]\n\n"

    @app.post("/chat")
    async def chat(question: Question) -> StreamingResponse:
        return StreamingResponse(tokens(question.message), media_type="text/event-stream")

    return app


@pytest.fixture
def trial(fake_providers: FakeProviders, request: pytest.FixtureRequest) -> Iterator[Trial]:
    suite = ProductionTests()
    vars(suite).update(deadline=DEADLINE)
    with Service(careless(), "/chat", text="delta.text.content", token="message", end="[DONE]") as service:
        yield Trial(service, fake_providers, suite, request.config.rootpath)


P = ProductionTests


@pytest.mark.prodtest(strict=False)
@pytest.mark.parametrize(
    ("test", "given", "says"),
    [
        (
            P.test_an_outage_is_not_an_answer,
            {"fault": Fault(status=503)},
            "the user got as an answer 'Sorry!'",
        ),
        (
            P.test_a_cut_answer_is_not_presented_as_complete,
            {"fault": Fault(how="clean_end", after=6)},
            "was cut",
        ),
        (P.test_a_cut_tool_call_is_never_run, {"missing": 12}, "and the tool ran: book("),
        (P.test_the_trace_is_passed_on, {}, "1 of 1 requests to the provider went without it"),
        (P.test_the_event_loop_is_not_blocked, {}, "s at tests/conformance/test_service.py:"),
    ],
)
def test_a_bug_in_the_app_is_found_through_the_socket(
    trial: Trial, test: Any, given: dict[str, Any], says: str
) -> None:
    assert isinstance(trial.manners, ProductionTests)
    with pytest.raises(pytest.fail.Exception) as failure:
        test(trial.manners, trial, **given)
    assert says in str(failure.value)


def plain() -> FastAPI:
    app = FastAPI()

    @app.post("/ask")
    async def ask(body: dict[str, str]) -> dict[str, Any]:
        return {"choices": [{"text": f"You said {body['q']}"}]}

    @app.post("/silent")
    async def silent(body: dict[str, str]) -> StreamingResponse:
        return StreamingResponse(iter(["event: token\ndata: {}\n\n"]), media_type="text/event-stream")

    return app


def test_a_json_answer_is_read_at_a_path() -> None:
    with Service(plain(), "/ask", ask="q", text="choices.0.text") as service:
        assert asyncio.run(service.ainvoke("hello")) == "You said hello"
        assert asyncio.run(service.ainvoke({"q": "a body"})) == "You said a body"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/gone", 'status 404: {"detail":"Not Found"}'),
        ("/ask", "no 'text' in what the service answered"),
        ("/silent", "no 'text' in what the service answered: {}"),
    ],
)
def test_what_is_no_answer_is_an_error(path: str, says: str) -> None:
    with Service(plain(), path, ask="q") as service, pytest.raises(ServiceError) as failure:
        asyncio.run(service.ainvoke("hello"))
    assert str(failure.value).startswith(says)


def test_a_stream_without_its_end_was_cut() -> None:
    with (
        Service(plain(), "/silent", token="other") as service,
        pytest.raises(ServiceError, match="ended without 'done'"),
    ):
        asyncio.run(service.ainvoke("hello"))


def test_an_app_that_does_not_start_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def startup(app: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    app = FastAPI(lifespan=asynccontextmanager(startup))
    with pytest.raises(ServiceError, match="the app did not start"), Service(app, "/"):
        pass
    assert "no database" in caplog.text
