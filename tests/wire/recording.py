"""A Recorder that runs beside a test."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from langchain_prodtest.wire.providers import PROVIDERS
from langchain_prodtest.wire.record import Recorder
from langchain_prodtest.wire.upstream import upstreams

__all__ = ["recording"]


@contextmanager
def recording(out: Path, *urls: str) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Give the base URL of each provider, and the list of what the recorder warns of."""
    warnings: list[str] = []
    recorder = Recorder(upstreams(urls, [], PROVIDERS), out, warnings.append)
    lines: list[str] = []
    ready = threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def announce(line: str) -> None:
        lines.append(line)
        if len(lines) == len(urls):
            ready.set()

    async def run() -> None:
        told = asyncio.Event()
        loops.append((asyncio.get_running_loop(), told))
        await recorder.run(0, announce, told)

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="recorder")
    thread.start()
    assert ready.wait(20)
    try:
        yield dict(line.split() for line in lines), warnings
    finally:
        loop, told = loops[0]
        loop.call_soon_threadsafe(told.set)
        thread.join(20)
        assert not thread.is_alive()
