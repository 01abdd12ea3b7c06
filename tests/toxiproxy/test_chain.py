"""The chain of toxics on an open connection: whatever comes and goes, no byte is lost, doubled or moved."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_prodtest.toxiproxy.collection import Collection
from langchain_prodtest.toxiproxy.effect import Toxic
from langchain_prodtest.toxiproxy.policy import Policy
from langchain_prodtest.toxiproxy.wanted import WantedProxy, read_toxic, read_update

PIECE = bytes(range(251)) * 8
HARMLESS = [
    {"type": "latency", "attributes": {"latency": 3, "jitter": 3}},
    {"type": "bandwidth", "attributes": {"rate": 2000}},
    {"type": "slicer", "attributes": {"average_size": 90, "size_variation": 40, "delay": 20}},
    {"type": "slow_close", "attributes": {"delay": 3}},
    {"type": "limit_data", "attributes": {"bytes": 10**9}},
    {"type": "noop"},
]
UPDATES = {
    "latency": {"latency": 1},
    "bandwidth": {"rate": 5000},
    "slicer": {"average_size": 300},
    "slow_close": {"delay": 1},
    "limit_data": {"bytes": 10**8},
    "noop": {},
}
changes = st.lists(
    st.tuples(st.sampled_from(["add", "update", "remove"]), st.integers(0, len(HARMLESS) - 1)),
    min_size=1,
    max_size=15,
)


@pytest.mark.parametrize("strict", [False, True])
@settings(max_examples=40, deadline=None)
@given(steps=changes)
def test_no_byte_is_lost_doubled_or_moved(strict: bool, steps: list[tuple[str, int]]) -> None:
    assert asyncio.run(deliver(Policy("1", strict=strict), steps)) == PIECE * len(steps)


async def deliver(policy: Policy, steps: list[tuple[str, int]]) -> bytes:
    """Send a piece after each change of the toxics; what arrived at the client in the end."""
    proxies = Collection(policy)

    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for step in steps:
            change(proxies, policy, *step)
            writer.write(PIECE)
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    async with await asyncio.start_server(send, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        wanted = {"name": "p", "upstream": f"{host}:{port}", "listen": "127.0.0.1:0"}
        proxy = proxies.create(WantedProxy(wanted))
        reader, writer = await asyncio.open_connection(*proxy.listen.split(":"))
        got = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        await proxies.close()
    return got


def change(proxies: Collection, policy: Policy, what: str, which: int) -> None:
    proxy = proxies.find("p")
    body: Any = HARMLESS[which]
    toxic: Toxic | None = proxy.find_toxic(f"{body['type']}_downstream")
    if what == "add" and toxic is None:
        proxy.add_toxic(read_toxic(body, policy, proxy.find_toxic))
    elif what == "update" and toxic is not None:
        proxy.update_toxic(toxic, *read_update({"attributes": UPDATES[toxic.type]}, toxic, policy))
    elif what == "remove" and toxic is not None:
        proxy.remove_toxic(toxic)
