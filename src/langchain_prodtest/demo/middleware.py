"""Middleware that LangChain lacks, each small enough to copy.

The order, outermost first: `Deadline`, `Fallback`, retry, `NoReplay`, `CompletionGuard`.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain.agents.middleware.types import ToolCallRequest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk
from langchain_core.tracers.context import register_configure_hook
from langgraph.types import Command

__all__ = [
    "BrokenAnswerError",
    "CompletionGuard",
    "Deadline",
    "DeadlineError",
    "Fallback",
    "IncompleteAnswerError",
    "NoReplay",
    "Turn",
]


class IncompleteAnswerError(Exception):
    """The model's answer was cut: no normal finish reason, or tool arguments that are not JSON."""


class BrokenAnswerError(Exception):
    """A model call failed after text of it had been streamed, so nothing may be streamed in its place."""


class DeadlineError(Exception):
    """The request's total time is used up."""


@dataclass
class Turn:
    """What middleware and tools know of one request; `ends` is event loop time, None without a deadline."""

    trace_id: str
    ends: float | None
    broken: BrokenAnswerError | None = None


_T = TypeVar("_T")
_Model = Callable[[ModelRequest[Turn]], Awaitable[ModelResponse[Any]]]
_Chunk = GenerationChunk | ChatGenerationChunk | None
_Tool = Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]


class Deadline(AgentMiddleware[AgentState[Any], Turn, Any]):
    """End the model and tool calls of a request at `Turn.ends`, retries and waits included, and cancel them.

    Raises DeadlineError. A client time-out bounds one read; a provider that drips never meets it.
    """

    async def awrap_model_call(self, request: ModelRequest[Turn], handler: _Model) -> ModelResponse[Any]:
        """Call the model; raise DeadlineError when the time is up."""
        return await _until(request.runtime.context.ends, handler(request))

    async def awrap_tool_call(self, request: ToolCallRequest, handler: _Tool) -> ToolMessage | Command[Any]:
        """Call the tool; raise DeadlineError when the time is up."""
        return await _until(cast("Turn", request.runtime.context).ends, handler(request))


async def _until(ends: float | None, work: Awaitable[_T]) -> _T:
    try:
        async with asyncio.timeout_at(ends) as limit:
            return await work
    except TimeoutError as error:
        if limit.expired():
            raise DeadlineError from error
        raise


class Fallback(AgentMiddleware[AgentState[Any], Turn, Any]):
    """Ask another model when the first one fails, unless the request itself was refused.

    LangChain's own ModelFallbackMiddleware sends on every error: a request that is wrong or too long is then
    paid for twice, and the error that is told is the second one. 401, 403 and 404 do lead on: another
    provider has other keys and models.
    """

    wrong_request = frozenset({400, 413, 422})

    def __init__(self, second: BaseChatModel) -> None:
        super().__init__()
        self.second = second

    async def awrap_model_call(self, request: ModelRequest[Turn], handler: _Model) -> ModelResponse[Any]:
        """Call the model, and if it fails, the second one."""
        try:
            return await handler(request)
        except Exception as error:
            if getattr(error, "status_code", None) in self.wrong_request:
                raise
        return await handler(request.override(model=self.second))


class _Text(BaseCallbackHandler):
    """Sees whether an attempt has streamed any text."""

    run_inline = True
    seen = False

    def on_llm_new_token(self, token: object, *, chunk: _Chunk = None, **kwargs: Any) -> None:
        """Note that there was text."""
        self.seen = self.seen or bool(chunk and chunk.text)


class _Arguments(BaseCallbackHandler):
    """Collects the tool calls' argument strings as they came; the finished message has them repaired."""

    run_inline = True

    def __init__(self) -> None:
        self.raw: dict[int | str | None, str] = {}

    def on_llm_new_token(self, token: object, *, chunk: _Chunk = None, **kwargs: Any) -> None:
        """Append the pieces of argument strings in this chunk."""
        if isinstance(chunk, ChatGenerationChunk) and isinstance(chunk.message, AIMessageChunk):
            for call in chunk.message.tool_call_chunks:
                index = call.get("index")
                self.raw[index] = self.raw.get(index, "") + (call["args"] or "")


_text: ContextVar[_Text | None] = ContextVar("text", default=None)
_arguments: ContextVar[_Arguments | None] = ContextVar("arguments", default=None)
register_configure_hook(_text, inheritable=True)  # every run inside the `with` then has this handler
register_configure_hook(_arguments, inheritable=True)


class NoReplay(AgentMiddleware[AgentState[Any], Turn, Any]):
    """Stop retries and fallbacks of a model call that failed after text of it was streamed.

    Raises BrokenAnswerError, at once for each further attempt: the reader would get the beginning twice.
    """

    async def awrap_model_call(self, request: ModelRequest[Turn], handler: _Model) -> ModelResponse[Any]:
        """Call the model, unless an earlier attempt of the same call was broken."""
        turn = request.runtime.context
        if turn.broken:
            raise turn.broken
        text = _Text()
        token = _text.set(text)
        try:
            return await handler(request)
        except Exception as error:
            if not text.seen:
                raise
            turn.broken = BrokenAnswerError()
            raise turn.broken from error
        finally:
            _text.reset(token)


class CompletionGuard(AgentMiddleware[AgentState[Any], Turn, Any]):
    """Refuse an answer that is not whole: it must carry a normal finish reason and strict JSON arguments.

    Raises IncompleteAnswerError. A stream that ends early but cleanly raises nothing in any client, and a
    tool call that was cut is repaired into a valid one and run. An answer that ends at the token limit is
    refused too.
    """

    normal = frozenset({"stop", "tool_calls", "end_turn", "stop_sequence", "tool_use"})

    async def awrap_model_call(self, request: ModelRequest[Turn], handler: _Model) -> ModelResponse[Any]:
        """Call the model and inspect its answer."""
        arguments = _Arguments()
        token = _arguments.set(arguments)
        try:
            response = await handler(request)
        finally:
            _arguments.reset(token)
        for message in response.result:
            if isinstance(message, AIMessage):
                self._inspect(message, arguments.raw.values())
        return response

    def _inspect(self, message: AIMessage, raw_arguments: Iterable[str]) -> None:
        told = message.response_metadata
        finish = told.get("finish_reason") or told.get("stop_reason")
        if finish not in self.normal:
            raise IncompleteAnswerError(f"the answer ended with finish reason {finish!r}")
        if message.invalid_tool_calls:
            raise IncompleteAnswerError("the arguments of a tool call are not JSON")
        for raw in raw_arguments:
            try:
                json.loads(raw or "{}")
            except ValueError:
                raise IncompleteAnswerError("the arguments of a tool call are not JSON") from None
