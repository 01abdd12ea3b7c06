"""Faults that are always undone: leased, held by a watchdog, and verified to be gone."""

import contextlib
import math
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
from langchain_prodtest.toxiproxy.client import Proxy, Toxiproxy, path_of
from langchain_prodtest.toxiproxy.leftovers import DOWN, PREFIX, own_name
from langchain_prodtest.toxiproxy.package import adopt_proxy
from langchain_prodtest.toxiproxy.policy import stop_file
from langchain_prodtest.toxiproxy.undo import Watchdog

__all__ = ["Fault", "inject", "rehearse"]

_MAX_LEASE = 30.0
_MAX_FAULTS = 20
_PATIENCE = 5.0
_LISTEN_IN = 0.1
_GLANCE = 0.1
_Request = tuple[str, str, Any]


@dataclass(slots=True)
class Fault:
    """When a fault took effect and when it was gone, in Unix seconds; not a number before that."""

    effective: float = math.nan
    gone: float = math.nan


@contextmanager
def inject(
    proxy: Any,
    watchdog: Watchdog | None,
    *,
    down: bool = False,
    toxic: Mapping[str, Any] | None = None,
    lease: float = 10.0,
) -> Iterator[Fault]:
    """Inject a fault, hold it during the block, undo it at the end whatever happened, and verify that.

    `proxy` is a Proxy, or one of toxiproxy-python. `down` disables it; `toxic` holds `type` and, if wanted,
    `stream`, `toxicity` and `attributes`. Faults on one proxy may overlap, but it is down once at a time; 20
    at once is the limit. The fault ends by itself `lease` seconds (at most 30) after this process has stopped
    renewing it, and within a second of the appearance of the stop file (`policy.stop_file`).

    ToxiproxyError: refused; ended before the block did; or "rollback not verified". An exception of the block
    goes first and carries such an error as a note.
    """
    if down == (toxic is not None):
        raise UsageError("inject either down=True or a toxic")
    if not 0 < lease <= _MAX_LEASE:
        raise UsageError(f"a lease is seconds, above 0 and at most {_MAX_LEASE:g}, not {lease}")
    deed = _Deed(adopt_proxy(proxy), watchdog, dict(toxic) if toxic is not None else None, lease)
    fault = Fault()
    with deed.counted():
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
        raise ToxiproxyError(f'the fault on proxy "{deed.proxy.name}" ended before it should: {early}')


def rehearse(toxiproxy: Toxiproxy, watchdog: Watchdog, toxic: Mapping[str, Any]) -> None:
    """Add a toxic to a proxy that serves nobody, and remove both; UsageError if the server refuses it."""
    name = own_name()
    undo = watchdog.add_http("DELETE", toxiproxy.url + path_of(name), headers=toxiproxy.headers)
    proxy = toxiproxy.create("127.0.0.1:9", name, enabled=False)
    try:
        proxy.add_toxic(**toxic)
    except ToxiproxyError as error:
        raise UsageError(
            f"toxic {toxic['type']} is refused by Toxiproxy {toxiproxy.version()}: {error}"
        ) from None
    finally:
        proxy.destroy()
        watchdog.done(undo)


class _Deed:
    """One fault as data: the requests that begin, renew and undo it, and the events they cause."""

    def __init__(
        self, proxy: Proxy, watchdog: Watchdog | None, toxic: dict[str, Any] | None, lease: float
    ) -> None:
        self.proxy, self._watchdog, self._lease = proxy, watchdog, lease
        self._client = proxy.client
        self._stop_file = stop_file()
        self._undo_ids: list[int] = []
        self._lost = ""
        self._seen: int | None = None
        self.down = toxic is None
        self.toxic = own_name() + (DOWN if self.down else "")
        self._own = f"{proxy.path}/toxics/{quote(self.toxic)}"
        self._toxic = {"type": "noop", **(toxic or {}), "name": self.toxic}

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Be among the faults of this process during the block; ToxiproxyError if it is one too many."""
        with _lock:
            if len(_active) >= _MAX_FAULTS:
                raise ToxiproxyError(
                    f"{len(_active)} faults are in place already; no more are allowed at once"
                )
            if self.down and any(other.down for other in self._others()):
                raise ToxiproxyError(f'proxy "{self.proxy.name}" is down already')
            _active.append(self)
        try:
            yield
        finally:
            with _lock:
                _active.remove(self)

    @contextmanager
    def held(self, fault: Fault) -> Iterator[None]:
        """Begin the fault after its undo is registered, and renew its lease during the block."""
        if self._stop_file.exists():
            raise ToxiproxyError(f"{self._stop_file} exists: delete it to inject faults again")
        events = self._client.events()
        self._seen = None if events is None else max((event["id"] for event in events), default=0)
        for method, path, body in self._undo() if self._watchdog else []:
            assert self._watchdog
            url = self._client.url + path
            self._undo_ids.append(
                self._watchdog.add_http(method, url, body, self._client.headers, self._lease)
            )
        for request in self._begin():
            self._client.request(*request, lease=self._lease)
        fault.effective = self._when("disabled" if self.down else "toxic_added")
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
            mine = [event for event in self._events() if event["kind"] == "lease_expired"]
            if any(event["toxic"] == (None if self.down else self.toxic) for event in mine):
                return "its lease ran out"
            proxy = self._client.get_proxy(self.proxy.name)
            if proxy is None:
                return "the proxy is gone"
            if not self._lost and not self.down and self.toxic not in proxy.toxics():
                return "somebody removed the toxic"
            if not self._lost and self.down and proxy.enabled:
                return "somebody enabled the proxy"
        return self._lost

    def roll_back(self, fault: Fault) -> None:
        """Undo the fault and verify it; the watchdog keeps the undo until then."""
        give_up = time.monotonic() + _PATIENCE
        while True:
            try:
                self._undo_now()
                if fault.effective > 0 and math.isnan(fault.gone):
                    fault.gone = self._when("enabled" if self.down else "toxic_removed")
                self._verify()
                break
            except ToxiproxyError as error:
                if time.monotonic() >= give_up:
                    raise ToxiproxyError(
                        f'rollback not verified: proxy "{self.proxy.name}": {error}. '
                        f"Look at {self._client.url}{self.proxy.path} before you go on.",
                        error.status,
                    ) from None
                time.sleep(0.1)
        if self._watchdog:
            for undo in self._undo_ids:
                self._watchdog.done(undo)

    # POST updates a proxy in every version, PATCH only from 2.6 on; the watchdog cannot try both.

    def _begin(self) -> list[_Request]:
        if not self.down:
            return [("POST", f"{self.proxy.path}/toxics", self._toxic)]
        marker = [("POST", f"{self.proxy.path}/toxics", self._toxic)] if self._seen is None else []
        return [*marker, ("POST", self.proxy.path, {"enabled": False})]

    def _renew(self) -> _Request:
        if self.down:
            return ("POST", self.proxy.path, {"enabled": False})
        return ("POST", self._own, {})

    def _undo(self) -> list[_Request]:
        enable = [("POST", self.proxy.path, {"enabled": True})] if self.down else []
        marked = not self.down or self._seen is None
        return [*enable, *([("DELETE", self._own, None)] if marked else [])]

    def _undo_now(self) -> None:
        for request in self._undo():
            with _missing_is_fine():
                self._client.request(*request)

    def _keep(self, stop: threading.Event) -> None:
        renewed = time.monotonic()
        while not stop.wait(min(_GLANCE, self._lease / 3)):
            try:
                if self._stop_file.exists():
                    self._lost = f"{self._stop_file} appeared"
                    self._undo_now()
                elif time.monotonic() - renewed >= self._lease / 3:
                    renewed = time.monotonic()
                    self._renew_lease()
            except ProdtestError as error:
                self._lost = self._lost or f"its lease could not be renewed: {error}"

    def _renew_lease(self) -> None:
        if self._lost:
            return
        if self._seen is not None:
            self._client.request(*self._renew(), lease=self._lease)
        for undo in self._undo_ids if self._watchdog else []:
            assert self._watchdog
            self._watchdog.renew(undo)

    def _events(self) -> list[dict[str, Any]]:
        """Return the events on this proxy since the fault began; none from a real server."""
        if self._seen is None:
            return []
        events = self._client.events(self._seen) or []
        return [event for event in events if event["proxy"] == self.proxy.name]

    def _when(self, kind: str) -> float:
        called = now()
        named = {} if self.down else {"toxic": self.toxic}
        times = [e["at"] for e in self._events() if e["kind"] == kind and named.items() <= e.items()]
        return float(times[-1]) if times else called

    def _others(self) -> list["_Deed"]:
        """Return the other faults of this process on the same proxy."""
        here = self._client.url + self.proxy.path
        same = (each for each in _active if each._client.url + each.proxy.path == here)
        return [each for each in same if each is not self]

    def _verify(self) -> None:
        """Raise ToxiproxyError unless the fault is gone; what other faults of ours do is theirs to verify."""
        proxy = self._client.get_proxy(self.proxy.name)
        if proxy is None:
            raise ToxiproxyError("it is gone", 404)
        with _lock:
            others = self._others()
        if not proxy.enabled and not any(other.down for other in others):
            raise ToxiproxyError("it is still disabled")
        theirs = {other.toxic for other in others}
        left = [name for name in proxy.toxics() if name.startswith(PREFIX) and name not in theirs]
        if left:
            raise ToxiproxyError(f"it still has the toxic {left[0]}")
        self.proxy.enabled = proxy.enabled
        if not others:
            _send_canary(proxy)


_active: list[_Deed] = []
_lock = threading.Lock()


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
