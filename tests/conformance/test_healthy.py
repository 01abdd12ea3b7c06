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
    # It promises no limit and gives no structured answer; test_detection.py has agents that do.
    test_requests_at_once_stay_within_the_limit: Any = None
    test_a_cut_structured_answer_is_refused: Any = None

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
