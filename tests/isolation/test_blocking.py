"""What blocks the event loop is found, with its line; what only waits is not."""

import asyncio
import threading
import time
from pathlib import Path

import pytest

from langchain_prodtest.isolation.blocking import Block, every_loop, watched

HERE = Path(__file__).parent
LIMIT = 0.1


@pytest.mark.asyncio
async def test_a_blocking_call_is_found_with_its_line() -> None:
    with watched(LIMIT, HERE) as blocks:
        await asyncio.sleep(0)
        time.sleep(10 * LIMIT)  # noqa: ASYNC251 - the bug
        await asyncio.sleep(0)
    assert [block.line.partition("  ")[2] for block in blocks] == [
        "time.sleep(10 * LIMIT)  # noqa: ASYNC251 - the bug"
    ]
    assert blocks[0].seconds > LIMIT


@pytest.mark.asyncio
async def test_waiting_is_no_blocking() -> None:
    with watched(LIMIT, HERE) as blocks:
        await asyncio.sleep(5 * LIMIT)
        await asyncio.to_thread(time.sleep, 5 * LIMIT)
    assert blocks == []


def test_a_block_reads_as_a_place() -> None:
    block = Block(seconds=0.5, line="app.py:7  requests.post(URL)", through=("requests/api.py:59",))
    assert str(block) == "0.50 s at app.py:7  requests.post(URL), through requests/api.py:59"
    assert "a line outside of the project" in str(Block(seconds=1, line="", through=()))


def test_every_loop_is_watched_wherever_it_is_started() -> None:
    async def block() -> None:
        time.sleep(10 * LIMIT)  # noqa: ASYNC251 - the bug

    run_forever = asyncio.BaseEventLoop.run_forever
    with every_loop(LIMIT, HERE) as blocks:
        thread = threading.Thread(target=lambda: asyncio.run(block()))
        thread.start()
        thread.join()
        asyncio.run(asyncio.sleep(LIMIT))
    assert len(blocks) == 1
    assert asyncio.BaseEventLoop.run_forever is run_forever
