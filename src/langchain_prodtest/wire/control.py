"""The control API of a server of fake providers, under a prefix that no provider has.

```
POST   /_prodtest/script       add the rules in the body (a script file, JSON or TOML) to the scope
DELETE /_prodtest/script       forget rules, journal and counts of the scope
GET    /_prodtest/calls        the journal as NDJSON, page by page; ?provider=  ?nonce=  ?since=ID
GET    /_prodtest/wait         the same, once there are ?calls=N of them; 408 after ?seconds=S
GET    /_prodtest/unexpected   the calls that no script had an answer for, as NDJSON
GET    /_prodtest/leftover     the steps that nobody asked for, as JSON
GET    /_prodtest/metrics      totals of all scopes for Prometheus
GET    /_prodtest/health       nothing, to anyone: whoever asks knows that it answers
```

The scope is named by the header `X-Prodtest-Scope`; without it, it is the one of requests that name none.
"""

import asyncio
import hmac
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from langchain_prodtest.errors import UsageError
from langchain_prodtest.script import Call, Script
from langchain_prodtest.wire.arrival import Arrival
from langchain_prodtest.wire.codec import Rejected
from langchain_prodtest.wire.scopes import HEADER, Scopes
from langchain_prodtest.wire.scripts import decode_rules

__all__ = ["PREFIX", "Answer", "Control"]

PREFIX = "/_prodtest/"
_POLL = 0.02
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_JSON, _LINES = "application/json", "application/x-ndjson"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"


class Answer(NamedTuple):
    """What the control API answers; the pages of the `body` are made as they are sent."""

    status: int
    kind: str
    body: Iterable[bytes]


class _Mark(msgspec.Struct):
    """What a query wants to know of a Call."""

    id: int
    provider: str
    nonce: str
    unexpected: bool


class _Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which calls are meant; `since` is the id of the last one that is known already."""

    provider: str = ""
    nonce: str = ""
    since: int = 0
    calls: int = 1
    seconds: Annotated[float, msgspec.Meta(ge=0, le=60)] = 5.0

    def wants(self, mark: _Mark) -> bool:
        return self.provider in ("", mark.provider) and self.nonce in ("", mark.nonce)


_MARKS = msgspec.json.Decoder(_Mark)


class Control:
    """Answers the control API, to those who know `token`; without one, to programs on this machine."""

    def __init__(self, scopes: Scopes, token: str = "") -> None:
        self.scopes = scopes
        self._token = token
        self._totals: Counter[tuple[str, str, int, str, bool]] = Counter()

    def count(self, call: Call) -> None:
        """Count a finished exchange for the metrics."""
        self._totals[call.provider, call.operation, call.status, call.closed_by, call.unexpected] += 1

    async def answer(self, arrival: Arrival, open_exchanges: int) -> Answer:
        """Return what is answered; a mistake in the request is a 4xx that says what is right."""
        try:
            if arrival.target != f"{PREFIX}health":
                self._admit(arrival)
            return await self._answered(arrival, open_exchanges)
        except Rejected as rejected:
            return _json({"error": str(rejected)}, rejected.status)
        except (UsageError, msgspec.ValidationError) as error:
            return _json({"error": str(error)}, 400)

    def _admit(self, arrival: Arrival) -> None:
        headers = {name.lower(): value for name, value in arrival.headers}
        if self._token:
            if not hmac.compare_digest(headers.get(b"authorization", b""), f"Bearer {self._token}".encode()):
                raise Rejected(401, "The control API wants the header Authorization: Bearer TOKEN.")
        elif b"origin" in headers or not _is_local(headers.get(b"host", b"localhost").decode("latin-1")):
            raise Rejected(403, "The control API is for programs on this machine, not for web pages.")

    async def _answered(self, arrival: Arrival, open_exchanges: int) -> Answer:
        path, _, query = arrival.target.removeprefix(PREFIX).partition("?")
        asked = msgspec.convert(dict(parse_qsl(query, keep_blank_values=True)), _Query, strict=False)
        name = next((v.decode("latin-1") for k, v in arrival.headers if k.lower() == HEADER), "")
        script = self.scopes.named(name).script
        match f"{arrival.method} {path}":
            case "POST script":
                rules = decode_rules(_text(arrival.body), "script", list(self.scopes.named(name).codecs))
                self.scopes.add(name, rules)
                return _json({"rules": len(rules)})
            case "DELETE script":
                self.scopes.reset(name)
                return _json({})
            case "GET calls":
                return Answer(200, _LINES, _lines(script, asked))
            case "GET wait":
                enough = await _waited(script, asked)
                return Answer(200 if enough else 408, _LINES, _lines(script, asked))
            case "GET unexpected":
                return Answer(200, _LINES, _lines(script, asked, unexpected=True))
            case "GET leftover":
                return _json([{"match": match, "step": step} for match, step in script.leftover])
            case "GET health":
                return _json({})
            case "GET metrics":
                return Answer(200, _METRICS, [self._metrics(open_exchanges)])
        raise Rejected(404, f"No {arrival.method} {PREFIX}{path} here. {_ROUTES}")

    def _metrics(self, open_exchanges: int) -> bytes:
        lines = [
            "# HELP prodtest_fake_open_exchanges Requests that are being answered.",
            "# TYPE prodtest_fake_open_exchanges gauge",
            f"prodtest_fake_open_exchanges {open_exchanges}",
            "# HELP prodtest_fake_calls_total Finished exchanges with fake providers.",
            "# TYPE prodtest_fake_calls_total counter",
        ]
        names = ("provider", "operation", "status", "closed_by", "unexpected")
        for values, count in sorted(self._totals.items()):
            labels = ",".join(f'{key}="{str(of).lower()}"' for key, of in zip(names, values, strict=True))
            lines.append(f"prodtest_fake_calls_total{{{labels}}} {count}")
        return "\n".join([*lines, ""]).encode()


_ROUTES = "There are: script (POST, DELETE), calls, wait, unexpected, leftover, metrics, health (GET)."


async def _waited(script: Script, asked: _Query) -> bool:
    """Return whether there are as many calls as asked for, at once or in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + asked.seconds
    found, since = 0, asked.since
    while True:
        for _, marks in _pages(script, since):
            found += sum(map(asked.wants, marks))
            since = marks[-1].id
            await asyncio.sleep(0)
        if found >= asked.calls or loop.time() >= end:
            return found >= asked.calls
        await asyncio.sleep(_POLL)  # a Script tells threads of its changes, not event loops


def _lines(script: Script, asked: _Query, *, unexpected: bool = False) -> Iterator[bytes]:
    """Return what is asked for of each page of the journal."""
    for page, marks in _pages(script, asked.since):
        lines = zip(page.splitlines(keepends=True), marks, strict=True)
        yield b"".join(line for line, mark in lines if asked.wants(mark) and mark.unexpected >= unexpected)


def _pages(script: Script, since: int) -> Iterator[tuple[bytes, list[_Mark]]]:
    while page := script.page(since):
        marks = _MARKS.decode_lines(page)
        yield page, marks
        since = marks[-1].id


def _is_local(host: str) -> bool:
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return name in _LOOPBACK


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise Rejected(400, f"script: {error}") from None


def _json(value: object, status: int = 200) -> Answer:
    return Answer(status, _JSON, [msgspec.json.encode(value)])
