"""Healthy runnables pass every test that applies to them."""

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelCallLimitMiddleware, ModelRetryMiddleware
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from langchain_prodtest import ProductionTests
from langchain_prodtest.demo.middleware import CompletionGuard, Deadline, Fallback, NoReplay, Turn
from langchain_prodtest.demo.retry import worth_retrying

DEADLINE = 2.0


@tool
async def book(seat: str) -> str:
    """Book a seat."""
    return f"{seat} is yours"


class TestHealthyAgent(ProductionTests):
    """The reference service's parts around two models of one provider."""

    deadline = DEADLINE
    max_model_calls = 6
    fallback = "backup"
    # It promises none of these; test_detection.py has healthy twins, test_service.py passes on a trace.
    test_requests_at_once_stay_within_the_limit: Any = None
    test_a_cut_structured_answer_is_refused: Any = None
    test_retries_wait_between_each_other: Any = None
    test_an_identical_question_is_answered_once: Any = None
    test_a_failure_is_not_kept: Any = None
    test_each_question_goes_to_the_model_for_it: Any = None
    test_texts_are_embedded_in_batches: Any = None
    test_the_trace_is_passed_on: Any = None

    @pytest.fixture
    def runnable(self, fake_providers: Any) -> Any:
        def model(name: str) -> ChatOpenAI:
            return ChatOpenAI(
                model=name, max_retries=0, timeout=DEADLINE / 4, stream_chunk_timeout=DEADLINE / 4,
                stream_usage=True,
            )  # fmt: skip

        middleware: list[Any] = [
            Deadline(),
            Fallback(model("backup")),
            ModelRetryMiddleware(
                max_retries=1, retry_on=worth_retrying, on_failure="error", initial_delay=0.2
            ),
            NoReplay(),
            CompletionGuard(),
            ModelCallLimitMiddleware(run_limit=6, exit_behavior="error"),
        ]
        return create_agent(model("primary"), tools=[book], middleware=middleware, context_schema=Turn)

    def arguments(self) -> dict[str, Any]:
        return {"context": Turn(trace_id="t", ends=asyncio.get_running_loop().time() + DEADLINE)}
