"""What a request wants a proxy or a toxic to be, read and checked as a whole before anything changes."""

import contextlib
from collections.abc import Callable
from typing import Any

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.address import UNIX, Allowed, NoAddressError, split_address
from langchain_prodtest.toxiproxy.attributes import COUNT, TIME, Number, check_ranges, read_attributes
from langchain_prodtest.toxiproxy.effect import Plan, Toxic
from langchain_prodtest.toxiproxy.message import fields, read_toxicity, text, typed
from langchain_prodtest.toxiproxy.policy import Policy
from langchain_prodtest.toxiproxy.proxy import Proxy
from langchain_prodtest.toxiproxy.toxics import TOXICS, Connect

__all__ = ["WantedProxy", "read_plan", "read_toxic", "read_update"]


class WantedProxy:
    """The fields of a proxy that a request gives; those it leaves out are as before, or the defaults."""

    def __init__(self, given: Any, before: Proxy | None = None) -> None:
        table = fields(given)
        self.name = text(table, "name", "")
        self.listen = text(table, "listen", before.listen if before else "")
        self.upstream = text(table, "upstream", before.upstream if before else "")
        self.enabled = typed(table, "enabled", bool, before.enabled if before else True)

    def check(self, allowed: Allowed, where: str = "") -> None:
        """Refuse what a new proxy cannot be made of."""
        for field in ("name", "upstream"):
            if not getattr(self, field):
                raise ToxiproxyError(f"missing required field: {field}{where}", 400)
        self.check_upstream(allowed)

    def check_upstream(self, allowed: Allowed) -> None:
        """Refuse an upstream that is not allowed; what is no address at all fails when it is dialled."""
        if self.upstream.startswith(UNIX):
            return
        with contextlib.suppress(NoAddressError):
            split_address(self.upstream, allowed)


def read_toxic(given: Any, policy: Policy, taken: Callable[[str], object]) -> Toxic:
    """Return the toxic that a request describes; ToxiproxyError in the order and words of the original."""
    table = fields(given)
    kind, stream = text(table, "type", ""), text(table, "stream", "downstream")
    toxicity = read_toxicity(table, 1.0, policy.strict)
    typed(table, "attributes", dict, {})
    if stream.lower() not in ("upstream", "downstream"):
        raise ToxiproxyError("stream was invalid, can be either upstream or downstream", 400)
    if kind not in TOXICS or (policy.strict and TOXICS[kind].since_2_13):
        raise ToxiproxyError("invalid toxic type", 400)
    toxic = Toxic(text(table, "name", "") or f"{kind}_{stream}", kind, stream, toxicity)
    if taken(toxic.name):
        raise ToxiproxyError("toxic already exists", 409)
    toxic.attributes = _read_attributes(table, toxic, policy)
    if kind == Connect.type and toxicity != 1:
        raise ToxiproxyError(f"{kind} acts on the listener: its toxicity can only be 1", 400)
    return toxic


def read_plan(given: Any, toxic: Toxic) -> Plan:
    """Return when and where a toxic is to act; ToxiproxyError 400 for a plan that makes no sense."""
    table = fields(given)
    numbers = {
        key: _read_whole(table, key, COUNT if key == "connections" else TIME)
        for key in ("start", "duration", "ramp", "connections")
        if key in table
    }
    plan = Plan(**numbers, shared=typed(table, "shared", bool, False))
    if plan.shared and toxic.type != "bandwidth":
        raise ToxiproxyError("only a bandwidth can be shared", 400)
    if toxic.type == Connect.type and (plan.start or plan.ramp or plan.connections is not None):
        raise ToxiproxyError(
            f"{toxic.type} acts on the listener from the start: of a plan it takes duration", 400
        )
    if plan.duration is not None and plan.ramp > plan.duration:
        raise ToxiproxyError("ramp must not be longer than duration", 400)
    return plan


def _read_whole(table: dict[str, Any], key: str, number: Number) -> int:
    value = table[key]
    if type(value) is not int or not 0 <= value <= number.largest:
        raise ToxiproxyError(
            f"{key} must be a whole number from 0 to {number.largest}, not {value!r:.80}", 400
        )
    return value


def read_update(given: Any, toxic: Toxic, policy: Policy) -> tuple[float, dict[str, float]]:
    """Return the toxicity and attributes that an update leads to.

    A refused update changes nothing; in strict mode it changes the attributes that could be read.
    """
    table = fields(given)
    toxicity = read_toxicity(table, toxic.toxicity, policy.strict)
    return toxicity, _read_attributes(table, toxic, policy)


def _read_attributes(table: dict[str, Any], toxic: Toxic, policy: Policy) -> dict[str, float]:
    effect = TOXICS[toxic.type]
    given = typed(table, "attributes", dict, {})
    attributes, errors = read_attributes(effect.numbers, given, toxic.attributes)
    if not policy.strict:
        _refuse(errors)
        check_ranges(effect.numbers, attributes)
    effect.check(attributes)
    if errors:
        toxic.attributes = attributes
    _refuse(errors)
    return attributes


def _refuse(errors: list[str]) -> None:
    if errors:
        raise ToxiproxyError(errors[0], 400)
