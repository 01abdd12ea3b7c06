"""One proxied connection: two sockets, a link for each direction, and the toxics that act on them."""

import asyncio
import random
import socket
import struct
from functools import partial
from typing import Any

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.address import UNIX, Allowed, hosts_of, split_address
from langchain_prodtest.toxiproxy.effect import Effect, End, Toxic
from langchain_prodtest.toxiproxy.events import Events
from langchain_prodtest.toxiproxy.link import Counts, Link
from langchain_prodtest.toxiproxy.policy import Policy
from langchain_prodtest.toxiproxy.toxics import TOXICS

__all__ = ["Connection"]

_DIAL_TIMEOUT = 10.0


class Connection:
    """A client's connection through a proxy, from accept to close.

    `seed` makes draws and jitter reproducible. A half-close and a reset by one peer reach the other one; in
    `strict` mode either is a plain end of both sides, and a connection that began under a reset_peer toxic
    ends by RST whatever ends it.
    """

    def __init__(
        self, client: socket.socket, upstream: str, seed: str, events: Events, proxy: str, policy: Policy
    ) -> None:
        self._client, self._upstream, self._seed = client, upstream, seed
        self._events, self._proxy, self._strict = events, proxy, policy.strict
        self._allowed = policy.allowed
        self._ended: asyncio.Future[tuple[str, bool]] = asyncio.get_running_loop().create_future()
        self._links: dict[bool, Link] = {}
        self._finished: list[bool] = []
        self._lingers = False
        self._timers: list[asyncio.TimerHandle] = []
        self._began = asyncio.get_running_loop().time()
        self._dialled = self._began

    async def run(self, number: int, toxics: list[Toxic]) -> None:
        """Dial the upstream, then carry bytes until `end`; the live list `toxics` is read after the dial."""
        self._events.add("accept", self._proxy, connection=number)
        tasks: list[asyncio.Task[None]] = []
        sockets = [self._client]
        cause, reset = "stopped", False
        try:
            server = await self._dial()
            self._dialled = asyncio.get_running_loop().time()
            if server is not None:
                sockets.append(server)
                ends = ((True, self._client, server), (False, server, self._client))
                for upstream, source, target in ends:
                    self._links[upstream] = Link(source, target, partial(self._on_end, upstream))
                for toxic in toxics:
                    self.add(toxic)
                self._lingers = self._strict and any(toxic.type == "reset_peer" for toxic in toxics)
                tasks = [
                    asyncio.create_task(job()) for li in self._links.values() for job in (li.read, li.write)
                ]
            cause, reset = await self._ended
        finally:
            for task in tasks:
                task.cancel()
            # A socket may be closed only after the event loop has let go of it.
            await asyncio.gather(*tasks, return_exceptions=True)
            for link in self._links.values():
                link.stop()
            for timer in self._timers:
                timer.cancel()
            for each in sockets:
                _close(each, self._lingers if self._strict else reset)
            self._events.add("close", self._proxy, connection=number, cause=cause, **self._evidence())

    def counts(self) -> dict[bool, Counts]:
        """Return the bytes so far, by whether they go upstream."""
        return {upstream: link.counts for upstream, link in self._links.items()}

    @property
    def ended(self) -> bool:
        """Whether its end was decided; its sockets are closed a moment later."""
        return self._ended.done()

    def end(self, cause: str, *, reset: bool = False) -> None:
        """Close both sides, without what is still queued; with `reset` by RST."""
        if not self._ended.done():
            self._ended.set_result((cause, reset))

    def add(self, toxic: Toxic) -> None:
        """Let a toxic act from now on."""
        link, plan = self._links.get(toxic.upstream), toxic.plan
        if link is None or (plan.connections is not None and toxic.met >= plan.connections):
            return
        toxic.met += 1
        self._disturb(link, len(link.effects) - 1)
        loop = asyncio.get_running_loop()
        effect = TOXICS[toxic.type](
            toxic, random.Random(f"{self._seed}/{toxic.name}"), loop.time(), self._strict
        )
        begins = toxic.added + effect.begins_after
        if begins > loop.time():
            effect.waits = True
            self._timers.append(loop.call_at(begins, self._begin, link, effect))
        link.effects.append(effect)
        link.change(effect, flush=False)

    def update(self, toxic: Toxic) -> None:
        """Begin again with changed attributes; what the toxic was delaying goes out at once."""
        for link, effect in self._find(toxic):
            if self._strict:
                effect.redraw()
            _begin_again(link, effect)

    def remove(self, toxic: Toxic) -> None:
        """Let go of a toxic; what it was delaying goes out at once."""
        for link, effect in self._find(toxic):
            self._disturb(link, link.effects.index(effect) - 1)
            link.effects.remove(effect)
            link.change(effect, flush=True)
            end = effect.removed()
            if end is not None and (effect.acts or self._strict):
                self.end(f"toxic {toxic.name}", reset=end is End.RESET)

    def _begin(self, link: Link, effect: Effect) -> None:
        """Let a toxic act whose time has come."""
        effect.waits = False
        if effect in link.effects:
            _begin_again(link, effect)

    def _disturb(self, link: Link, index: int) -> None:
        """Run the stage before a new or old one anew, as 2.12 does."""
        if self._strict and index >= 0:
            link.effects[index].redraw()
            _begin_again(link, link.effects[index])

    def _evidence(self) -> dict[str, Any]:
        """Return bytes delivered each way, and ms of the dial and to the first answer."""
        up, down = self._links.get(True), self._links.get(False)
        first = down.first_sent if down else None
        return {
            "sent_up": up.counts.sent if up else 0,
            "sent_down": down.counts.sent if down else 0,
            "dial_ms": round((self._dialled - self._began) * 1000, 3),
            "first_byte_ms": None if first is None else round((first - self._began) * 1000, 3),
        }

    def _find(self, toxic: Toxic) -> list[tuple[Link, Effect]]:
        link = self._links.get(toxic.upstream)
        return [(link, effect) for effect in link.effects if effect.toxic is toxic] if link else []

    def _on_end(self, upstream: bool, end: End) -> None:
        sender = "client" if upstream else "upstream"
        if end is End.EOF:
            self._finished.append(upstream)
            if len(self._finished) == 2 or self._strict:
                self.end(f"closed by {'client' if self._finished[0] else 'upstream'}")
        else:
            self.end(f"{end.value} on the way from {sender}", reset=end in (End.LOST, End.RESET))

    async def _dial(self) -> socket.socket | None:
        """Return the connected upstream socket; None after `end` was called, by failure or from outside."""
        dial = asyncio.create_task(_connect(self._upstream, self._allowed))
        either: set[asyncio.Future[Any]] = {dial, self._ended}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED, timeout=_DIAL_TIMEOUT)
        if not dial.done():
            dial.cancel()
            await asyncio.gather(dial, return_exceptions=True)
            self.end("dial timed out")
        if dial.cancelled():
            return None
        error = dial.exception()
        if error is None:
            return dial.result()
        self._events.add("dial_failed", self._proxy, upstream=self._upstream, error=str(error))
        self.end("dial failed")
        return None


def _begin_again(link: Link, effect: Effect) -> None:
    effect.start(asyncio.get_running_loop().time())
    link.change(effect, flush=not effect.restarts)


async def _connect(address: str, allowed: Allowed) -> socket.socket:
    error: Exception = ToxiproxyError(f"no address for {address}")
    for family, target in await _look_up(address, allowed):
        sock = socket.socket(family)
        try:
            sock.setblocking(False)
            if family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(sock, target)
        except OSError as failure:
            error = failure
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise error


async def _look_up(address: str, allowed: Allowed) -> list[tuple[int, Any]]:
    """Return family and socket address of each place to try; a host name is looked up anew each time."""
    if address.startswith(UNIX):
        return [(socket.AF_UNIX, address.removeprefix(UNIX))]
    host, port = split_address(address, allowed)
    ips = hosts_of(host)
    if ips:
        return [(socket.AF_INET6 if ":" in ip else socket.AF_INET, (ip, port)) for ip in ips]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, target) for family, _, _, _, target in found]


def _close(sock: socket.socket, reset: bool) -> None:
    if reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
