"""One direction of a connection: its turns on the event loop are short, so that nothing else waits for it."""

import asyncio
import random
import socket
import threading
from collections.abc import Callable

import pytest

from langchain_prodtest.toxiproxy.effect import Chunk, Toxic
from langchain_prodtest.toxiproxy.link import Link
from langchain_prodtest.toxiproxy.toxics import TOXICS

SIZE = 4_000_000
LARGEST_READ = 64 * 1024
SLICER: dict[str, float] = {"average_size": 8, "size_variation": 0, "delay": 0}


async def largest_turn(count: Callable[[Link], int], toxic: Toxic | None, size: int) -> int:
    """Send `size` bytes as fast as they go; the largest step of a count between two turns of the loop."""
    (sender, source), (target, receiver) = socket.socketpair(), socket.socketpair()
    source.setblocking(False)
    target.setblocking(False)
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    link = Link(source, target, ended.set_result)
    if toxic is not None:
        link.effects.append(TOXICS[toxic.type](toxic, random.Random(1), loop.time()))

    def send() -> None:
        with sender:
            sender.sendall(bytes(size))

    got: list[int] = []
    threads = [
        threading.Thread(target=send),
        threading.Thread(target=lambda: got.extend(iter(lambda: len(receiver.recv(1 << 20)), 0))),
    ]
    for thread in threads:
        thread.start()
    tasks = [asyncio.create_task(job()) for job in (link.read, link.write)]
    largest = before = 0
    while not ended.done():
        await asyncio.sleep(0)
        largest, before = max(largest, count(link) - before), count(link)
    await asyncio.gather(*tasks)
    target.close()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    source.close()
    receiver.close()
    assert sum(got) == size
    return largest


@pytest.mark.asyncio
async def test_full_stream_takes_one_read_a_turn() -> None:
    assert 0 < await largest_turn(lambda link: link.counts.received, None, SIZE) <= LARGEST_READ


def test_slicer_gets_no_more_than_makes_some_hundred_pieces() -> None:
    for average in (1, 3, 10, 100, 40_000):
        toxic = Toxic("s", "slicer", "downstream", 1.0, {**SLICER, "average_size": average})
        effect = TOXICS["slicer"](toxic, random.Random(1), 0.0)
        assert 0 < len(list(effect.apply(Chunk(0.0, bytes(effect.takes))))) <= 1024


@pytest.mark.asyncio
async def test_small_pieces_take_few_sends_a_turn() -> None:
    slicer = Toxic("s", "slicer", "downstream", 1.0, SLICER)
    assert 0 < await largest_turn(lambda link: link.counts.sent, slicer, 100_000) <= 8 * 8
