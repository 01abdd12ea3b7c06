"""Faults that are always undone: leased, held by a watchdog, and verified to be gone."""

import contextlib
import itertools
import math
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from langchain_prodtest.errors import ProdtestError, ToxiproxyError, UsageError
from langchain_prodtest.measure import now
from langchain_prodtest.toxiproxy.client import Proxy
from langchain_prodtest.toxiproxy.undo import Watchdog

__all__ = ["Fault", "inject"]

_PREFIX = "prodtest-"
_MAX_LEASE = 30.0
_PATIENCE = 5.0
_LISTEN_IN = 0.1
_numbers = itertools.count(1)


@dataclass(slots=True)
class Fault:
    """When a fault took effect and when it was gone, in Unix seconds; not a number before that."""

    effective: float = math.nan
    gone: float = math.nan


@contextmanager
def inject(
    proxy: Proxy,
    watchdog: Watchdog | None,
    *,
    down: bool = False,
    toxic: Mapping[str, Any] | None = None,
    lease: float = 10.0,
) -> Iterator[Fault]:
    """Inject a fault, hold it during the block, undo it at the end whatever happened, and verify that.

    `down` disables the proxy; `toxic` holds `type` and, if wanted, `stream`, `toxicity` and `attributes`. One
    fault a proxy at a time. The fault ends by itself `lease` seconds (at most 30) after this process has
    stopped renewing it. ToxiproxyError: refused; ended before the block did; or "rollback not verified". An
    exception of the block goes first and carries such an error as a note.
    """
    if down == (toxic is not None):
        raise UsageError("inject either down=True or a toxic")
    if not 0 < lease <= _MAX_LEASE:
        raise UsageError(f"a lease is seconds, above 0 and at most {_MAX_LEASE:g}, not {lease}")
    deed = _Deed(proxy, watchdog, dict(toxic) if toxic is not None else None, lease)
    fault = Fault()
    try:
        with deed.held(fault):
            yield fault
    except BaseException as error:
        try:
            deed.roll_back(fault)
        except ProdtestError as failure:
            error.add_note(str(failure))
        raise
    early = deed.ended_early()
    deed.roll_back(fault)
    if early:
        raise ToxiproxyError(f'the fault on proxy "{proxy.name}" ended before it should: {early}')


class _Deed:
    """One fault as data: the requests that begin, renew and undo it, and the events they cause."""

    def __init__(
        self, proxy: Proxy, watchdog: Watchdog | None, toxic: dict[str, Any] | None, lease: float
    ) -> None:
        self._proxy, self._watchdog, self._lease = proxy, watchdog, lease
        self._client = proxy.client
        self._undo_id: int | None = None
        self._lost = ""
        self._seen: int | None = None
        self._toxic = "" if toxic is None else f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
        own = f"{proxy.path}/toxics/{quote(self._toxic)}"
        if toxic is None:
            self._kinds = ("disabled", "enabled")
            self._begin: tuple[str, str, Any] = ("PATCH", proxy.path, {"enabled": False})
            self._renew = self._begin
            self._undo: tuple[str, str, Any] = ("PATCH", proxy.path, {"enabled": True})
        else:
            self._kinds = ("toxic_added", "toxic_removed")
            self._begin = ("POST", f"{proxy.path}/toxics", {**toxic, "name": self._toxic})
            self._renew = ("PATCH", own, {})
            self._undo = ("DELETE", own, None)

    @contextmanager
    def held(self, fault: Fault) -> Iterator[None]:
        """Begin the fault after its undo is registered, and renew its lease during the block."""
        events = self._client.events()
        self._seen = None if events is None else max((event["id"] for event in events), default=0)
        if self._watchdog:
            method, path, body = self._undo
            url = self._client.url + path
            self._undo_id = self._watchdog.add_http(method, url, body, self._client.headers, self._lease)
        self._client.request(*self._begin, lease=self._lease)
        fault.effective = self._when(self._kinds[0])
        stop = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(stop,), name="prodtest-lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            stop.set()
            keeper.join()

    def ended_early(self) -> str:
        """Say why the fault is no longer there, or was not all the time; empty if it was."""
        with contextlib.suppress(ToxiproxyError):
            if any(event["kind"] == "lease_expired" for event in self._events()):
                return "its lease ran out"
            proxy = self._client.get_proxy(self._proxy.name)
            if proxy is None:
                return "the proxy is gone"
            if self._toxic and self._toxic not in proxy.toxics():
                return "somebody removed the toxic"
            if not self._toxic and proxy.enabled:
                return "somebody enabled the proxy"
        return self._lost

    def roll_back(self, fault: Fault) -> None:
        """Undo the fault and verify it; the watchdog keeps the undo until then."""
        give_up = time.monotonic() + _PATIENCE
        while True:
            try:
                with _missing_is_fine():
                    self._client.request(*self._undo)
                if fault.effective > 0 and math.isnan(fault.gone):
                    fault.gone = self._when(self._kinds[1])
                self._verify()
                break
            except ToxiproxyError as error:
                if time.monotonic() >= give_up:
                    raise ToxiproxyError(
                        f'rollback not verified: proxy "{self._proxy.name}": {error}. '
                        f"Look at {self._client.url}{self._proxy.path} before you go on.",
                        error.status,
                    ) from None
                time.sleep(0.1)
        if self._watchdog and self._undo_id is not None:
            self._watchdog.done(self._undo_id)

    def _keep(self, stop: threading.Event) -> None:
        while not stop.wait(self._lease / 3):
            try:
                if self._seen is not None:
                    self._client.request(*self._renew, lease=self._lease)
                if self._watchdog and self._undo_id is not None:
                    self._watchdog.renew(self._undo_id)
            except ProdtestError as error:
                self._lost = f"its lease could not be renewed: {error}"

    def _events(self) -> list[dict[str, Any]]:
        """Return the events on this proxy since the fault began; none from a real server."""
        if self._seen is None:
            return []
        events = self._client.events(self._seen) or []
        return [event for event in events if event["proxy"] == self._proxy.name]

    def _when(self, kind: str) -> float:
        called = now()
        times = [event["at"] for event in self._events() if event["kind"] == kind]
        return float(times[-1]) if times else called

    def _verify(self) -> None:
        proxy = self._client.get_proxy(self._proxy.name)
        if proxy is None:
            raise ToxiproxyError("it is gone", 404)
        if not proxy.enabled:
            raise ToxiproxyError("it is still disabled")
        left = [name for name in proxy.toxics() if name.startswith(_PREFIX)]
        if left:
            raise ToxiproxyError(f"it still has the toxic {left[0]}")
        self._proxy.enabled = True
        _send_canary(proxy)


@contextmanager
def _missing_is_fine() -> Iterator[None]:
    try:
        yield
    except ToxiproxyError as error:
        if error.status != 404:
            raise


def _send_canary(proxy: Proxy) -> None:
    """Open one connection through the proxy; a proxy without a live upstream closes it at once."""
    host, _, port = proxy.listen.rpartition(":")
    host = host.strip("[]")
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - a real server may listen everywhere
        host = urlsplit(proxy.client.url).hostname or ""
    try:
        with socket.create_connection((host, int(port)), timeout=2) as canary:
            canary.settimeout(_LISTEN_IN)
            with contextlib.suppress(TimeoutError):
                if not canary.recv(1):
                    raise ToxiproxyError(f"its upstream {proxy.upstream} accepts no connection")
    except OSError as error:
        raise ToxiproxyError(f"no connection through {proxy.listen} ({error})") from None
