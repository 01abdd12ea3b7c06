"""The composition root: which parts the service is made of, and the agent built from them."""

from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import FastAPI
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    ModelCallLimitMiddleware,
    ModelRetryMiddleware,
)
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langgraph.graph.state import CompiledStateGraph
from openai import DefaultAsyncHttpxClient
from pydantic import SecretStr

from langchain_prodtest.demo.defects import plant
from langchain_prodtest.demo.drain import Drain, serve_until_drained
from langchain_prodtest.demo.middleware import CompletionGuard, Deadline, Fallback, NoReplay, Turn
from langchain_prodtest.demo.observe import Metrics, log, trace_header
from langchain_prodtest.demo.retry import worth_retrying
from langchain_prodtest.demo.settings import Settings
from langchain_prodtest.demo.tools import Ledger, book_seat

__all__ = ["HEALTHY", "MODEL", "Components", "Parts", "Patience", "Provider", "build"]

PROMPT = "You help travellers. Book seats with the tool; answer everything else yourself."
MODEL = "gpt-4o-mini"


class Patience(msgspec.Struct, frozen=True):
    """Seconds that one read from a provider, and a whole request, may take; None is without limit."""

    read: float | None
    total: float | None


class Provider(msgspec.Struct, frozen=True):
    """Where a model is, and the client that its requests are sent with."""

    base_url: str
    api_key: SecretStr
    http: Any


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts that can be replaced, one field each; a defect replaces one."""

    patience: Callable[[Settings], Patience]
    model: Callable[[Provider, Patience], BaseChatModel]
    retry: Callable[[], AgentMiddleware[Any, Any, Any]]
    guards: Callable[[], list[AgentMiddleware[Any, Any, Any]]]
    audit: Callable[[str], None]
    serve: Callable[[FastAPI, int, Drain, float], int]


class Components(msgspec.Struct, frozen=True, kw_only=True):
    """What one running service consists of."""

    agent: CompiledStateGraph[Any, Turn, Any, Any]
    patience: Patience
    audit: Callable[[str], None]
    serve: Callable[[FastAPI, int, Drain, float], int]
    metrics: Metrics
    drain: Drain


def _patience(settings: Settings) -> Patience:
    # The first provider, its retry and the fallback may each be silent that long, and time is left to answer.
    return Patience(read=settings.deadline_seconds / 4, total=settings.deadline_seconds)


def _model(provider: Provider, patience: Patience) -> BaseChatModel:
    return ChatOpenAI(
        model=MODEL,
        base_url=provider.base_url,
        api_key=provider.api_key,
        http_async_client=provider.http,
        max_retries=0,
        timeout=patience.read,
        stream_chunk_timeout=patience.read,
        stream_usage=True,
    )


def _retry() -> AgentMiddleware[Any, Any, Any]:
    return ModelRetryMiddleware(
        max_retries=1, retry_on=worth_retrying, on_failure="error", initial_delay=0.2, jitter=True
    )


def _guards() -> list[AgentMiddleware[Any, Any, Any]]:
    return [CompletionGuard()]


def _audit(message: str) -> None:
    log.info("chat.received", extra={"fields": {"characters": len(message)}})


HEALTHY = Parts(
    patience=_patience,
    model=_model,
    retry=_retry,
    guards=_guards,
    audit=_audit,
    serve=serve_until_drained,
)


def build(settings: Settings) -> Components:
    """Build the service's components once; UsageError names the defects if `demo_defect` is unknown."""
    parts = plant(settings.demo_defect, HEALTHY)
    patience, metrics = parts.patience(settings), Metrics()
    first = Provider(settings.openai_base_url, settings.openai_api_key, _client("openai", metrics))
    second = Provider(settings.fallback_base_url, settings.fallback_api_key, _client("fallback", metrics))
    middleware: list[AgentMiddleware[Any, Any, Any]] = [
        Deadline(),
        Fallback(parts.model(second, patience)),
        parts.retry(),
        NoReplay(),
        *parts.guards(),
        ModelCallLimitMiddleware(run_limit=6, exit_behavior="error"),
    ]
    agent = create_agent(
        parts.model(first, patience),
        tools=[book_seat(Ledger())],
        system_prompt=PROMPT,
        middleware=middleware,
        context_schema=Turn,
    )
    return Components(
        agent=agent,
        patience=patience,
        audit=parts.audit,
        serve=parts.serve,
        metrics=metrics,
        drain=Drain(),
    )


def _client(provider: str, metrics: Metrics) -> DefaultAsyncHttpxClient:
    """Return an HTTP client that counts each request it sends, and passes the trace on."""

    async def send(request: Any) -> None:
        metrics.provider_calls.labels(provider).inc()
        request.headers["traceparent"] = trace_header()

    return DefaultAsyncHttpxClient(event_hooks={"request": [send]})
