import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from langchain_prodtest.demo.drain import Drain
from langchain_prodtest.script import Fault, Reply

if TYPE_CHECKING:
    from tests.demo.conftest import Event, Fakes, Service

WORDS = 40


@pytest.mark.asyncio
async def test_draining_waits_for_the_last_open_stream() -> None:
    drain = Drain()
    with drain.stream():
        with drain.stream():
            finishing = asyncio.create_task(drain.finish(60))
        await asyncio.sleep(0)
        assert not finishing.done()
    assert await finishing


@pytest.mark.asyncio
async def test_draining_gives_up_after_the_grace_period() -> None:
    drain = Drain()
    with drain.stream():
        assert not await drain.finish(0.01)


@pytest.mark.asyncio
async def test_a_stream_that_failed_is_not_waited_for() -> None:
    drain = Drain()
    with pytest.raises(ConnectionError), drain.stream():
        raise ConnectionError
    assert await drain.finish(60)


def test_at_sigterm_the_open_stream_is_finished_while_new_work_is_refused_and_the_exit_code_is_0(
    start: Callable[..., "Service"], fakes: "Fakes", text: Callable[[list["Event"]], str]
) -> None:
    service = start()
    fakes.script.add(Reply("word " * WORDS, per_chunk=0.05))
    stream = service.open("hello")
    assert stream.next() == ("token", {"text": "word"})
    service.terminate()
    assert service.lines("drain.begin")[0]["open"] == 1
    assert service.get("/readyz")[0] == 503
    assert service.get("/livez")[0] == 200
    refused = service.open("hello")
    assert (refused.status, refused.response.getheader("retry-after")) == (503, "1")
    refused.close()
    rest = stream.rest()
    assert text(rest).split() == ["word"] * (WORDS - 1)
    assert rest[-1][0] == "done"
    assert service.process.wait(20) == 0


def test_a_stream_that_outlives_the_grace_period_is_cut_and_the_exit_code_says_so(
    start: Callable[..., "Service"], fakes: "Fakes"
) -> None:
    service = start(GRACE_SECONDS="0.3", DEADLINE_SECONDS="60")
    fakes.script.add(Fault(how="stall", after=2))
    stream = service.open("hello")
    assert stream.next() is not None
    service.terminate()
    assert service.process.wait(20) == 1
    assert "done" not in [name for name, _ in stream.rest()]
    assert service.lines("drain.cut")[0]["open"] == 1
