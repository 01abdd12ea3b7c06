"""Blocking calls on an event loop: while one lasts, no other request, stream or probe gets on."""

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from langchain_prodtest.isolation.frames import lines_of, packages, users_line

__all__ = ["Block", "every_loop", "watched"]

CHECKS = 5  # in a row that the loop must miss, while the watching thread itself is on time


@dataclass(frozen=True, kw_only=True)
class Block:
    """A stretch of `seconds` or more in which the loop did not get on, and what its thread was doing."""

    seconds: float
    line: str
    through: tuple[str, ...]

    def __str__(self) -> str:
        """Say where, as it would stand in a failure."""
        through = f", through {' <- '.join(self.through[:3])}" if self.through else ""
        return f"{self.seconds:.2f} s at {self.line or 'a line outside of the project'}{through}"


@contextmanager
def watched(limit: float, root: Path) -> Iterator[list[Block]]:
    """Collect what blocks the running event loop for more than `limit` seconds while the block runs.

    A thread asks the loop for a sign of life and looks at its stack when none comes. A machine that is too
    busy to run that thread on time blocks nobody here: such stretches do not count.
    """
    blocks: list[Block] = []
    with _watcher(asyncio.get_running_loop(), limit, root, blocks):
        yield blocks


@contextmanager
def every_loop(limit: float, root: Path) -> Iterator[list[Block]]:
    """Collect what blocks any asyncio event loop that is started while the block runs, in any thread."""
    blocks: list[Block] = []
    run_forever = asyncio.BaseEventLoop.run_forever

    def watched_run(loop: asyncio.BaseEventLoop) -> None:
        with _watcher(loop, limit, root, blocks):
            run_forever(loop)

    asyncio.BaseEventLoop.run_forever = watched_run  # type: ignore[method-assign, assignment]
    try:
        yield blocks
    finally:
        asyncio.BaseEventLoop.run_forever = run_forever  # type: ignore[method-assign]


@contextmanager
def _watcher(
    loop: asyncio.AbstractEventLoop, limit: float, root: Path, blocks: list[Block]
) -> Iterator[None]:
    ended = threading.Event()
    watcher = threading.Thread(
        target=_watch,
        args=(loop, threading.get_ident(), limit, root, blocks, ended),
        name="loop watch",
        daemon=True,
    )
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch(
    loop: asyncio.AbstractEventLoop,
    thread: int,
    limit: float,
    root: Path,
    blocks: list[Block],
    ended: threading.Event,
) -> None:
    tick = limit / CHECKS
    alive = threading.Event()
    while not ended.is_set():
        alive.clear()
        loop.call_soon_threadsafe(alive.set)
        asked, missed, lines = time.monotonic(), 0, []
        while not alive.is_set() and not ended.is_set():
            before = time.monotonic()
            if not alive.wait(tick):
                missed = missed + 1 if time.monotonic() - before < 2 * tick else 0
            if missed == CHECKS:
                lines = lines_of(sys._current_frames().get(thread))
        if lines:
            blocks.append(
                Block(
                    seconds=time.monotonic() - asked,
                    line=users_line(lines, root),
                    through=packages(lines),
                )
            )
        ended.wait(tick)
