"""The client for asyncio: the same calls, each in a thread.

A call takes milliseconds and ends by its time-out, so a thread serves as well as a second HTTP client would,
and both clients behave alike. What undoes is finished even if the task is cancelled meanwhile.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.client import Proxy, Toxic, Toxiproxy

__all__ = ["AsyncProxy", "AsyncToxiproxy"]


class AsyncToxiproxy:
    """A Toxiproxy's HTTP API; see Toxiproxy for arguments, results and errors."""

    def __init__(
        self, url: str = "http://127.0.0.1:8474", timeout: float = 5.0, token: str | None = None
    ) -> None:
        self.sync = Toxiproxy(url, timeout, token)

    async def running(self) -> bool:
        """Say whether a Toxiproxy answers."""
        return await asyncio.to_thread(self.sync.running)

    async def version(self) -> str:
        """Return the server's version."""
        return await asyncio.to_thread(self.sync.version)

    async def proxies(self) -> dict[str, "AsyncProxy"]:
        """Return all proxies by name."""
        return {
            name: AsyncProxy(proxy) for name, proxy in (await asyncio.to_thread(self.sync.proxies)).items()
        }

    async def get_proxy(self, name: str) -> "AsyncProxy | None":
        """Return the proxy of that name, or None."""
        proxy = await asyncio.to_thread(self.sync.get_proxy, name)
        return AsyncProxy(proxy) if proxy else None

    async def create(
        self, upstream: str, name: str, listen: str | None = None, enabled: bool | None = None
    ) -> "AsyncProxy":
        """Create a proxy; without `listen` it gets a free loopback port."""
        return AsyncProxy(await asyncio.to_thread(self.sync.create, upstream, name, listen, enabled))

    async def populate(self, proxies: Sequence[Mapping[str, Any]]) -> list["AsyncProxy"]:
        """Create proxies from dicts and return those created."""
        return [AsyncProxy(proxy) for proxy in await asyncio.to_thread(self.sync.populate, proxies)]

    async def destroy_all(self) -> None:
        """Remove all proxies."""
        await asyncio.to_thread(self.sync.destroy_all)

    async def reset(self) -> bool:
        """Enable all proxies, remove all toxics, and read back that this is so."""
        return await asyncio.to_thread(self.sync.reset)


class AsyncProxy:
    """A proxy; `sync` holds its name and addresses as the server showed them last."""

    def __init__(self, sync: Proxy) -> None:
        self.sync = sync

    async def toxics(self) -> dict[str, Toxic]:
        """Return its toxics by name."""
        return await asyncio.to_thread(self.sync.toxics)

    async def add_toxic(self, **given: Any) -> Toxic:
        """Add a toxic (Proxy.add_toxic's arguments)."""
        return await asyncio.to_thread(self.sync.add_toxic, **given)

    async def update_toxic(
        self, name: str, attributes: Mapping[str, float] | None = None, toxicity: float | None = None
    ) -> Toxic:
        """Change some attributes or the toxicity of a toxic."""
        return await asyncio.to_thread(self.sync.update_toxic, name, attributes, toxicity)

    async def destroy_toxic(self, name: str) -> bool:
        """Remove a toxic."""
        return await asyncio.to_thread(self.sync.destroy_toxic, name)

    async def enable(self) -> None:
        """Accept connections."""
        await asyncio.to_thread(self.sync.enable)

    async def disable(self, lease: float | None = None) -> None:
        """Refuse and close connections."""
        await asyncio.to_thread(self.sync.disable, lease)

    async def destroy(self) -> bool:
        """Remove the proxy and close its connections."""
        return await asyncio.to_thread(self.sync.destroy)

    @contextlib.asynccontextmanager
    async def toxic(self, **given: Any) -> AsyncIterator[Toxic]:
        """Add a toxic, and remove it at the end whatever happened."""
        adding = asyncio.create_task(self.add_toxic(**given))
        try:
            toxic = await asyncio.shield(adding)
        except asyncio.CancelledError:
            toxic = await adding
            await asyncio.shield(self._remove(toxic.name))
            raise
        try:
            yield toxic
        finally:
            await asyncio.shield(self._remove(toxic.name))

    @contextlib.asynccontextmanager
    async def down(self) -> AsyncIterator["AsyncProxy"]:
        """Disable the proxy, and enable it at the end whatever happened."""
        try:
            await self.disable()
            yield self
        finally:
            await asyncio.shield(self.enable())

    async def _remove(self, name: str) -> None:
        try:
            await self.destroy_toxic(name)
        except ToxiproxyError as error:
            if error.status != 404:
                raise
