"""All proxies of one server by name, and what concerns more than one of them."""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.events import Events
from langchain_prodtest.toxiproxy.listen import resolve, resolve_new
from langchain_prodtest.toxiproxy.policy import Policy
from langchain_prodtest.toxiproxy.proxy import Proxy
from langchain_prodtest.toxiproxy.wanted import WantedProxy

__all__ = ["Collection"]


_GLANCE = 0.1


class Collection:
    """The proxies of one server."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.events = Events()
        self.stopped = False
        self._proxies: dict[str, Proxy] = {}

    def all(self) -> list[Proxy]:
        """Return the proxies in the order of their names' bytes."""
        return sorted(self._proxies.values(), key=lambda proxy: proxy.name.encode("utf-8", "replace"))

    def find(self, name: str) -> Proxy:
        """Return the proxy of that name; ToxiproxyError 404 without one."""
        proxy = self._proxies.get(name)
        if proxy is None:
            raise ToxiproxyError("proxy not found", 404)
        return proxy

    def create(self, wanted: WantedProxy) -> Proxy:
        """Add a proxy; ToxiproxyError 409 if the name is taken, 500 if the port is; then none is added."""
        if wanted.name in self._proxies:
            raise ToxiproxyError("proxy already exists", 409)
        proxy = self._proxy(wanted)
        if wanted.enabled:
            proxy.start()
        self._proxies[wanted.name] = proxy
        return proxy

    def check_all(self, wanted: Sequence[WantedProxy]) -> None:
        """Refuse proxies to `put` of which one has no address to listen on, or that are too many faults."""
        new = [each for each in wanted if each.name not in self._proxies]
        for each in wanted if not self.policy.strict else ():
            if each.enabled:
                (resolve_new if each in new else resolve)(each.listen, self.policy)
        self.check_room(sum(not each.enabled for each in new))

    async def put(self, wanted: WantedProxy) -> Proxy:
        """Return the proxy of that name if its addresses are the wanted ones, else a new one in its place.

        ToxiproxyError if that one cannot listen, and then the old one goes on; in strict mode it is disabled.
        """
        old = self._proxies.get(wanted.name)
        if old is None:
            return self.create(wanted)
        if old.is_at(wanted.listen, wanted.upstream):
            return old
        new = self._proxy(wanted)
        if wanted.enabled and not self.policy.strict and not old.is_at(wanted.listen, old.upstream):
            new.start()
        old.destroy()
        try:
            if wanted.enabled:
                new.start()
            self._proxies[wanted.name] = new
        finally:
            await old.closed()
        return new

    def _proxy(self, wanted: WantedProxy) -> Proxy:
        return Proxy(wanted.name, wanted.listen, wanted.upstream, self.events, self.policy)

    def check_room(self, more: int = 1) -> None:
        """Refuse (ToxiproxyError 400) faults that are too many, or any while all are stopped."""
        if self.stopped and more:
            raise ToxiproxyError(
                f"all faults are stopped by {self.policy.stop_file}: delete it to inject again", 400
            )
        faults = sum(len(proxy.toxics) + (not proxy.enabled) for proxy in self._proxies.values())
        if faults + more > self.policy.max_faults:
            raise ToxiproxyError(f"there are {faults} faults already, no more are allowed at once", 400)

    async def obey_stop_file(self) -> None:
        """End all faults within a second of the stop file's appearance, and allow none while it exists."""
        path = self.policy.stop_file
        while path is not None:
            exists = await asyncio.to_thread(path.exists)
            if exists and not self.stopped:
                self.stopped = True
                self.events.add("stopped", "", file=str(path))
                with contextlib.suppress(ToxiproxyError):
                    await self.reset()
            self.stopped = exists
            await asyncio.sleep(_GLANCE)

    async def remove(self, name: str) -> None:
        """Stop a proxy, close its connections and forget it."""
        proxy = self.find(name)
        del self._proxies[name]
        proxy.destroy()
        await proxy.closed()

    async def reset(self) -> None:
        """Enable all proxies and remove all toxics; ToxiproxyError 500 names what could not be enabled.

        In strict mode the first such proxy is the end of it.
        """
        failures = []
        for proxy in list(self._proxies.values()):
            try:
                proxy.start()
            except ToxiproxyError as error:
                failures.append(str(error))
                if self.policy.strict:
                    break
            await proxy.clear()
        if failures:
            raise ToxiproxyError("; ".join(failures), 500)

    async def close(self) -> None:
        """Stop all proxies and wait until their connections are closed."""
        for proxy in self._proxies.values():
            proxy.destroy()
        await _closed(self._proxies.values())


async def _closed(proxies: Iterable[Proxy]) -> None:
    await asyncio.gather(*(proxy.closed() for proxy in proxies))
