"""Decide what answers an arrived request: find its codec, ask the Script, build the Response."""

import logging
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import NamedTuple

import msgspec

from langchain_prodtest.errors import ScriptError, UsageError, unknown_name
from langchain_prodtest.script import Fault, Reply, Request, Script, Step
from langchain_prodtest.wire.arrival import Arrival
from langchain_prodtest.wire.codec import Codec, Head, Rejected, nearest_route
from langchain_prodtest.wire.faults import faulty
from langchain_prodtest.wire.keys import Keys, Refusal, real_owner
from langchain_prodtest.wire.providers import PROVIDERS
from langchain_prodtest.wire.redaction import CREDENTIALS
from langchain_prodtest.wire.replay import Replay, Replayed
from langchain_prodtest.wire.response import Response, answer, refuse, scripted_error

__all__ = ["Decision", "Router"]

_log = logging.getLogger(__name__)
_USED_UP = (
    "The script of this fake provider is used up: no Reply or Fault is left for this request. "
    "Script one more, or find out why the code asked once more."
)


class Decision(NamedTuple):
    """What is answered to an arrival; `unexpected` if the Script had nothing for it."""

    request: Request
    response: Response
    unexpected: bool


class Router:
    """The mounted providers, the Script that all of them ask, and the keys that they take: if None, any."""

    def __init__(self, script: Script, mounts: Mapping[str, str], keys: Keys | None = None) -> None:
        self.script, self.keys, self._mounts = script, keys or Keys(), mounts
        self.codecs: dict[str, Codec] = {}
        for mount, name in mounts.items():
            if name not in PROVIDERS:
                raise UsageError(unknown_name("provider", name, PROVIDERS))
            self.codecs[mount] = PROVIDERS[name]
        if not self.codecs:
            raise UsageError("a fake server needs at least one provider to mount")

    def refused(self) -> str | None:
        """Return the mount for which the connection just accepted is to be refused, if any.

        Nobody knows yet which provider it is for: on a shared port, the next connection is refused
        whichever it is for.
        """
        return next((mount for mount in self.codecs if self.script.refuses(mount)), None)

    def decide(self, arrival: Arrival) -> Decision:
        """Return what is answered; a mistake, also one in a callback of the Script, becomes a 500."""
        readable, credentials = _read(arrival.headers)
        decision = self._decide(arrival, readable, credentials)
        owner = real_owner(credentials, arrival.target.partition("?")[2])
        if not owner:
            return decision
        return decision._replace(request=msgspec.structs.replace(decision.request, real_key=owner))

    def _decide(self, arrival: Arrival, readable: dict[str, str], credentials: Mapping[str, str]) -> Decision:
        route, _, query = arrival.target.partition("?")
        mount, _, path = route.removeprefix("/").partition("/")
        known = mount in self.codecs
        codec = self.codecs[mount] if known else next(iter(self.codecs.values()))
        head = Head(
            mount if known else "",
            arrival.method,
            f"/{path}",
            readable,
            arrival.received,
            query,
        )
        request = Request(
            provider=head.provider, operation="", headers=head.headers, received=arrival.received
        )
        try:
            if arrival.rejected is not None:
                raise arrival.rejected
            if not known:
                raise Rejected(
                    404, f'No provider is mounted at "/{mount}". Mounted: {", ".join(self.codecs)}'
                )
            refusal = self.keys.refusal(self._mounts[mount], credentials, query)
            if refusal is not None:
                return Decision(request, _refused(codec, refusal), unexpected=True)
            replay = self.script.default if isinstance(self.script.default, Replay) else None
            decode = codec.decode if replay is None else partial(replay.read, codec)
            request = decode(head, arrival.body)
            if request.operation in codec.unscripted and replay is None:
                return Decision(request, answer(codec, Reply(), request), unexpected=False)
            if request.attempt_source == "digest":
                attempt = self.script.attempt(request.digest, scope=request.provider)
                request = msgspec.structs.replace(request, attempt=attempt)
            step = self.script.next(request)
            if step is None:
                raise Rejected(400, _USED_UP)  # 400: clients do not retry it
            if isinstance(step, Replayed) and replay is not None:
                return Decision(request, replay.answer(arrival), unexpected=False)
            return Decision(request, self._respond(codec, step, request), unexpected=False)
        except Rejected as rejected:
            if known and rejected.status in (404, 405):
                request = msgspec.structs.replace(request, hint=nearest_route(head, codec))
            return Decision(request, refuse(codec, rejected.status, str(rejected)), unexpected=True)
        except ScriptError as error:  # 400 here too: a fault that this request cannot have
            return Decision(request, refuse(codec, 400, str(error)), unexpected=True)
        except Exception as error:
            _log.exception("a fake provider could not answer %s %s", arrival.method, route)
            message = f"The fake provider failed: {type(error).__name__}: {error}"
            return Decision(request, refuse(codec, 500, message), unexpected=True)

    def _respond(self, codec: Codec, step: Step, request: Request) -> Response:
        if isinstance(step, Reply):
            return answer(codec, step, request)
        if step.status is not None:
            return scripted_error(codec, step)
        return faulty(codec, step, self.script.default(request), request)


def _refused(codec: Codec, refusal: Refusal) -> Response:
    if refusal.body is None:
        return refuse(codec, refusal.status, refusal.message)
    fault = Fault(status=refusal.status, body=refusal.body, headers=dict(refusal.headers))
    return scripted_error(codec, fault)


def _read(headers: list[tuple[bytes, bytes]]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the headers as text, of those that carry credentials only that they are there; and the keys."""
    readable: dict[str, str] = {}
    credentials: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = _lower(raw_name), raw_value.decode("latin-1")
        if name in CREDENTIALS:
            credentials[name], value = value, "present"
        readable[name] = f"{readable[name]}, {value}" if name in readable else value
    return readable, credentials


@lru_cache(maxsize=1024)
def _lower(name: bytes) -> str:
    return name.decode("latin-1").lower()
