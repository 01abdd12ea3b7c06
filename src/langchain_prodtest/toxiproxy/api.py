"""The HTTP API of Toxiproxy: what each request does to the proxies, and what it answers."""

from collections.abc import Mapping

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.collection import Collection
from langchain_prodtest.toxiproxy.effect import Toxic
from langchain_prodtest.toxiproxy.message import Answer, Request, answer_json, decode, read_lease
from langchain_prodtest.toxiproxy.metrics import show_proxies, show_runtime
from langchain_prodtest.toxiproxy.own import own_handlers
from langchain_prodtest.toxiproxy.proxy import Proxy, show_toxic
from langchain_prodtest.toxiproxy.routes import Handler, Routes
from langchain_prodtest.toxiproxy.wanted import WantedProxy, read_toxic, read_update

__all__ = ["Api"]


class Api:
    """Turns requests into changes of a collection of proxies, and into answers (`answer`)."""

    def __init__(self, proxies: Collection) -> None:
        self._proxies = proxies
        self._policy = proxies.policy
        handlers: dict[str, Mapping[str, Handler]] = {
            "version": {"GET": self._version},
            "reset": {"POST": self._reset},
            "populate": {"POST": self._populate},
            "proxies": {"GET": self._list, "POST": self._create},
            "proxies/*": {
                "GET": self._show, "PATCH": self._update, "POST": self._update, "DELETE": self._delete,
            },
            "proxies/*/toxics": {"GET": self._list_toxics, "POST": self._add_toxic},
            "proxies/*/toxics/*": {
                "GET": self._show_toxic, "PATCH": self._update_toxic, "POST": self._update_toxic,
                "DELETE": self._remove_toxic,
            },
            **own_handlers(proxies),
        }  # fmt: skip
        if self._policy.proxy_metrics or self._policy.runtime_metrics:
            handlers["metrics"] = {"*": self._metrics}
        self.answer = Routes(handlers, self._policy.token).answer

    async def _version(self, request: Request) -> Answer:
        body = f'{{"version": "{self._policy.version}"}}\n'.encode()
        return Answer(200, body, "application/json;charset=utf-8")

    async def _metrics(self, request: Request) -> Answer:
        lines = show_proxies(self._proxies.all()) if self._policy.proxy_metrics else []
        lines += show_runtime() if self._policy.runtime_metrics else []
        body = "\n".join([*lines, ""]).encode("utf-8", "replace")
        return Answer(200, body, "text/plain; version=0.0.4; charset=utf-8")

    async def _list(self, request: Request) -> Answer:
        return answer_json(200, {proxy.name: proxy.as_json() for proxy in self._proxies.all()})

    async def _create(self, request: Request) -> Answer:
        wanted = WantedProxy(decode(request.body))
        wanted.check(self._policy.allowed)
        if not wanted.enabled:
            self._proxies.check_room()
        return answer_json(201, self._proxies.create(wanted).as_json())

    async def _show(self, request: Request, name: str) -> Answer:
        return answer_json(200, self._proxies.find(name).as_json())

    async def _update(self, request: Request, name: str) -> Answer:
        proxy = self._proxies.find(name)
        wanted = WantedProxy(decode(request.body), proxy)
        seconds = read_lease(request)
        if proxy.enabled and not wanted.enabled:
            self._proxies.check_room()
        wanted.check_upstream(self._policy.allowed)
        try:
            proxy.update(wanted.listen, wanted.upstream, wanted.enabled)
        finally:
            await proxy.closed()
        if seconds is not None and not proxy.enabled:
            proxy.lease_down(seconds)
        return answer_json(200, proxy.as_json())

    async def _delete(self, request: Request, name: str) -> Answer:
        await self._proxies.remove(name)
        return Answer(204, content_type="")

    async def _reset(self, request: Request) -> Answer:
        await self._proxies.reset()
        return Answer(204, content_type="")

    async def _populate(self, request: Request) -> Answer:
        done: list[Proxy] = []
        try:
            given = decode(request.body)
            if given is not None and not isinstance(given, list):
                raise ToxiproxyError("bad request body: not a list of proxies", 400)
            wanted = [WantedProxy(each) for each in given or []]
            for number, each in enumerate(wanted, 1):
                each.check(self._policy.allowed, f" at proxy {number}")
            self._proxies.check_all(wanted)
            for each in wanted:
                done.append(await self._proxies.put(each))
        except ToxiproxyError as error:
            shown = [proxy.as_json() for proxy in done] or None
            return answer_json(error.status, {"error": str(error), "status": error.status, "proxies": shown})
        return answer_json(201, {"proxies": [proxy.as_json() for proxy in done] or None})

    async def _list_toxics(self, request: Request, name: str) -> Answer:
        return answer_json(200, self._proxies.find(name).as_json()["toxics"])

    async def _add_toxic(self, request: Request, name: str) -> Answer:
        proxy = self._proxies.find(name)
        toxic = read_toxic(decode(request.body), self._policy, proxy.find_toxic)
        self._proxies.check_room()
        seconds = read_lease(request)
        proxy.add_toxic(toxic)
        if seconds is not None:
            proxy.lease_toxic(toxic, seconds)
        return answer_json(200, show_toxic(toxic))

    async def _show_toxic(self, request: Request, name: str, toxic_name: str) -> Answer:
        return answer_json(200, show_toxic(_find_toxic(self._proxies.find(name), toxic_name)))

    async def _update_toxic(self, request: Request, name: str, toxic_name: str) -> Answer:
        proxy = self._proxies.find(name)
        toxic = _find_toxic(proxy, toxic_name)
        toxicity, attributes = read_update(decode(request.body), toxic, self._policy)
        seconds = read_lease(request)
        proxy.update_toxic(toxic, toxicity, attributes)
        if seconds is not None:
            proxy.lease_toxic(toxic, seconds)
        return answer_json(200, show_toxic(toxic))

    async def _remove_toxic(self, request: Request, name: str, toxic_name: str) -> Answer:
        proxy = self._proxies.find(name)
        proxy.remove_toxic(_find_toxic(proxy, toxic_name))
        await proxy.closed()
        return Answer(204, content_type="")


def _find_toxic(proxy: Proxy, name: str) -> Toxic:
    toxic = proxy.find_toxic(name)
    if toxic is None:
        raise ToxiproxyError("toxic not found", 404)
    return toxic
