"""One answer as a stream of server-sent events."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
from fastapi.responses import StreamingResponse
from langchain.agents.middleware.model_call_limit import ModelCallLimitExceededError
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from starlette.types import Receive, Scope, Send

from langchain_prodtest.demo.agent import Components
from langchain_prodtest.demo.middleware import BrokenAnswerError, DeadlineError, IncompleteAnswerError, Turn
from langchain_prodtest.demo.observe import log, trace_id

__all__ = ["ChatStream"]

_ERRORS: tuple[tuple[type[Exception], str, str], ...] = (
    (DeadlineError, "deadline", "The answer took too long. Please ask again."),
    (BrokenAnswerError, "incomplete", "The answer broke off before its end. Please ask again."),
    (IncompleteAnswerError, "incomplete", "The answer broke off before its end. Please ask again."),
    (ModelCallLimitExceededError, "too_many_steps", "The answer needed too many steps."),
    (Exception, "unavailable", "No answer can be given right now. Please ask again later."),
)
"""What a reader is told, first match first; never the text of an exception, which may hold a secret."""


class ChatStream(StreamingResponse):
    """The events `token` {"text"}, then one `done` {"finish", "usage"} or one `error` {"message", "code"}.

    The agent runs in a task of its own, which is cancelled when the reader leaves: cancelled inside the
    response instead, it would run on to the end of the model's answer. Its outcome is then `cancelled`.
    """

    def __init__(self, components: Components, message: str) -> None:
        super().__init__(
            self._events(), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )
        self._components, self._message = components, message
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the agent while the response is being sent."""
        with self._components.drain.stream(), self._components.metrics.in_flight.track_inprogress():
            run = asyncio.create_task(self._run())
            try:
                await super().__call__(scope, receive, send)
            finally:
                run.cancel()

    async def _events(self) -> AsyncIterator[bytes]:
        while (event := await self._queue.get()) is not None:
            yield event

    async def _run(self) -> None:
        """Answer into the queue, and say in metrics and log what became of it."""
        started, outcome = asyncio.get_running_loop().time(), "cancelled"
        try:
            usage = await self._answer(started)
            outcome = "ok"
            self._put("done", {"finish": "stop", "usage": usage or {}})
        except Exception as error:
            outcome, says = next((code, says) for kind, code, says in _ERRORS if isinstance(error, kind))
            self._put("error", {"message": says, "code": outcome})
            log.warning("chat.failed", exc_info=True)
        finally:
            self._queue.put_nowait(None)
            self._components.metrics.requests.labels(outcome).inc()
            seconds = round(asyncio.get_running_loop().time() - started, 3)
            log.info("chat.ended", extra={"fields": {"outcome": outcome, "seconds": seconds}})

    async def _answer(self, started: float) -> UsageMetadata | None:
        """Stream the text of the model's messages, and return the tokens used in all of them."""
        total = self._components.patience.total
        turn = Turn(trace_id=trace_id.get(), ends=None if total is None else started + total)
        usage: UsageMetadata | None = None
        first = True
        async for message, _ in self._components.agent.astream(
            {"messages": [{"role": "user", "content": self._message}]}, context=turn, stream_mode="messages"
        ):
            if not isinstance(message, AIMessage):
                continue
            if message.usage_metadata:
                usage = add_usage(usage, message.usage_metadata)
            if text := str(message.text):
                if first:
                    now = asyncio.get_running_loop().time()
                    self._components.metrics.first_token.observe(now - started)
                    first = False
                self._put("token", {"text": text})
        return usage

    def _put(self, event: str, data: object) -> None:
        self._queue.put_nowait(b"event: %s\ndata: %s\n\n" % (event.encode(), msgspec.json.encode(data)))
