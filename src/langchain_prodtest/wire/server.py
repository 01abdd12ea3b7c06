"""A server of fake providers in a thread of its own, on a real socket."""

import asyncio
import ipaddress
import os
import threading
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from langchain_prodtest.errors import UsageError, unknown_name
from langchain_prodtest.script import Request, Script
from langchain_prodtest.wire.arrival import Limits
from langchain_prodtest.wire.connection import Connection, Traffic
from langchain_prodtest.wire.control import Control
from langchain_prodtest.wire.front import Front
from langchain_prodtest.wire.keys import Keys
from langchain_prodtest.wire.router import Router
from langchain_prodtest.wire.scopes import Scopes
from langchain_prodtest.wire.scripts import Rule
from langchain_prodtest.wire.tls import Authority
from langchain_prodtest.wire.tunnel import Tunnel

__all__ = ["FakeServer", "Limits"]

_BACKLOG = 1024
_TOKEN = 16
_TURNS = 10  # of the loop, in which a connection just accepted shows up, and closed transports end


class FakeServer:
    """Answers HTTP on `host`:`port` as the providers in `mounts` would, by what `script` says.

    `mounts` maps the first segment of the path, which is also `Request.provider`, to the name of a provider
    in `PROVIDERS`; two mounts may name the same. Port 0 takes a free one. Each connection is closed after
    one answer unless `keep_alive`: clients that outlive their event loop fail on pooled connections.

    A `transparent` server is an HTTP proxy besides: a process with the variables of `environment()` keeps
    its production URLs and reaches the fakes by them, over TLS, and nothing else. With `tls`, the port itself
    speaks TLS, and `environment()` tells whom to trust. `unix` names a socket file to listen on instead of a
    port; clients connect there for whatever host the URL names. A reset on it is seen as an end.

    The Script is asked in the server's thread, so its `default` must not block. A Fault `refuse` strikes the
    next connection, whichever of the mounts it is for. A client that closes its sending side has left.

    `scopes` makes the Script of a scope, and with that opens the control API (see `control`); each scope
    begins with `rules`. A host that is not loopback needs a `token`, which the control API then asks for.
    With `keys`, each provider refuses any other in its own words.

    UsageError: an unknown provider, a key that none can be, a host that is not loopback, or an address that
    cannot be had.
    """

    def __init__(
        self,
        script: Script,
        mounts: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        keep_alive: bool = False,
        *,
        transparent: bool = False,
        tls: bool = False,
        unix: Path | None = None,
        scopes: Callable[[], Script] | None = None,
        rules: Sequence[Rule] = (),
        token: str = "",
        keys: Collection[str] = (),
        limits: Limits = Limits(),  # noqa: B008 - frozen
        loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.SelectorEventLoop,
    ) -> None:
        _require_loopback(host, token)
        if not 0 <= port <= 65535:
            raise UsageError(f"a port is 0 (any that is free) to 65535, not {port}")
        if transparent and (tls or unix):
            raise UsageError("a transparent server is a plain proxy on a port; leave out tls and unix")
        self._mounts = {"openai": "openai"} if mounts is None else mounts
        self._router = Router(script, self._mounts, Keys(keys))
        self._traffic = Traffic(self._router, limits, keep_alive)
        self._scopes = Scopes(self._router, self._mounts, rules, scopes or Script)
        if scopes is not None:
            self._traffic.control = Control(self._scopes, token)
        self._transparent, self._tls, self._unix = transparent, tls, unix
        self._authority: Authority | None = None
        self._host, self._port = host, port
        self._new_loop = loop
        self._options: dict[str, Any] = {}  # more, for who listens in another way
        self._stop: Callable[[], object] | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """Host and port, as in `127.0.0.1:41873`, or the path of the UNIX socket."""
        if self._unix is not None:
            return str(self._unix)
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    def url(self, mount: str) -> str:
        """Return the base URL that a client of the provider mounted as `mount` is given."""
        if mount not in self._router.codecs:
            raise UsageError(unknown_name("mount", mount, self._router.codecs))
        scheme = "https" if self._tls else "http"
        place = "localhost" if self._unix else self.address
        return f"{scheme}://{place}/{mount}{self._router.codecs[mount].base}"

    def environment(self) -> dict[str, str]:
        """Return the variables by which a process trusts this server and, if `transparent`, is led to it.

        They hold while the server runs: the file that tells whom to trust is removed when it stops.
        """
        if self._authority is None:
            raise UsageError(
                "nobody is led here, or must trust it; start it with transparent=True or tls=True"
            )
        front = self._traffic.front
        return self._authority.environment() if front is None else front.environment(self.address)

    @property
    def open(self) -> list[Request]:
        """The requests whose exchange is not finished."""
        return [exchange.decision.request for exchange in list(self._traffic.open)]

    @property
    def peak(self) -> int:
        """The most exchanges that were open at once."""
        return self._traffic.peak

    def start(self) -> Self:
        """Listen, and return when connections are accepted."""
        if self._thread is not None:
            raise RuntimeError("a FakeServer is started once; make another one")
        if self._transparent or self._tls:
            self._authority = Authority()
            if self._transparent:
                self._traffic.front = Front(self._mounts, self._authority)
        ready = threading.Event()
        failure: list[OSError | UsageError] = []

        def run() -> None:
            with asyncio.Runner(loop_factory=self._new_loop) as runner:
                try:
                    runner.run(self._serve(ready))
                except (OSError, UsageError) as error:
                    failure.append(error)
                finally:
                    ready.set()

        self._thread = threading.Thread(target=run, name="fake providers", daemon=True)
        self._thread.start()
        ready.wait()
        if failure:
            self.stop()
            if isinstance(failure[0], UsageError):
                raise failure[0]
            raise UsageError(
                f"cannot listen on {self.address}: {os.strerror(failure[0].errno or 0)}. "
                "Free it or choose another; port 0 takes any that is free."
            )
        return self

    async def _serve(self, ready: threading.Event) -> None:
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        front = self._traffic.front

        def accept() -> asyncio.Protocol:
            return Connection(self._traffic, loop) if front is None else Tunnel(self._traffic, loop, front)

        async with self._listening(accept):
            self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
            ready.set()
            await stopped.wait()
        for _ in range(_TURNS):
            for connection in list(self._traffic.connections):
                connection.stop()
            await asyncio.sleep(0)

    @asynccontextmanager
    async def _listening(self, accept: Callable[[], asyncio.Protocol]) -> AsyncIterator[None]:
        """Have connections accepted at the address while the block runs."""
        loop, seconds = asyncio.get_running_loop(), self._traffic.limits.seconds
        options: dict[str, Any] = {"backlog": _BACKLOG, **self._options}
        if self._authority is not None and self._tls:
            options["ssl"] = self._authority.context("localhost", "127.0.0.1", "::1", self._host)
            options.update(ssl_handshake_timeout=seconds, ssl_shutdown_timeout=seconds)
        if self._unix is not None:
            server = await loop.create_unix_server(accept, str(self._unix), **options)
            self._unix.chmod(0o600)
        else:
            server = await loop.create_server(accept, self._host, self._port, **options)
            self._port = server.sockets[0].getsockname()[1]
        yield
        server.close()
        if self._unix is not None:
            self._unix.unlink(missing_ok=True)

    def stop(self) -> None:
        """Close every connection and the address, and return when the thread has ended."""
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()
        if self._thread is not None:
            self._thread.join()
        if self._authority is not None:
            self._authority.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _require_loopback(host: str, token: str) -> None:
    if token and len(token) < _TOKEN:
        raise UsageError(f"a token has at least {_TOKEN} characters; make one with `openssl rand -hex 16`")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and not token:
        raise UsageError(
            f'fake providers listen on loopback only, not on "{host}": they answer anyone. '
            "Use 127.0.0.1, or give a token that their control asks for."
        )
