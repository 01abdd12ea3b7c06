"""Scopes: each has a Script of its own, so that many tests share one server without seeing each other."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from langchain_prodtest.script import Fault, Script
from langchain_prodtest.wire.arrival import Arrival
from langchain_prodtest.wire.codec import Rejected
from langchain_prodtest.wire.router import Router
from langchain_prodtest.wire.scripts import Rule, add_rules

__all__ = ["HEADER", "Scopes", "scope_of"]

HEADER = b"x-prodtest-scope"
_KEYS = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})
_IN_KEY = re.compile(rb"@([A-Za-z0-9_.-]{1,64})$")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST = 1000


class Scopes:
    """The Routers of all scopes, by name; the one of requests that name none is `router`, named "".

    A scope begins, and begins again after `reset`, with `rules`; `new` makes its Script. While `plain`, the
    answer to a request that names no scope follows from `rules` and the request alone; `changed` is called
    when that may have changed.
    """

    def __init__(
        self, router: Router, mounts: Mapping[str, str], rules: Sequence[Rule], new: Callable[[], Script]
    ) -> None:
        self._mounts, self._rules, self._new = mounts, rules, new
        self.changed: Callable[[], None] = lambda: None
        self._routers: dict[str, Router] = {}
        self._until: dict[str, ExitStack] = {}
        self._begin("", router)

    def of(self, arrival: Arrival) -> Router:
        """Return the Router of the scope that a request names in its header, or after an `@` in its key.

        Rejected (400) for a name that cannot be one, and (503) for one scope too many.
        """
        return self.named(scope_of(arrival))

    def named(self, name: str) -> Router:
        """Return the Router of a scope, which begins when it is first asked for."""
        if name not in self._routers:
            if not _NAME.fullmatch(name):
                raise Rejected(400, f'"{name}" is no scope: 1 to 64 letters, digits, and _ . -')
            if len(self._routers) > _MOST:
                raise Rejected(503, f"There are {_MOST} scopes already. Reset those that are done.")
            self._begin(name, Router(self._new(), self._mounts, self._routers[""].keys))
        return self._routers[name]

    def add(self, name: str, rules: Sequence[Rule]) -> None:
        """Put rules on top of those of a scope."""
        add_rules(rules, self.named(name).script, self._until[name])
        if not name:
            self.plain = False
            self.changed()

    def reset(self, name: str) -> None:
        """Forget what was added to a scope, its journal and counts; a named one is gone until asked for."""
        router = self._routers.pop(name, None)
        if router is not None:
            self._until.pop(name).close()
            router.script.reset()
            if not name:
                self._begin(name, router)
                self.changed()

    def _begin(self, name: str, router: Router) -> None:
        self._routers[name], self._until[name] = router, ExitStack()
        add_rules(self._rules, router.script, self._until[name])
        if not name:
            self.plain = all(map(_is_plain, self._rules))


def scope_of(arrival: Arrival) -> str:
    """Return the name of the scope that a request names, "" if it names none."""
    found = b""
    for name, value in arrival.headers:
        lower = name.lower()
        if lower == HEADER:
            return value.decode("latin-1").strip()
        if lower in _KEYS and (suffix := _IN_KEY.search(value)):
            found = suffix[1]
    return found.decode()


def _is_plain(rule: Rule) -> bool:
    """Tell whether a rule answers a request whatever came before it."""
    refuses = isinstance(rule.always, Fault) and rule.always.how == "refuse"
    always = rule.always is not None and rule == Rule(match=rule.match, always=rule.always)
    return always and not refuses and not rule.match.attempt
