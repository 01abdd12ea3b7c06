"""A client for any Toxiproxy, the real server or the embedded one, with toxiproxy-python's API.

What differs: errors are ToxiproxyError, `version` is the number as text, and `add_toxic` returns the toxic.
"""

import contextlib
import http.client
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.address import join_address

__all__ = ["Proxy", "Toxic", "Toxiproxy"]


@dataclass(frozen=True, slots=True)
class Toxic:
    """A toxic as the server showed it."""

    name: str
    type: str
    stream: str
    toxicity: float
    attributes: dict[str, float]


class Toxiproxy:
    """A Toxiproxy's HTTP API at `url`; each call waits at most `timeout` seconds.

    Every method raises ToxiproxyError: with the server's text and `status`, or with status 0 if nothing
    answered. `token` (default: TOXIPROXY_AUTH_TOKEN) is sent as bearer token. Proxy variables of the
    environment have no effect.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8474", timeout: float = 5.0, token: str | None = None
    ) -> None:
        self.url = (url if "://" in url else f"http://{url}").rstrip("/")
        self.timeout = timeout
        self._token = token or os.environ.get("TOXIPROXY_AUTH_TOKEN")
        self._updates_by = "PATCH"
        parts = urlsplit(self.url)
        if parts.scheme != "http" or not parts.hostname:
            raise ToxiproxyError(f'"{url}" is not the address of a Toxiproxy, such as http://127.0.0.1:8474')
        self._host, self._port = parts.hostname, parts.port or 8474

    def update_api_consumer(self, host: str, port: int) -> None:
        """Talk to another server from now on; other clients stay where they are."""
        self.url, self._host, self._port = f"http://{join_address(host, port)}", host, port

    def running(self) -> bool:
        """Say whether a Toxiproxy answers."""
        try:
            self.version()
        except ToxiproxyError:
            return False
        return True

    def version(self) -> str:
        """Return the server's version, such as "2.12.0"."""
        answer = self.request("GET", "/version")
        # Before 2.7 it was the bare number.
        version = answer.get("version") if isinstance(answer, dict) else answer
        if not isinstance(version, str) or not re.fullmatch(r"v?\d+(\.\d+)+\S*|git\S*", version):
            raise ToxiproxyError(f"{self.url} answers, but is no Toxiproxy (GET /version: {answer!r:.80})")
        return version.removeprefix("v")

    def proxies(self) -> dict[str, "Proxy"]:
        """Return all proxies by name."""
        return {name: Proxy.read(self, shown) for name, shown in self.request("GET", "/proxies").items()}

    def get_proxy(self, name: str) -> "Proxy | None":
        """Return the proxy of that name, or None."""
        try:
            return Proxy.read(self, self.request("GET", path_of(name)))
        except ToxiproxyError as error:
            if error.status == 404:
                return None
            raise

    def create(
        self,
        upstream: str,
        name: str,
        listen: str | None = None,
        enabled: bool | None = None,
        toxics: Sequence[Mapping[str, Any]] = (),
    ) -> "Proxy":
        """Create a proxy; without `listen` it gets a free loopback port.

        `toxics` (dicts as `Proxy.add_toxic` sends them) are there before the first connection; it takes the
        embedded server.
        """
        body = {"name": name, "upstream": upstream, "listen": listen or "127.0.0.1:0", "enabled": enabled}
        if not toxics:
            return Proxy.read(self, self.request("POST", "/proxies", body))
        return Proxy.read(self, self._request_own("POST", "/proxies", {**body, "toxics": list(toxics)}))

    def populate(self, proxies: Sequence[Mapping[str, Any]]) -> list["Proxy"]:
        """Create proxies from dicts with `create`'s arguments and return those created.

        One that is there at the same addresses stays as it is, another one of the same name is replaced.
        """
        created = []
        for each in proxies:
            old = self.get_proxy(each["name"])
            if old is not None:
                if old.upstream == each["upstream"] and each.get("listen") in (None, old.listen):
                    continue
                self.destroy(old)
            created.append(self.create(**each))
        return created

    def destroy(self, proxy: "Proxy | str") -> bool:
        """Remove a proxy and close its connections."""
        self.request("DELETE", path_of(proxy if isinstance(proxy, str) else proxy.name))
        return True

    def destroy_all(self) -> None:
        """Remove all proxies."""
        for name in self.proxies():
            self.destroy(name)

    def reset(self) -> bool:
        """Enable all proxies, remove all toxics, and read back that this is so."""
        self.request("POST", "/reset")
        for name, shown in self.request("GET", "/proxies").items():
            if not shown["enabled"]:
                raise ToxiproxyError(f'proxy "{name}" is disabled after a reset')
            if shown["toxics"]:
                raise ToxiproxyError(
                    f'proxy "{name}" has the toxic {shown["toxics"][0]["name"]} after a reset'
                )
        return True

    def events(self, since: int = 0) -> list[dict[str, Any]] | None:
        """Return the embedded server's events with an id above `since`; None if the server is a real one."""
        try:
            events: list[dict[str, Any]] = self.request("GET", f"/prodtest/events?since={since}")
        except ToxiproxyError as error:
            if error.status == 404:
                return None
            raise
        return events

    def follow(self, since: int = 0) -> Iterator[dict[str, Any]]:
        """Yield the embedded server's events with an id above `since`, and go on as they happen.

        ToxiproxyError when none came for `timeout` seconds.
        """
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self.timeout)
        try:
            connection.request("GET", f"/prodtest/events?follow&since={since}", headers=self.headers)
            answer = connection.getresponse()
            if answer.status != 200:
                _read_answer(answer.status, answer.read())
            while line := answer.readline():
                yield json.loads(line)
        except (OSError, http.client.HTTPException) as error:
            raise ToxiproxyError(
                f"the events of {self.url} ended ({error or type(error).__name__})"
            ) from None
        finally:
            connection.close()

    def _request_own(self, method: str, path: str, body: Any, lease: float | None = None) -> Any:
        """Send a request that only the embedded server understands."""
        try:
            return self.request(method, f"/prodtest{path}", body, lease)
        except ToxiproxyError as error:
            if error.status != 404 or str(error) == "proxy not found":
                raise
            raise ToxiproxyError(
                f"{self.url} is not the embedded Toxiproxy: it has no plans for toxics", 404
            ) from None

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        headers = {"User-Agent": "langchain-prodtest", "Connection": "close"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def update(self, path: str, body: Mapping[str, Any], lease: float | None = None) -> Any:
        """Change a proxy or a toxic: by PATCH, or by POST where the server is older than 2.6."""
        try:
            return self.request(self._updates_by, path, body, lease)
        except ToxiproxyError as error:
            if error.status != 405 or self._updates_by == "POST":
                raise
        self._updates_by = "POST"
        return self.request("POST", path, body, lease)

    def request(self, method: str, path: str, body: Any = None, lease: float | None = None) -> Any:
        """Send one request and return its decoded JSON, or None if there is none."""
        headers = dict(self.headers)
        if lease is not None:
            headers["X-Prodtest-Lease"] = f"{lease:g}"
        data = None if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self.timeout)
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            status, content = answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ToxiproxyError(
                f"no Toxiproxy answers at {self.url} ({error or type(error).__name__}). "
                "Start one: toxiproxy-server, or python -m langchain_prodtest.toxiproxy"
            ) from None
        finally:
            connection.close()
        return _read_answer(status, content)


class _NotFoundError(ToxiproxyError):
    """Such a proxy or toxic does not exist."""


@dataclass(slots=True)
class Proxy:
    """A proxy of a Toxiproxy, as the server showed it last."""

    client: Toxiproxy = field(repr=False)
    name: str
    listen: str
    upstream: str
    enabled: bool

    @classmethod
    def read(cls, client: Toxiproxy, shown: Mapping[str, Any]) -> "Proxy":
        """Return the proxy that a server's JSON shows."""
        return cls(client, shown["name"], shown["listen"], shown["upstream"], shown["enabled"])

    @property
    def path(self) -> str:
        """Its path in the HTTP API."""
        return path_of(self.name)

    def toxics(self) -> dict[str, Toxic]:
        """Return its toxics by name."""
        return {shown["name"]: Toxic(**shown) for shown in self.client.request("GET", f"{self.path}/toxics")}

    def get_toxic(self, name: str) -> Toxic | None:
        """Return the toxic of that name, or None."""
        return self.toxics().get(name)

    def add_toxic(
        self,
        name: str | None = None,
        type: str = "",  # noqa: A002 - toxiproxy-python's word
        stream: str = "downstream",
        toxicity: float = 1.0,
        attributes: Mapping[str, float] | None = None,
        lease: float | None = None,
        plan: Mapping[str, Any] | None = None,
    ) -> Toxic:
        """Add a toxic; the embedded server removes it after `lease` seconds unless it is renewed.

        `plan` says when and where it acts (keys start, duration, ramp, connections, shared: see
        docs/toxiproxy.md); it takes the embedded server.
        """
        body = {"name": name, "type": type, "stream": stream, "toxicity": toxicity, "attributes": attributes}
        if plan is None:
            return Toxic(**self.client.request("POST", f"{self.path}/toxics", body, lease))
        shown = self.client._request_own("POST", f"{self.path}/toxics", {**body, **plan}, lease)
        return Toxic(**{key: shown[key] for key in Toxic.__dataclass_fields__})

    def update_toxic(
        self, name: str, attributes: Mapping[str, float] | None = None, toxicity: float | None = None
    ) -> Toxic:
        """Change some attributes or the toxicity of a toxic; the rest stays as it is."""
        body = {"attributes": attributes, "toxicity": toxicity}
        return Toxic(**self.client.update(self._toxic_path(name), body))

    def destroy_toxic(self, name: str) -> bool:
        """Remove a toxic."""
        self.client.request("DELETE", self._toxic_path(name))
        return True

    @contextlib.contextmanager
    def toxic(self, **given: Any) -> Iterator[Toxic]:
        """Add a toxic (`add_toxic`'s arguments), and remove it at the end whatever happened."""
        toxic = self.add_toxic(**given)
        try:
            yield toxic
        finally:
            with contextlib.suppress(_NotFoundError):
                self.destroy_toxic(toxic.name)

    def enable(self) -> None:
        """Accept connections."""
        self._switch(True)

    def disable(self, lease: float | None = None) -> None:
        """Refuse and close connections; the embedded server enables after `lease` seconds unless renewed."""
        self._switch(False, lease)

    @contextlib.contextmanager
    def down(self) -> Iterator["Proxy"]:
        """Disable the proxy, and enable it at the end whatever happened."""
        try:
            self.disable()
            yield self
        finally:
            self.enable()

    def destroy(self) -> bool:
        """Remove the proxy and close its connections."""
        return self.client.destroy(self)

    def _switch(self, enabled: bool, lease: float | None = None) -> None:
        shown = self.client.update(self.path, {"enabled": enabled}, lease)
        self.listen, self.upstream, self.enabled = shown["listen"], shown["upstream"], shown["enabled"]

    def _toxic_path(self, name: str) -> str:
        return f"{self.path}/toxics/{quote(name, safe='')}"


def path_of(name: str) -> str:
    """Return the path of a proxy in the HTTP API."""
    return f"/proxies/{quote(name, safe='')}"


def _read_answer(status: int, content: bytes) -> Any:
    try:
        answer = json.loads(content) if content else None
    except ValueError:
        answer = content.decode("utf-8", "replace").strip()
    if status < 300:
        return answer
    text = answer.get("error") if isinstance(answer, dict) else answer
    kind = _NotFoundError if status == 404 else ToxiproxyError
    raise kind(str(text or f"Toxiproxy answered {status}"), status)
