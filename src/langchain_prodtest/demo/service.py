"""The reference service over HTTP: `python -m langchain_prodtest.demo.service`.

It listens on 127.0.0.1 and is configured by the environment alone, see `Settings`.

=============== ==================================================================================
POST /chat      {"message": str} -> server-sent events, see `ChatStream`; 422 for any other body
GET /livez      200 while the process can answer at all; touches nothing else
GET /readyz     200, and 503 once the service is on its way out
GET /metrics    Prometheus text format
=============== ==================================================================================
"""

import sys
from typing import Annotated

from fastapi import FastAPI, Header, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from langchain_prodtest.demo import settings as environment
from langchain_prodtest.demo.agent import Components, build
from langchain_prodtest.demo.chat import ChatStream
from langchain_prodtest.demo.observe import start_logging, trace_id, trace_of
from langchain_prodtest.errors import UsageError

__all__ = ["Question", "create_app", "main"]


class Question(BaseModel, extra="forbid"):
    """The body of POST /chat."""

    message: str = Field(min_length=1, max_length=32_000)


def create_app(components: Components) -> FastAPI:
    """Return the application; everything it needs is in `components`."""
    app = FastAPI(title="demo agent", docs_url=None, redoc_url=None, openapi_url=None)
    draining = JSONResponse({"status": "draining"}, 503, {"retry-after": "1", "connection": "close"})

    @app.post("/chat")
    async def chat(question: Question, traceparent: Annotated[str | None, Header()] = None) -> Response:
        if components.drain.draining:
            components.metrics.requests.labels("draining").inc()
            return draining
        trace_id.set(trace_of(traceparent))
        components.audit(question.message)
        return ChatStream(components, question.message)

    @app.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz() -> Response:
        return draining if components.drain.draining else JSONResponse({"status": "ready"})

    @app.get("/metrics")
    async def metrics() -> Response:
        text = generate_latest(components.metrics.registry)
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})

    return app


def main() -> int:
    """Serve until SIGTERM; return the exit code: 0 drained, 1 streams were cut, 2 wrong configuration."""
    try:
        settings = environment.read()
        components = build(settings)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    start_logging()
    return components.serve(create_app(components), settings.port, components.drain, settings.grace_seconds)


if __name__ == "__main__":
    sys.exit(main())
