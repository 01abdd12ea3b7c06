"""A proxy: its listener, its toxics, its connections, and the leases on what was done to it."""

import asyncio
import contextlib
import errno
import socket
from dataclasses import replace
from typing import Any

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.barrier import Barrier
from langchain_prodtest.toxiproxy.connection import Connection
from langchain_prodtest.toxiproxy.effect import Toxic
from langchain_prodtest.toxiproxy.events import Events
from langchain_prodtest.toxiproxy.link import Counts
from langchain_prodtest.toxiproxy.listen import BACKLOG, bind, listen_error, listen_on, resolve
from langchain_prodtest.toxiproxy.policy import Policy
from langchain_prodtest.toxiproxy.toxics import Connect

__all__ = ["Proxy", "show_toxic"]

_RETRY = 0.2


class Proxy:
    """Accepts on `listen` and connects each client to `upstream`.

    Changes happen at once and as a whole. While disabled it keeps its port bound but not listening: clients
    are refused, and nobody else can take the port.
    """

    def __init__(self, name: str, listen: str, upstream: str, events: Events, policy: Policy) -> None:
        self.name, self.listen, self.upstream = name, listen, upstream
        self.enabled = False
        self.toxics: list[Toxic] = []
        self._events, self._policy = events, policy
        self._socket: socket.socket | None = None
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._barrier: Barrier | None = None
        self._blocked: float | None = None
        self._accepted = 0
        self._done = {True: Counts(), False: Counts()}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._leases: dict[str, asyncio.TimerHandle] = {}

    def start(self) -> None:
        """Listen; ToxiproxyError 500 in Go's words if that is impossible. A running proxy stays as it is."""
        if self.enabled:
            return
        if self._socket is None:
            self._socket, self.listen = bind(self.listen, self._policy)
        try:
            listen_on(self._socket)
        except OSError as error:
            self._release()
            raise listen_error(self.listen, error) from None
        asyncio.get_running_loop().add_reader(self._socket, self._accept)
        self.enabled = True
        self._mind_barrier()
        self._drop_lease("")
        self._events.add("enabled", self.name)

    def stop(self, cause: str = "proxy disabled") -> None:
        """Refuse new clients and close all connections; `closed` waits until they are."""
        if self.enabled:
            self._refuse()
            self.enabled = False
            self._events.add("disabled", self.name)
        for connection in self._connections:
            connection.end(cause)

    def _refuse(self) -> None:
        """Listen no more, but keep the port."""
        if self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket)
        self._release()
        with contextlib.suppress(ToxiproxyError):
            self._socket, _ = bind(self.listen, self._policy)
            # Others that allow reuse could bind the port too; while it is held it must be ours alone.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)

    def _mind_barrier(self) -> None:
        """Let clients connect, or not, as the toxics want it."""
        found = [toxic.attributes["refuse"] for toxic in self.toxics if toxic.type == Connect.type]
        wanted = found[-1] if found else None
        if not self.enabled or self._socket is None or wanted == self._blocked:
            return
        loop = asyncio.get_running_loop()
        if self._barrier is not None:
            self._barrier.lift()
        if wanted:
            self._refuse()
        elif wanted == 0:
            listen_on(self._socket)
            try:
                self._barrier = Barrier(self._socket)
            except OSError:
                listen_on(self._socket)
                raise
            loop.remove_reader(self._socket)
        else:
            listen_on(self._socket)
            loop.add_reader(self._socket, self._accept)
            self._accept()
            self._barrier = None
        self._blocked = wanted

    async def closed(self) -> None:
        """Wait until the connections that were ended have closed their sockets."""
        ended = [task for connection, task in self._connections.items() if connection.ended]
        await asyncio.gather(*ended, return_exceptions=True)

    def is_at(self, listen: str, upstream: str) -> bool:
        """Say whether these are its addresses; ToxiproxyError if `listen` is none."""
        return (resolve(listen, self._policy), upstream) == (self.listen, self.upstream)

    def update(self, listen: str, upstream: str, enabled: bool) -> None:
        """Be as wanted; other addresses stop a running proxy first.

        ToxiproxyError if that cannot be, and then it is as before; in strict mode disabled, at the new ones.
        """
        before = self.listen, self.upstream
        if not self.is_at(listen, upstream):
            bound: tuple[socket.socket | None, str] = (None, listen)
            if enabled and not self._policy.strict and not self.is_at(listen, self.upstream):
                bound = bind(listen, self._policy)
            self.stop()
            self._release()
            self._socket, self.listen = bound
            self.upstream = upstream
        if not enabled:
            self.stop()
            return
        try:
            self.start()
        except ToxiproxyError:
            if not self._policy.strict:
                self.listen, self.upstream = before
            raise

    def destroy(self) -> None:
        """Stop for good."""
        self.stop("proxy deleted")
        self._release()
        for key in list(self._leases):
            self._drop_lease(key)
        for timer in self._timers.values():
            timer.cancel()

    def find_toxic(self, name: str) -> Toxic | None:
        """Return the toxic of that name."""
        return next((toxic for toxic in self.toxics if toxic.name == name), None)

    def add_toxic(self, toxic: Toxic) -> None:
        """Add a toxic behind the others; it acts on open connections too."""
        toxic.added = asyncio.get_running_loop().time()
        self.toxics.append(toxic)
        try:
            self._mind_barrier()
        except OSError:
            self.toxics.remove(toxic)
            raise
        if toxic.plan.duration is not None:
            seconds = (toxic.plan.start + toxic.plan.duration) / 1000
            self._timers[toxic.name] = asyncio.get_running_loop().call_later(
                seconds, self.remove_toxic, toxic
            )
        for connection in self._connections:
            connection.add(toxic)
        self._events.add("toxic_added", self.name, toxic=toxic.name, type=toxic.type)

    def update_toxic(self, toxic: Toxic, toxicity: float, attributes: dict[str, float]) -> None:
        """Change a toxic; the same values again disturb no connection, but in strict mode."""
        if (toxicity, attributes) == (toxic.toxicity, toxic.attributes) and not self._policy.strict:
            return
        toxic.toxicity, toxic.attributes, toxic.free_at = toxicity, attributes, 0.0
        for connection in self._connections:
            connection.update(toxic)
        self._mind_barrier()
        self._events.add("toxic_updated", self.name, toxic=toxic.name, type=toxic.type)

    def remove_toxic(self, toxic: Toxic) -> None:
        """Remove a toxic; its lease ends with it."""
        self.toxics.remove(toxic)
        self._drop_lease(toxic.name)
        if toxic.name in self._timers:
            self._timers.pop(toxic.name).cancel()
        for connection in list(self._connections):
            connection.remove(toxic)
        self._mind_barrier()
        self._events.add("toxic_removed", self.name, toxic=toxic.name, type=toxic.type)

    async def clear(self) -> None:
        """Remove all toxics, and wait until the connections that this ends have closed."""
        for toxic in list(self.toxics):
            self.remove_toxic(toxic)
        await self.closed()

    def lease_toxic(self, toxic: Toxic, seconds: float) -> None:
        """Remove the toxic after `seconds`, unless leased again before."""
        self._lease(toxic.name, seconds)

    def lease_down(self, seconds: float) -> None:
        """Enable the proxy after `seconds`, unless leased again before."""
        self._lease("", seconds)

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._connections)

    def counts(self) -> dict[bool, Counts]:
        """Return the bytes of all connections by whether they go upstream; strict: of those that ended."""
        total = {upstream: replace(counts) for upstream, counts in self._done.items()}
        for connection in () if self._policy.strict else self._connections:
            _add(total, connection)
        return total

    def ordered_toxics(self) -> list[Toxic]:
        """Return the toxics, those upstream first."""
        return sorted(self.toxics, key=lambda toxic: not toxic.upstream)

    def as_json(self) -> dict[str, Any]:
        """Return the proxy as the API shows it: upstream toxics first."""
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            **({"Logger": {}} if self._policy.strict else {}),
            "toxics": [show_toxic(toxic) for toxic in self.ordered_toxics()],
        }

    def _accept(self) -> None:
        assert self._socket is not None
        for _ in range(BACKLOG):
            try:
                client, address = self._socket.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._pause_accepting()
                return
            if self._barrier is not None and self._barrier.holds(address):
                client.close()
                continue
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._accepted += 1
            seed = f"{self._policy.seed}/{self.name}/{self._accepted}"
            connection = Connection(client, self.upstream, seed, self._events, self.name, self._policy)
            task = asyncio.create_task(connection.run(self._accepted, self.toxics))
            self._connections[connection] = task
            task.add_done_callback(lambda _, ended=connection: self._forget(ended))  # type: ignore[misc]

    def _forget(self, connection: Connection) -> None:
        del self._connections[connection]
        _add(self._done, connection)

    def _pause_accepting(self) -> None:
        """Wait for free descriptors instead of spinning on a listener that stays readable."""
        loop, listener = asyncio.get_running_loop(), self._socket
        assert listener is not None
        loop.remove_reader(listener)
        loop.call_later(_RETRY, lambda: self._socket is listener and loop.add_reader(listener, self._accept))

    def _release(self) -> None:
        """Let go of the port that a stopped proxy holds."""
        self._blocked = None
        if self._barrier is not None:
            self._barrier.lift()
            self._barrier = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _lease(self, key: str, seconds: float) -> None:
        self._drop_lease(key)
        self._leases[key] = asyncio.get_running_loop().call_later(seconds, self._expire, key)

    def _drop_lease(self, key: str) -> None:
        timer = self._leases.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _expire(self, key: str) -> None:
        del self._leases[key]
        toxic = self.find_toxic(key)
        self._events.add("lease_expired", self.name, toxic=key or None)
        if toxic is not None:
            self.remove_toxic(toxic)
            return
        try:
            self.start()
        except ToxiproxyError as error:
            self._events.add("undo_failed", self.name, error=str(error))
            self._lease(key, _RETRY)


def _add(total: dict[bool, Counts], connection: Connection) -> None:
    for upstream, counts in connection.counts().items():
        total[upstream].received += counts.received
        total[upstream].sent += counts.sent


def show_toxic(toxic: Toxic) -> dict[str, Any]:
    """Return a toxic as the API shows it."""
    whole = int(toxic.toxicity) if float(toxic.toxicity).is_integer() else toxic.toxicity
    return {
        "attributes": toxic.attributes,
        "name": toxic.name,
        "type": toxic.type,
        "stream": toxic.stream,
        "toxicity": whole,
    }
