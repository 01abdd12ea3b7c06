import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRetryMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolCallChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.tools import BaseTool, tool

from langchain_prodtest.demo.middleware import (
    BrokenAnswerError,
    CompletionGuard,
    Deadline,
    DeadlineError,
    Fallback,
    IncompleteAnswerError,
    NoReplay,
    Turn,
)

Step = AIMessageChunk | Exception | float
ran: list[str] = []


class Streamed(BaseChatModel):
    """Streams chunks, raises exceptions and waits seconds, one list of these a call."""

    calls: list[list[Any]]
    asked: int = 0

    @property
    def _llm_type(self) -> str:
        return "streamed"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        steps = self.calls[self.asked]
        self.asked += 1
        for step in steps:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, float):
                await asyncio.sleep(step)
                continue
            chunk = ChatGenerationChunk(message=step)
            if run_manager:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


@tool
async def remove(path: str) -> str:
    """Remove a file."""
    ran.append(path)
    return f"removed {path}"


def _text(text: str) -> AIMessageChunk:
    return AIMessageChunk(content=text)


def _finish(reason: str) -> AIMessageChunk:
    return AIMessageChunk(content="", response_metadata={"finish_reason": reason})


def _call(args: str, name: str | None = None) -> AIMessageChunk:
    call = ToolCallChunk(name=name, args=args, id="call_1" if name else None, index=0)
    return AIMessageChunk(content="", tool_call_chunks=[call])


WHOLE: list[Step] = [_text(""), _text("Hello"), _text(" there"), _finish("stop")]


async def _ask(
    model: BaseChatModel,
    middleware: Sequence[AgentMiddleware[Any, Any, Any]],
    turn: Turn,
    tools: Sequence[BaseTool] = (remove,),
) -> str:
    """Return all text that a reader of the agent's stream gets, the tool's left out."""
    agent = create_agent(model, tools, middleware=middleware, context_schema=Turn)
    got = ""
    stream = agent.astream(
        {"messages": [{"role": "user", "content": "?"}]}, context=turn, stream_mode="messages"
    )
    async for message, _ in stream:
        if isinstance(message, AIMessage):
            got += str(message.text)
    return got


@pytest.fixture
def turn() -> Turn:
    ran.clear()
    return Turn("trace", None)


# -- CompletionGuard ---------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_whole_answer_and_a_whole_tool_call_pass(turn: Turn) -> None:
    call: list[Step] = [_call("", "remove"), _call('{"path":'), _call(' "/tmp/a"}'), _finish("tool_calls")]
    assert await _ask(Streamed(calls=[call, WHOLE]), [CompletionGuard()], turn) == "Hello there"
    assert ran == ["/tmp/a"]


@pytest.mark.asyncio
@pytest.mark.parametrize("end", [[], [_finish("length")], [_finish("content_filter")], [_finish("error")]])
async def test_an_answer_without_a_normal_finish_reason_is_refused(end: list[Step], turn: Turn) -> None:
    with pytest.raises(IncompleteAnswerError, match="finish reason"):
        await _ask(Streamed(calls=[[_text("Hel"), *end]]), [CompletionGuard()], turn)


@pytest.mark.asyncio
@pytest.mark.parametrize("reason", ["tool_calls", "stop"])
async def test_a_cut_tool_call_is_not_run_whatever_finish_reason_it_carries(reason: str, turn: Turn) -> None:
    call: list[Step] = [_call("", "remove"), _call('{"path": "/tmp/ten'), _finish(reason)]
    with pytest.raises(IncompleteAnswerError, match="not JSON"):
        await _ask(Streamed(calls=[call]), [CompletionGuard()], turn)
    assert ran == []


@pytest.mark.asyncio
async def test_without_the_guard_the_cut_tool_call_is_repaired_and_run(turn: Turn) -> None:
    call: list[Step] = [_call("", "remove"), _call('{"path": "/tmp/ten')]
    await _ask(Streamed(calls=[call, WHOLE]), [], turn)
    assert ran == ["/tmp/ten"]


# -- NoReplay ----------------------------------------------------------------------------------------


def _retry(*, no_replay: bool) -> list[AgentMiddleware[Any, Any, Any]]:
    fallback = Streamed(calls=[WHOLE])
    retry = ModelRetryMiddleware(
        max_retries=1,
        on_failure="error",
        initial_delay=0,
        retry_on=lambda error: not isinstance(error, BrokenAnswerError),
    )
    return [Fallback(fallback), retry, *([NoReplay()] if no_replay else [])]


@pytest.mark.asyncio
async def test_a_call_that_broke_after_text_is_neither_retried_nor_answered_by_the_fallback(
    turn: Turn,
) -> None:
    model = Streamed(calls=[[_text("Hel"), ConnectionError()], WHOLE])
    middleware = _retry(no_replay=True)
    with pytest.raises(BrokenAnswerError):
        await _ask(model, middleware, turn)
    assert (model.asked, middleware[0].second.asked) == (1, 0)  # type: ignore[attr-defined]


@pytest.mark.asyncio
async def test_without_it_the_reader_gets_the_beginning_twice(turn: Turn) -> None:
    model = Streamed(calls=[[_text("Hel"), ConnectionError()], WHOLE])
    assert await _ask(model, _retry(no_replay=False), turn) == "HelHello there"


class RefusedError(Exception):
    """What a client raises when the provider refuses a request."""

    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "asked"), [(400, 0), (413, 0), (422, 0), (401, 1), (404, 1), (429, 1), (503, 1)]
)
async def test_a_wrong_request_does_not_reach_the_fallback(turn: Turn, status: int, asked: int) -> None:
    fallback = Streamed(calls=[WHOLE])
    asking = _ask(Streamed(calls=[[RefusedError(status)]]), [Fallback(fallback)], turn)
    if asked:
        assert await asking == "Hello there"
    else:
        with pytest.raises(RefusedError):
            await asking
    assert fallback.asked == asked


@pytest.mark.asyncio
@pytest.mark.parametrize("before", [[], [_text("")], [_call('{"pa', "remove")]])
async def test_a_call_that_failed_before_any_text_is_retried_and_falls_back(
    before: list[Step], turn: Turn
) -> None:
    failing = [*before, ConnectionError()]
    assert await _ask(Streamed(calls=[failing, WHOLE]), _retry(no_replay=True), turn) == "Hello there"
    assert await _ask(Streamed(calls=[failing, failing]), _retry(no_replay=True), turn) == "Hello there"


@pytest.mark.asyncio
async def test_the_next_model_call_of_the_request_may_be_retried_again(turn: Turn) -> None:
    """Text before a tool call does not count against the model call after it."""
    call: list[Step] = [_text("One moment. "), _call('{"path": "a"}', "remove"), _finish("tool_calls")]
    model = Streamed(calls=[call, [ConnectionError()], WHOLE])
    assert await _ask(model, _retry(no_replay=True), turn) == "One moment. Hello there"


# -- Deadline ----------------------------------------------------------------------------------------


def _in(seconds: float) -> Turn:
    return Turn("trace", asyncio.get_running_loop().time() + seconds)


@pytest.mark.asyncio
@pytest.mark.parametrize("steps", [[60.0], [_text("a"), *[0.05, _text("a")] * 1000]], ids=["hangs", "drips"])
async def test_a_model_that_hangs_or_drips_ends_at_the_deadline_and_is_cancelled(steps: list[Step]) -> None:
    model = Streamed(calls=[steps])
    with pytest.raises(DeadlineError):
        await _ask(model, [Deadline()], _in(0.2))
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.asyncio
async def test_waits_between_retries_count_and_the_fallback_is_not_asked_after_the_deadline() -> None:
    model, fallback = Streamed(calls=[[ConnectionError()]]), Streamed(calls=[WHOLE])
    waiting = ModelRetryMiddleware(max_retries=1, on_failure="error", initial_delay=60)
    with pytest.raises(DeadlineError):
        await _ask(model, [Deadline(), Fallback(fallback), waiting], _in(0.2))
    assert (model.asked, fallback.asked) == (1, 0)


@pytest.mark.asyncio
async def test_a_tool_that_hangs_ends_at_the_deadline() -> None:
    @tool
    async def wait() -> str:
        """Wait."""
        await asyncio.sleep(60)
        return "never"

    model = Streamed(calls=[[_call("{}", "wait"), _finish("tool_calls")]])
    with pytest.raises(DeadlineError):
        await _ask(model, [Deadline()], _in(0.2), [wait])


@pytest.mark.asyncio
@pytest.mark.parametrize("make", [lambda: Turn("trace", None), lambda: _in(60)])
async def test_a_time_out_of_something_else_is_not_taken_for_the_deadline(make: Callable[[], Turn]) -> None:
    with pytest.raises(TimeoutError):
        await _ask(Streamed(calls=[[TimeoutError()]]), [Deadline()], make())
