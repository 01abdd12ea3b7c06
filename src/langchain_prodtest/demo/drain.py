"""Serve until SIGTERM, then finish what is open."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextvars import Context
from types import FrameType

import uvicorn
from fastapi import FastAPI

from langchain_prodtest.demo.observe import log

__all__ = ["Drain", "serve_until_drained"]


class Drain:
    """Counts the open streams, and knows whether the service is on its way out."""

    def __init__(self) -> None:
        self.draining = False
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextlib.contextmanager
    def stream(self) -> Iterator[None]:
        """Count one open stream while the block runs."""
        self._open += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._open -= 1
            if self._open == 0:
                self._idle.set()

    async def finish(self, grace: float) -> bool:
        """Wait at most `grace` seconds for the open streams, and tell whether all finished."""
        log.info("drain.begin", extra={"fields": {"open": self._open}})
        try:
            async with asyncio.timeout(grace):
                await self._idle.wait()
        except TimeoutError:
            log.warning("drain.cut", extra={"fields": {"open": self._open}})
            return False
        log.info("drain.end")
        return True


class _Server(uvicorn.Server):
    """A uvicorn that keeps listening while it drains, so that the readiness probe gets its 503."""

    def __init__(self, config: uvicorn.Config, drain: Drain, grace: float) -> None:
        super().__init__(config)
        self.drain, self.grace, self.finished = drain, grace, True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain at the first signal; stop at once at the second."""
        if self.drain.draining:
            self.should_exit = True
            return
        self.drain.draining = True
        # In a context of its own: the signal may have come in the middle of some request's.
        asyncio.get_running_loop().call_soon_threadsafe(self._begin, context=Context())

    def _begin(self) -> None:
        self._draining = asyncio.create_task(self._finish())

    async def _finish(self) -> None:
        self.finished = await self.drain.finish(self.grace)
        self.should_exit = True


def serve_until_drained(app: FastAPI, port: int, drain: Drain, grace: float) -> int:
    """Serve `app` on 127.0.0.1 until SIGTERM or SIGINT; return 0 if every open stream finished, else 1."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        loop="asyncio",
    )
    server = _Server(config, drain, grace)
    server.run()
    return 0 if server.finished else 1
