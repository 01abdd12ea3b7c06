"""An ASGI app as a runnable: served on a real socket, asked over HTTP, its answer read by a small mapping."""

import asyncio
import contextvars
import json
import secrets
import socket
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, aclosing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables.config import RunnableConfig, get_callback_manager_for_config
from langchain_core.tracers.context import register_configure_hook

from langchain_prodtest.conformance.http import events, exchange
from langchain_prodtest.errors import UsageError
from langchain_prodtest.isolation.blocking import Block, watched

__all__ = ["Service", "ServiceError"]

STOP = 5.0  # seconds for the server to end


class ServiceError(Exception):
    """The service gave no whole answer: an error status, an error event, or an end before the end."""


class _Reading(NamedTuple):
    """Which field of a body is the question, and what of an answer is text, end and error."""

    ask: str
    text: str
    token: str
    end: str
    error: str

    def said(self, data: str) -> str:
        """Return the text in the JSON of an answer or event, at the dotted path `text`."""
        try:
            found = json.loads(data)
            for name in filter(None, self.text.split(".")):
                found = found[int(name) if isinstance(found, list) else name]
        except (ValueError, LookupError, TypeError):
            raise ServiceError(f"no {self.text!r} in what the service answered: {data[:200]}") from None
        return found if isinstance(found, str) else json.dumps(found)


class Service:
    """Serve `app` on loopback while the block runs; `ainvoke` and `astream` ask it by POST to `path`.

    The body is {ask: question}, or what `question()` of the test class returns, if that is no text. A JSON
    answer's text is at the dotted path `text`. Of server-sent events, those named `token` hold text there,
    one named `error` says that there is no answer, and `end` (an event's name, or its data, as `[DONE]`)
    marks the end; a stream that stops without it was cut. An event without a name is a `message`.

    Each request begins a trace (W3C Trace Context); `traces` are their ids.
    """

    def __init__(
        self, app: Any, path: str, *, ask: str = "message", text: str = "text", token: str = "token",  # noqa: S107
        end: str = "done", error: str = "error", headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._app, self._path, self._headers = app, path, dict(headers or {})
        self._reading = _Reading(ask, text, token, end, error)
        self._relay = _Relay()
        self.traces: list[str] = []

    def __enter__(self) -> "Service":
        try:
            import uvicorn
        except ImportError:
            raise UsageError("an ASGI app is served by uvicorn: pip install uvicorn") from None
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(self._app, log_config=None, timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        context = contextvars.copy_context()
        context.run(_relays.set, self._relay)
        self._thread = threading.Thread(target=context.run, args=(self._serve,), name="service", daemon=True)
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                self._socket.close()
                raise ServiceError("the app did not start; the log (uvicorn.error) says why")
            time.sleep(0.002)
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.should_exit = True
        self._thread.join(STOP)
        self._socket.close()

    async def ainvoke(self, question: Any, config: RunnableConfig | None = None) -> str:
        """Return the whole answer; ServiceError says why there is none."""
        async with aclosing(self.astream(question, config)) as pieces:
            return "".join([piece async for piece in pieces])

    async def astream(self, question: Any, config: RunnableConfig | None = None) -> AsyncGenerator[str, None]:
        """Yield the answer's text as it comes; leaving closes the connection."""
        body = {self._reading.ask: question} if isinstance(question, str) else question
        self.traces.append(secrets.token_hex(16))
        headers = {"traceparent": f"00-{self.traces[-1]}-{secrets.token_hex(8)}-01", **self._headers}
        with self._relay.to(get_callback_manager_for_config(config or {}).handlers):
            async with exchange(self._port, self._path, json.dumps(body).encode(), headers) as answer:
                if answer.status >= 400:
                    raise ServiceError(f"status {answer.status}: {(await answer.text())[:200]}")
                if not answer.content_type.startswith("text/event-stream"):
                    yield self._reading.said(await answer.text())
                    return
                async with aclosing(self._pieces(events(answer))) as pieces:
                    async for piece in pieces:
                        yield piece

    async def _pieces(self, told: AsyncIterator[tuple[str, str]]) -> AsyncGenerator[str, None]:
        reading = self._reading
        async for name, data in told:
            if name == reading.error:
                raise ServiceError(f"event {name}: {data[:200]}")
            if reading.end in (name, data):
                return
            if name == reading.token:
                yield reading.said(data)
        raise ServiceError(f"the stream ended without {reading.end!r}")

    @contextmanager
    def watched(self, limit: float, root: Path) -> Iterator[list[Block]]:
        """Collect what blocks the app's event loop for more than `limit` seconds while the block runs."""
        stack = ExitStack()

        async def enter() -> list[Block]:
            return stack.enter_context(watched(limit, root))

        async def leave() -> None:
            stack.close()

        blocks = asyncio.run_coroutine_threadsafe(enter(), self._loop).result()
        try:
            yield blocks
        finally:
            asyncio.run_coroutine_threadsafe(leave(), self._loop).result()

    def _serve(self) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            await self._server.serve(sockets=[self._socket])

        with suppress(SystemExit):  # uvicorn's way to say that the app did not start
            asyncio.run(main())


class _Relay(BaseCallbackHandler):
    """Tells those who ask of what runs inside the app, which no HTTP answer shows."""

    run_inline = True

    def __init__(self) -> None:
        self._listeners: list[BaseCallbackHandler] = []

    @contextmanager
    def to(self, listeners: list[BaseCallbackHandler]) -> Iterator[None]:
        self._listeners += listeners
        try:
            yield
        finally:
            self._listeners = [kept for kept in self._listeners if kept not in listeners]

    def _tell(self, what: str, *args: Any, **kwargs: Any) -> None:
        for listener in self._listeners:
            getattr(listener, what)(*args, **kwargs)

    def on_tool_start(self, serialized: dict[str, Any], input_str: str, **kwargs: Any) -> None:
        self._tell("on_tool_start", serialized, input_str, **kwargs)

    def on_tool_end(self, output: Any, **kwargs: Any) -> None:
        self._tell("on_tool_end", output, **kwargs)

    def on_tool_error(self, error: BaseException, **kwargs: Any) -> None:
        self._tell("on_tool_error", error, **kwargs)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self._tell("on_llm_end", response, **kwargs)


_relays: contextvars.ContextVar[_Relay | None] = contextvars.ContextVar("prodtest_relay", default=None)
register_configure_hook(_relays, inheritable=True)
