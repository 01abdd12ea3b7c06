"""One simulated user of the runnable under test: what was asked, what came back, what the provider saw."""

import asyncio
import contextvars
import functools
import itertools
import json
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables.config import RunnableConfig, merge_configs
from pydantic import ValidationError

from langchain_prodtest.conformance.manners import Manners
from langchain_prodtest.fakes.providers import FakeProviders
from langchain_prodtest.isolation.blocking import Block, watched
from langchain_prodtest.replay import Replay
from langchain_prodtest.script import Call, find_nonce, new_nonce

__all__ = ["Got", "Trial", "innermost", "text_of"]

PROMPT = f"Please answer this question: {new_nonce(0)}"
SETTLE = 5.0  # seconds for a cancelled request to be over; only failing tests wait that long
_numbers = itertools.count(1)


@dataclass(kw_only=True)
class Got:
    """What the user got for one question: `text` as far as it was read, and how it ended.

    `error` is what was raised; without one, `value` is what was returned (of a stream, its text). It did
    not end in time unless `ended`. `right` is the answer of a healthy provider.
    """

    right: str
    nonce: str = ""
    calls: list[Call] = field(default_factory=list)
    text: str = ""
    value: Any = None
    error: BaseException | None = None
    ended: bool = False
    seconds: float = 0.0
    first_while_open: bool | None = None
    tools: list[str] = field(default_factory=list)
    tokens: tuple[int, int] | None = None
    blocks: list[Block] = field(default_factory=list)

    @property
    def how(self) -> str:
        """What came, in one phrase."""
        if not self.ended:
            return f"nothing after {self.seconds:.1f} s"
        if self.error is not None:
            return f"{type(self.error).__name__}: {str(self.error).strip()[:200]}"
        return f"{self.text[:200]!r}"


class _Watch(BaseCallbackHandler):
    """Sees tools that ran and tokens that were counted. A call refused for its arguments did not run."""

    run_inline = True

    def __init__(self, got: Got) -> None:
        self._got, self._inputs = got, dict[Any, str]()

    def on_tool_start(self, serialized: dict[str, Any], input_str: str, **kwargs: Any) -> None:
        given = kwargs.get("inputs") or input_str
        name = (serialized or {}).get("name", "tool")
        self._inputs[kwargs["run_id"]] = f"{name}({json.dumps(given, default=str)})"

    def on_tool_end(self, output: Any, **kwargs: Any) -> None:
        self._got.tools.append(self._inputs[kwargs["run_id"]])

    def on_tool_error(self, error: BaseException, **kwargs: Any) -> None:
        if not isinstance(error, ValidationError):
            self._got.tools.append(self._inputs[kwargs["run_id"]])

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        for generation in itertools.chain(*response.generations):
            self._count(getattr(generation, "message", None))

    def _count(self, message: object) -> None:
        usage = getattr(message, "usage_metadata", None)
        if usage:
            before = self._got.tokens or (0, 0)
            self._got.tokens = (before[0] + usage["input_tokens"], before[1] + usage["output_tokens"])


class Trial:
    """Asks the runnable, each time in a thread of its own that is given up when it does not end.

    `invoke` and `stream` return within the deadline and a quarter. The provider answers as it was scripted;
    what no step is scripted for gets the healthy answer.
    """

    def __init__(
        self, runnable: Any, providers: FakeProviders, manners: Manners, root: Path,
        replay: Replay | None = None,
    ) -> None:  # fmt: skip
        self.runnable, self.providers, self.manners, self.root = runnable, providers, manners, root
        self.patience = manners.deadline + max(0.5, manners.deadline / 4)
        providers.journal.default = manners.reply
        given = None if replay is None else replay.seed
        self.seed = uuid.uuid4().int & 0xFFFFFFFF if given is None else given
        self._prompt = replay.prompt if replay and replay.is_bare and find_nonce(replay.prompt) else PROMPT
        self._healthy: Got | None = None

    @property
    def healthy(self) -> Got:
        """What the user gets while the provider is well; asked once."""
        if self._healthy is None:
            nonce = new_nonce(next(_numbers), self.seed)
            self._healthy = self._ask(False, Got(right="", nonce=nonce))
        return self._healthy

    def invoke(self, *, watch: float | None = None, about: str = "") -> Got:
        """Ask a question and wait for the answer; collect what blocks the loop for more than `watch` s.

        The question begins with `about`, where that is given.
        """
        return self._ask(False, self._next(), watch=watch, about=about)

    def again(self, earlier: Got) -> Got:
        """Ask the same question once more; its calls are those that this cost."""
        got = self._ask(False, Got(right=earlier.right, nonce=earlier.nonce))
        got.calls = [call for call in got.calls if call not in earlier.calls]
        return got

    def run(self, work: Callable[[], Any]) -> None:
        """Run `work` in a thread of its own, and await what it returns; raise what it raises."""
        ended: Future[None] = Future()

        async def main() -> None:
            try:
                made = work()
                if isinstance(made, Awaitable):
                    await made
            except BaseException as error:
                ended.set_exception(error)
            else:
                ended.set_result(None)

        _Threads().start(lambda: asyncio.run(main()))
        ended.result(self.patience)

    def stream(self) -> Got:
        """Ask a question and read the answer as it comes."""
        return self._ask(True, self._next())

    def together(self, count: int) -> list[Got]:
        """Ask `count` questions at once."""
        questions = [self._next() for _ in range(count)]
        threads = _Threads()
        for got in questions:
            threads.start(functools.partial(self._ask, False, got))
        threads.join(self.patience + SETTLE)
        return questions

    def leave(self, *, streaming: bool) -> Got:
        """Ask a question and cancel it: at the first text when `streaming`, else while the provider works.

        Asynchronous runnables only. `ended` tells whether the provider's side was over within SETTLE seconds.
        """
        got = self._next()
        work = _Cancellable(lambda: self._aask(streaming, got, None, ""))
        threads, seen = _Threads(), threading.Event()
        threads.start(lambda: work.run(until=seen))
        _until(lambda: bool(got.text if streaming else self.providers.open), self.patience)
        work.cancel()
        _until(lambda: not self.providers.open, SETTLE)
        got.ended = not self.providers.open
        seen.set()
        got.calls = self._calls(got.nonce)
        return got

    def _next(self) -> Got:
        healthy = self.healthy
        nonce = new_nonce(next(_numbers), self.seed)
        return Got(right=healthy.text.replace(healthy.nonce, nonce), nonce=nonce)

    def _ask(self, streaming: bool, got: Got, watch: float | None = None, about: str = "") -> Got:
        started, threads = time.monotonic(), _Threads()
        if self.manners.sync:
            threads.start(lambda: self._ask_sync(streaming, got, about))
            threads.join(self.patience)
        else:
            work = _Cancellable(lambda: self._aask(streaming, got, watch, about))
            threads.start(work.run)
            threads.join(self.patience)
            work.cancel()
        got.seconds = time.monotonic() - started
        threads.join(0.0 if got.ended or self.manners.sync else SETTLE)
        got.calls = self._calls(got.nonce)
        return got

    async def _aask(self, streaming: bool, got: Got, watch: float | None, about: str) -> None:
        question, config, further = self._call(got, about)
        # A service runs on a loop of its own.
        watched_here = getattr(self.runnable, "watched", watched)
        blocked: AbstractContextManager[list[Block]] = (
            watched_here(watch, self.root) if watch else nullcontext([])
        )
        try:
            with blocked as got.blocks:
                if streaming:
                    stream = self.runnable.astream(question, config, **self._stream_mode(), **further)
                    async for piece in stream:
                        self._read(piece, got)
                    got.value = got.text
                else:
                    self._returned(await self.runnable.ainvoke(question, config, **further), got)
        except Exception as error:
            got.error = error
        got.ended = True

    def _ask_sync(self, streaming: bool, got: Got, about: str) -> None:
        question, config, further = self._call(got, about)
        try:
            if streaming:
                for piece in self.runnable.stream(question, config, **self._stream_mode(), **further):
                    self._read(piece, got)
                got.value = got.text
            else:
                self._returned(self.runnable.invoke(question, config, **further), got)
        except Exception as error:
            got.error = error
        got.ended = True

    def _call(self, got: Got, about: str) -> tuple[Any, RunnableConfig, dict[str, Any]]:
        further = self.manners.arguments()
        own: RunnableConfig = {
            "callbacks": [_Watch(got)],
            "configurable": {"thread_id": str(uuid.uuid4())},
        }
        config = merge_configs(further.pop("config", None), own)
        asked = self._prompt.replace(find_nonce(self._prompt), got.nonce)
        text = f"{about} {asked}".strip()
        return self.manners.question(self.runnable, text), config, further

    def _stream_mode(self) -> dict[str, str]:
        return {"stream_mode": "messages"} if hasattr(innermost(self.runnable), "stream_mode") else {}

    def _read(self, piece: Any, got: Got) -> None:
        text = self.manners.text(piece)
        if text and got.first_while_open is None:
            got.first_while_open = bool(self.providers.open)
        got.text += text

    def _returned(self, value: Any, got: Got) -> None:
        got.value, got.text = value, self.manners.text(value)

    def _calls(self, nonce: str) -> list[Call]:
        return [call for call in self.providers.calls if nonce in json.dumps(call.messages, default=str)]


class _Threads:
    """Daemon threads in the caller's context; who does not end in time is left alone."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[[], object]) -> None:
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: context.run(work), name="user", daemon=True)
        thread.start()
        self._threads.append(thread)

    def join(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, ends - time.monotonic()))


class _Cancellable:
    """Runs a coroutine on an event loop of its own, and cancels it from another thread.

    The loop goes on `until` an event is set, as a server's does: what was started and left alone runs on.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._cancel: Callable[[], object] = lambda: None

    def run(self, until: threading.Event | None = None) -> None:
        async def main() -> None:
            task = asyncio.ensure_future(self._work())
            loop = asyncio.get_running_loop()
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
            await asyncio.wait({task})
            if until is not None:
                await asyncio.to_thread(until.wait, 2 * SETTLE)

        asyncio.run(main())

    def cancel(self) -> None:
        """Cancel, unless it has ended."""
        try:
            self._cancel()
        except RuntimeError:  # the loop is closed
            return


def _until(is_so: Callable[[], bool], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not is_so() and time.monotonic() < ends:
        time.sleep(0.005)


def innermost(runnable: Any) -> Any:
    """Return what is wrapped by `with_retry`, `with_config`, `with_fallbacks` and the like."""
    while (inner := getattr(runnable, "bound", None) or getattr(runnable, "runnable", None)) is not None:
        runnable = inner
    return runnable


def text_of(value: Any) -> str:
    """Return the text of what a runnable returns or streams.

    A message's text, a state's last message and structured response; of LangGraph's (message, metadata)
    pairs only what a model says; anything else as it prints.
    """
    match value:
        case str():
            return value
        case BaseMessage():
            return str(value.text)
        case (BaseMessage() as message, dict()):
            return str(message.text) if isinstance(message, AIMessage) else ""
        case {"messages": [*_, last]}:
            structured = value.get("structured_response")
            return text_of(last) + ("" if structured is None else str(structured))
    return str(value)
