"""The HTTP API: what each request does to the proxies, and what it answers."""

import asyncio
import json
import math
import posixpath
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.address import split_address
from langchain_prodtest.toxiproxy.events import Events
from langchain_prodtest.toxiproxy.proxy import Proxy, show_toxic
from langchain_prodtest.toxiproxy.toxics import TOXICS, Toxic, read_attributes

__all__ = ["LEASE_HEADER", "MAX_LEASE", "VERSION", "Answer", "Api", "Request"]

T = TypeVar("T")

VERSION = "2.12.0"
LEASE_HEADER = "x-prodtest-lease"
MAX_LEASE = 30.0
_PLAIN = "text/plain; charset=utf-8"
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request; header names are lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `routed` says that the path and method exist, `nosniff` that it is an error text."""

    status: int
    body: bytes = b""
    content_type: str = _JSON
    routed: bool = True
    nosniff: bool = False
    location: str = ""


Handler = Callable[..., Awaitable[Answer]]


class Api:
    """All proxies of one server, changed by `answer`.

    `seed` makes draws and jitter reproducible: they depend on it, the names of proxy and toxic, and the
    number of the connection.
    """

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._proxies: dict[str, Proxy] = {}
        self._events = Events()
        proxy: dict[str, Handler] = {
            "GET": self._show, "PATCH": self._update, "POST": self._update, "DELETE": self._delete,
        }  # fmt: skip
        toxic: dict[str, Handler] = {
            "GET": self._show_toxic, "PATCH": self._update_toxic, "POST": self._update_toxic,
            "DELETE": self._remove_toxic,
        }  # fmt: skip
        self._routes: list[tuple[tuple[str | None, ...], dict[str, Handler]]] = [
            (("version",), {"GET": self._version}),
            (("reset",), {"POST": self._reset}),
            (("populate",), {"POST": self._populate}),
            (("proxies",), {"GET": self._list, "POST": self._create}),
            (("proxies", None), proxy),
            (("proxies", None, "toxics"), {"GET": self._list_toxics, "POST": self._add_toxic}),
            (("proxies", None, "toxics", None), toxic),
            (("prodtest", "events"), {"GET": self._list_events}),
        ]

    async def answer(self, request: Request) -> Answer:
        """Do what a request asks for; every refusal is an answer too, and changes nothing."""
        clean = posixpath.normpath("/" + request.path.lstrip("/"))
        if request.path.endswith("/") and clean != "/":
            clean += "/"
        if clean != request.path:
            return Answer(301, content_type="", routed=False, location=clean)
        segments = request.path.split("/")[1:]
        for pattern, handlers in self._routes:
            if len(pattern) == len(segments) and all(
                p in (None, s) for p, s in zip(pattern, segments, strict=True)
            ):
                names = [unquote(s) for p, s in zip(pattern, segments, strict=True) if p is None]
                if all(names) and not any("/" in name for name in names):
                    return await self._run(handlers.get(request.method), request, names)
        return Answer(404, b"404 page not found\n", _PLAIN, routed=False, nosniff=True)

    async def close(self) -> None:
        """Stop all proxies and wait until their connections are closed."""
        for proxy in self._proxies.values():
            proxy.destroy()
        await asyncio.gather(*(proxy.closed() for proxy in self._proxies.values()))

    async def _run(self, handler: Handler | None, request: Request, names: list[str]) -> Answer:
        if handler is None:
            return Answer(405, content_type="", routed=False)
        if request.headers.get("user-agent", "").startswith("Mozilla/"):
            return Answer(403, b"User agent not allowed\n", _PLAIN, nosniff=True)
        try:
            return await handler(request, *names)
        except ToxiproxyError as error:
            body = _dump({"error": str(error), "status": error.status}) + b"\n"
            return Answer(error.status, body, _PLAIN, nosniff=True)

    async def _version(self, request: Request) -> Answer:
        body = f'{{"version": "{VERSION}"}}\n'.encode()
        return Answer(200, body, "application/json;charset=utf-8")

    async def _list(self, request: Request) -> Answer:
        ordered = sorted(self._proxies.items(), key=lambda item: item[0].encode("utf-8", "replace"))
        return _json(200, {name: proxy.as_json() for name, proxy in ordered})

    async def _create(self, request: Request) -> Answer:
        wanted = _Wanted(_decode(request.body))
        wanted.check()
        if wanted.name in self._proxies:
            raise ToxiproxyError("proxy already exists", 409)
        return _json(201, self._build(wanted).as_json())

    async def _show(self, request: Request, name: str) -> Answer:
        return _json(200, self._find(name).as_json())

    async def _update(self, request: Request, name: str) -> Answer:
        proxy = self._find(name)
        wanted = _Wanted(_decode(request.body), proxy)
        seconds = _read_lease(request)
        _check_upstream(wanted.upstream)
        try:
            proxy.move(wanted.listen, wanted.upstream)
            if wanted.enabled:
                proxy.start()
            else:
                proxy.stop()
        finally:
            await proxy.closed()
        if seconds is not None and not proxy.enabled:
            proxy.lease_down(seconds)
        return _json(200, proxy.as_json())

    async def _delete(self, request: Request, name: str) -> Answer:
        proxy = self._find(name)
        del self._proxies[name]
        proxy.destroy()
        await proxy.closed()
        return Answer(204, content_type="")

    async def _reset(self, request: Request) -> Answer:
        failures = []
        for proxy in list(self._proxies.values()):
            for toxic in list(proxy.toxics):
                proxy.remove_toxic(toxic)
            try:
                proxy.start()
            except ToxiproxyError as error:
                failures.append(str(error))
            await proxy.closed()
        if failures:
            raise ToxiproxyError("; ".join(failures), 500)
        return Answer(204, content_type="")

    async def _populate(self, request: Request) -> Answer:
        done: list[Proxy] = []
        try:
            given = _decode(request.body)
            if given is not None and not isinstance(given, list):
                raise ToxiproxyError("bad request body: not a list of proxies", 400)
            wanted = [_Wanted(each) for each in given or []]
            for number, each in enumerate(wanted, 1):
                each.check(f" at proxy {number}")
            for each in wanted:
                done.append(await self._replace(each))
        except ToxiproxyError as error:
            shown = [proxy.as_json() for proxy in done] or None
            return _json(error.status, {"error": str(error), "status": error.status, "proxies": shown})
        return _json(201, {"proxies": [proxy.as_json() for proxy in done] or None})

    async def _list_toxics(self, request: Request, name: str) -> Answer:
        return _json(200, self._find(name).as_json()["toxics"])

    async def _add_toxic(self, request: Request, name: str) -> Answer:
        proxy = self._find(name)
        table = _fields(_decode(request.body))
        kind, stream = _text(table, "type", ""), _text(table, "stream", "downstream")
        toxicity, given = _read_toxicity(table, 1.0), _typed(table, "attributes", dict, {})
        if stream.lower() not in ("upstream", "downstream"):
            raise ToxiproxyError("stream was invalid, can be either upstream or downstream", 400)
        if kind not in TOXICS:
            raise ToxiproxyError("invalid toxic type", 400)
        toxic_name = _text(table, "name", "") or f"{kind}_{stream}"
        if proxy.find_toxic(toxic_name):
            raise ToxiproxyError("toxic already exists", 409)
        attributes = read_attributes(kind, given, {})
        seconds = _read_lease(request)
        toxic = Toxic(toxic_name, kind, stream, toxicity, attributes)
        proxy.add_toxic(toxic)
        if seconds is not None:
            proxy.lease_toxic(toxic, seconds)
        return _json(200, show_toxic(toxic))

    async def _show_toxic(self, request: Request, name: str, toxic_name: str) -> Answer:
        return _json(200, show_toxic(_find_toxic(self._find(name), toxic_name)))

    async def _update_toxic(self, request: Request, name: str, toxic_name: str) -> Answer:
        proxy = self._find(name)
        toxic = _find_toxic(proxy, toxic_name)
        table = _fields(_decode(request.body))
        toxicity = _read_toxicity(table, toxic.toxicity)
        given = _typed(table, "attributes", dict, {})
        attributes = read_attributes(toxic.type, given, toxic.attributes)
        seconds = _read_lease(request)
        proxy.update_toxic(toxic, toxicity, attributes)
        if seconds is not None:
            proxy.lease_toxic(toxic, seconds)
        return _json(200, show_toxic(toxic))

    async def _remove_toxic(self, request: Request, name: str, toxic_name: str) -> Answer:
        proxy = self._find(name)
        proxy.remove_toxic(_find_toxic(proxy, toxic_name))
        await proxy.closed()
        return Answer(204, content_type="")

    async def _list_events(self, request: Request) -> Answer:
        seen = parse_qs(request.query).get("since", ["0"])[-1]
        if not (seen.isascii() and seen.isdigit() and len(seen) < 19):
            raise ToxiproxyError(f'since must be the id of an event, not "{seen}"', 400)
        return _json(200, self._events.since(int(seen)))

    def _find(self, name: str) -> Proxy:
        proxy = self._proxies.get(name)
        if proxy is None:
            raise ToxiproxyError("proxy not found", 404)
        return proxy

    def _build(self, wanted: "_Wanted") -> Proxy:
        proxy = Proxy(wanted.name, wanted.listen, wanted.upstream, self._events, self._seed)
        if wanted.enabled:
            proxy.start()
        self._proxies[wanted.name] = proxy
        return proxy

    async def _replace(self, wanted: "_Wanted") -> Proxy:
        """Return the proxy of that name if its addresses are the wanted ones, else a new one in its place."""
        old = self._proxies.get(wanted.name)
        if old is not None:
            if old.is_at(wanted.listen, wanted.upstream):
                return old
            old.destroy()
            await old.closed()
        return self._build(wanted)


class _Wanted:
    """The fields of a proxy that a request gives; those it leaves out are as before, or the defaults."""

    def __init__(self, given: Any, before: Proxy | None = None) -> None:
        table = _fields(given)
        self.name = _text(table, "name", "")
        self.listen = _text(table, "listen", before.listen if before else "")
        self.upstream = _text(table, "upstream", before.upstream if before else "")
        self.enabled = _typed(table, "enabled", bool, before.enabled if before else True)

    def check(self, where: str = "") -> None:
        """Refuse what a new proxy cannot be made of."""
        for field in ("name", "upstream"):
            if not getattr(self, field):
                raise ToxiproxyError(f"missing required field: {field}{where}", 400)
        _check_upstream(self.upstream)


def _check_upstream(upstream: str) -> None:
    """Refuse an upstream that is not on this machine; what is no address at all fails when it is dialled."""
    try:
        split_address(upstream)
    except ToxiproxyError as error:
        if error.status == 400:
            raise


def _find_toxic(proxy: Proxy, name: str) -> Toxic:
    toxic = proxy.find_toxic(name)
    if toxic is None:
        raise ToxiproxyError("toxic not found", 404)
    return toxic


def _decode(body: bytes) -> Any:
    """Return the first JSON value of a body; what follows it is ignored, as the original does."""
    text = body.decode("utf-8", "replace").lstrip(" \t\r\n")
    if not text:
        raise ToxiproxyError("bad request body: EOF", 400)
    try:
        return _DECODER.raw_decode(text)[0]
    except (ValueError, RecursionError) as error:
        raise ToxiproxyError(f"bad request body: {error}", 400) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _fields(value: Any) -> dict[str, Any]:
    """Return an object's fields with lower-case keys, without those that are null."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ToxiproxyError("bad request body: not an object", 400)
    return {key.lower(): each for key, each in value.items() if each is not None}


def _typed(table: dict[str, Any], key: str, kind: type[T], default: T) -> T:
    value = table.get(key, default)
    if not isinstance(value, kind):
        raise ToxiproxyError(f"bad request body: {key} must be a {kind.__name__}, not {value!r:.80}", 400)
    return value


def _text(table: dict[str, Any], key: str, default: str) -> str:
    # A lone surrogate has no UTF-8 form, so nobody could ever ask for it again.
    return _typed(table, key, str, default).encode("utf-8", "replace").decode()


def _read_toxicity(table: dict[str, Any], before: float) -> float:
    value = table.get("toxicity", before)
    if type(value) not in (int, float):
        raise ToxiproxyError(f"bad request body: toxicity must be a number, not {value!r:.80}", 400)
    if not 0 <= value <= 1:
        raise ToxiproxyError(f"toxicity must be from 0 to 1, not {value!r:.80}", 400)
    return _shorten(float(value))


def _shorten(value: float) -> float:
    """Return the shortest number that is the same in single precision, as the original shows it."""
    (single,) = struct.unpack("f", struct.pack("f", value))
    shown = (float(f"{single:.{digits}g}") for digits in range(1, 10))
    return next(each for each in shown if struct.pack("f", each) == struct.pack("f", single))


def _read_lease(request: Request) -> float | None:
    given = request.headers.get(LEASE_HEADER)
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MAX_LEASE:
        raise ToxiproxyError(f'a lease is seconds, above 0 and at most {MAX_LEASE:g}, not "{given}"', 400)
    return seconds


def _json(status: int, value: Any) -> Answer:
    return Answer(status, _dump(value))


def _dump(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_ESCAPES).encode("utf-8", "replace")


_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
