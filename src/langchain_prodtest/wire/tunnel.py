"""The way of a connection from its first bytes, through TLS and tunnels, to its Connection."""

import asyncio
import ssl
from typing import cast

from langchain_prodtest.measure import now
from langchain_prodtest.script import Request
from langchain_prodtest.wire.connection import Connection, Traffic
from langchain_prodtest.wire.exchange import call_of
from langchain_prodtest.wire.front import Front, host_of

__all__ = ["Tunnel"]

_CONNECT = b"CONNECT "
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Tunnel(asyncio.Protocol):
    """Opens a tunnel to the host that `CONNECT` asks for, if it is a provider's; hands on all else as it is.

    A client that does not believe the authority is journalled as an unexpected "connect", closed by it.
    """

    _transport: asyncio.Transport

    def __init__(self, traffic: Traffic, loop: asyncio.AbstractEventLoop, front: Front) -> None:
        self._traffic, self._loop, self._front = traffic, loop, front
        self._data = b""
        self._lost = False
        self._opening: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own do not inherit from it
        self._traffic.connections.add(self)
        self._deadline = self._loop.call_later(self._traffic.limits.seconds, self.stop)

    def data_received(self, data: bytes) -> None:
        """Decide once the head is whole; what comes through the tunnel meanwhile waits for the hand-over."""
        self._data += data
        if self._opening is not None:
            return
        head, ended, early = self._data.partition(b"\r\n\r\n")
        connects = self._data[: len(_CONNECT)] == _CONNECT[: len(self._data)]
        if connects and not ended and len(self._data) <= self._traffic.limits.head_bytes:
            return
        host = _host(head) if connects and ended and not early else ""
        mount = self._front.mount(host)
        if mount is None:
            self._hand_over(self._transport, None)
        else:
            self._data = b""
            self._transport.write(_ESTABLISHED)
            self._opening = self._loop.create_task(self._secure(mount, host))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._lost = True
        self._forget()

    def stop(self) -> None:
        """Close at once."""
        self._transport.abort()

    async def _secure(self, mount: str, host: str) -> None:
        context, seconds = self._front.authority.context(host), self._traffic.limits.seconds
        try:
            secured = await self._loop.start_tls(
                self._transport, self, context, server_side=True,
                ssl_handshake_timeout=seconds, ssl_shutdown_timeout=seconds,
            )  # fmt: skip
        except ssl.SSLError:
            request = Request(provider=mount, operation="connect", headers={"host": host}, received=now())
            self._traffic.record(call_of(request, closed_by="client", unexpected=True))
            self._forget()
        except OSError:
            self._forget()
        else:
            if secured is None or self._lost:  # None: the connection ended in the middle of the handshake
                self._forget()
            else:
                self._hand_over(secured, mount)

    def _hand_over(self, transport: asyncio.Transport, mount: str | None) -> None:
        self._forget()
        connection = Connection(self._traffic, self._loop, mount)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if self._data and not transport.is_closing():
            connection.data_received(self._data)

    def _forget(self) -> None:
        self._traffic.connections.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _host(head: bytes) -> str:
    """Return the host that a CONNECT asks for, "" if it asks for none."""
    try:
        return host_of(head.split(b" ")[1].decode("ascii"))
    except ValueError:
        return ""
