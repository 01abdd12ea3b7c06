"""What this server can do beyond Toxiproxy: everything under /prodtest/."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.collection import Collection
from langchain_prodtest.toxiproxy.effect import Toxic
from langchain_prodtest.toxiproxy.message import (
    Answer,
    Request,
    answer_json,
    decode,
    fields,
    read_lease,
    typed,
)
from langchain_prodtest.toxiproxy.proxy import Proxy, show_toxic
from langchain_prodtest.toxiproxy.routes import Handler
from langchain_prodtest.toxiproxy.wanted import WantedProxy, read_plan, read_toxic

__all__ = ["own_handlers"]


def own_handlers(proxies: Collection) -> Mapping[str, Mapping[str, Handler]]:
    """Return the handlers by path and method."""
    own = _Own(proxies)
    return {
        "prodtest/events": {"GET": own.list_events},
        "prodtest/proxies": {"GET": own.list, "POST": own.create},
        "prodtest/proxies/*/toxics": {"POST": own.add_toxic},
    }


class _Own:
    def __init__(self, proxies: Collection) -> None:
        self._proxies = proxies

    async def list_events(self, request: Request) -> Answer:
        """Answer the events after `since`, as a list, or with `follow` as lines that go on."""
        query = parse_qs(request.query, keep_blank_values=True)
        seen = query.get("since", ["0"])[-1]
        if not (seen.isascii() and seen.isdigit() and len(seen) < 19):
            raise ToxiproxyError(f'since must be the id of an event, not "{seen}"', 400)
        if "follow" in query:
            return Answer(200, content_type="application/x-ndjson", stream=self._follow(int(seen)))
        return answer_json(200, self._proxies.events.since(int(seen)))

    async def list(self, request: Request) -> Answer:
        """Answer all proxies, each toxic with its plan."""
        return answer_json(200, {proxy.name: _show(proxy) for proxy in self._proxies.all()})

    async def create(self, request: Request) -> Answer:
        """Create a proxy with its toxics: all of it, or nothing."""
        given = decode(request.body)
        wanted = WantedProxy(given)
        wanted.check(self._proxies.policy.allowed)
        toxics: dict[str, Toxic] = {}
        for each in typed(fields(given), "toxics", list, []):
            toxic = self._read(each, toxics)
            toxics[toxic.name] = toxic
        self._proxies.check_room(len(toxics) + (not wanted.enabled))
        proxy = self._proxies.create(wanted)
        for toxic in toxics.values():
            proxy.add_toxic(toxic)
        return answer_json(201, _show(proxy))

    async def add_toxic(self, request: Request, name: str) -> Answer:
        """Add a toxic with a plan."""
        proxy = self._proxies.find(name)
        toxic = self._read(decode(request.body), {each.name: each for each in proxy.toxics})
        seconds = read_lease(request)
        self._proxies.check_room()
        proxy.add_toxic(toxic)
        if seconds is not None:
            proxy.lease_toxic(toxic, seconds)
        return answer_json(200, _show_plan(toxic))

    def _read(self, given: Any, taken: Mapping[str, Toxic]) -> Toxic:
        toxic = read_toxic(given, self._proxies.policy, taken.get)
        toxic.plan = read_plan(given, toxic)
        return toxic

    async def _follow(self, seen: int) -> AsyncIterator[bytes]:
        while True:
            for event in self._proxies.events.since(seen):
                seen = event["id"]
                yield json.dumps(event).encode() + b"\n"
            await self._proxies.events.more(seen)


def _show(proxy: Proxy) -> dict[str, Any]:
    return {**proxy.as_json(), "toxics": [_show_plan(toxic) for toxic in proxy.ordered_toxics()]}


def _show_plan(toxic: Toxic) -> dict[str, Any]:
    return {**show_toxic(toxic), **asdict(toxic.plan)}
