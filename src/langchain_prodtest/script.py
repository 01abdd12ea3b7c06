"""What a model says, what goes wrong, and which comes when.

A `Reply` is what a model says, a `Fault` is what goes wrong; both are data, of module `steps`. A `Script`
decides which of them answers a request. In-process fakes and fake providers on the wire render it alike.
"""

import math
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, Literal

import msgspec

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.journal import Journal
from langchain_prodtest.steps import Fault, How, Reply, Step, ToolCall, Usage

__all__ = [
    "Call",
    "Change",
    "Fault",
    "How",
    "Match",
    "Reply",
    "Request",
    "Script",
    "Step",
    "ToolCall",
    "Usage",
    "Window",
    "answer_for",
    "find_nonce",
    "new_nonce",
    "text_of",
]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asked a provider; `received` is Unix time in seconds.

    `attempt` counts from 1: from the client's own retry mark (`attempt_source` "header"), or, where the
    client sends none, the how-manieth request with this digest it is ("digest"). `real_key` says whose real
    keys look like the one that was sent, if anybody's do; the key itself is kept nowhere.
    `hint` names, for a route that the provider does not have, the nearest one.
    """

    provider: str
    operation: str = "chat"
    model: str = ""
    messages: list[dict[str, Any]] = []
    tools: list[dict[str, Any]] = []
    stream: bool = False
    headers: dict[str, str] = {}
    body: dict[str, Any] = {}
    nonce: str = ""
    digest: str = ""
    attempt: int = 1
    attempt_source: Literal["header", "digest"] = "digest"
    received: float = 0.0
    real_key: str = ""
    hint: str = ""


ClosedBy = Literal["", "server", "client", "fault"]


class Call(Request, frozen=True, kw_only=True):
    """One finished exchange: the Request, and what became of it.

    `bytes` counts body bytes sent; `status` is 0 when no response head was sent; `closed_by` says who
    ended the exchange: the server as planned, the client before the answer was whole, or a Fault.
    """

    id: int
    ended: float = 0.0
    bytes: int = 0
    status: int = 0
    closed_by: ClosedBy = ""
    unexpected: bool = False


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests a rule is for; an empty field matches everything. `attempt` counts from 1."""

    provider: str = ""
    operation: str = ""
    model: str = ""
    contains: str = ""
    attempt: int = 0

    def accepts(self, request: Request) -> bool:
        """Tell whether every field that is set fits the request; `contains` looks at the messages' text."""
        return (
            self.provider in ("", request.provider)
            and self.operation in ("", request.operation)
            and self.model in ("", request.model)
            and self.attempt in (0, request.attempt)
            and (not self.contains or self.contains in text_of(request.messages))
        )


Change = Callable[[Step], Step]
"""Makes the answer of older rules, or the default, another one: later, slower, worse."""

Decide = Callable[[Request], Step | Change | None]
"""Answers a request, changes what older rules answer, or leaves it to them (None).

It is called in order of arrival, one at a time.
"""

Window = tuple[float, float]
"""Seconds since a rule was added: it is active from the first, and before the second."""

_FOREVER: Window = (0.0, math.inf)
_WORDLESS = frozenset({"embeddings", "moderations", "rerank", "web_search"})  # no model speaks in them
_REMEMBERED = 10_000  # digests whose attempts are counted; the one not seen for longest is forgotten


class _Rule:
    """What answers the requests that match: a sequence of steps, or with `repeat` the one step, or `decide`.

    It is active in its `window`. Once a `final` sequence is used up, no further request is expected. A
    sequence whose match names no operation is what a model says: operations without words pass it by.
    """

    def __init__(
        self,
        match: Match | None,
        steps: Sequence[Step] = (),
        *,
        repeat: bool = False,
        final: bool = False,
        window: Window = _FOREVER,
        decide: Decide | None = None,
    ) -> None:
        self.match, self.repeat, self.final = match or Match(), repeat, final
        self.left = list(steps)
        self._is_speech = bool(steps) and not repeat and not self.match.operation
        begun = time.monotonic()
        self._since, self._until, self._decide = begun + window[0], begun + window[1], decide

    def accepts(self, request: Request) -> bool:
        is_passed_by = self._is_speech and request.operation in _WORDLESS
        return not is_passed_by and self.match.accepts(request)

    def active(self) -> bool:
        return self._since <= time.monotonic() < self._until

    def take(self) -> Step:
        return self.left[0] if self.repeat else self.left.pop(0)

    def answer(self, request: Request) -> Step | Change | None:
        if not self.active():
            return None
        if self._decide is not None:
            return self._decide(request)
        return self.take() if self.left else None


def _ordered(start: float, end: float) -> Window:
    if not 0 <= start < end:
        raise ScriptError("window: the start cannot be negative, and the end comes after it")
    return start, end


class Script:
    """Decides which Reply or Fault answers a request, and keeps the journal of Calls. Thread-safe.

    Rules are asked newest first, so a fault window laid over a script hides it for its time. A request that
    no rule answers gets `default(request)`; where a sequence was scripted for it and is used up, it is
    *unexpected*, and the fake refuses it so that a test sees it.
    """

    def __init__(self, default: Callable[[Request], Reply] | None = None) -> None:
        self.default = default or (lambda request: Reply(answer_for(request.nonce)))
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._rules: list[_Rule] = []
        self._seen: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._calls = Journal(Call)
        self._next_id = 0

    def add(self, *steps: Step, match: Match | None = None, then_default: bool = False) -> None:
        """Answer the next matching requests with `steps`, one each, in this order.

        Requests after the last step are unexpected, or with `then_default` get the default answer.
        Embeddings, moderations, rankings and searches use up no step unless the match names their `operation`
        ("embeddings", "moderations", "rerank", "web_search").
        """
        if not steps:
            raise ScriptError("script() needs at least one Reply or Fault")
        for step in steps:
            if not isinstance(step, Reply | Fault):
                raise ScriptError(f"script() takes Reply and Fault, not {type(step).__name__}: {step!r}")
        with self._lock:
            self._rules.append(_Rule(match, steps, final=not then_default))

    @contextmanager
    def always(self, step: Step, match: Match | None = None, lease: float | None = None) -> Iterator[None]:
        """Answer every matching request with `step` while the block runs, `lease` seconds at most."""
        rule = _Rule(match, [step], repeat=True, window=(0.0, math.inf if lease is None else lease))
        with self._lock:
            self._rules.append(rule)
        try:
            yield
        finally:
            with self._lock:
                self._rules = [kept for kept in self._rules if kept is not rule]

    def window(self, step: Step, start: float, seconds: float, match: Match | None = None) -> None:
        """Answer every matching request with `step` from `start` seconds after now, for `seconds`."""
        rule = _Rule(match, [step], repeat=True, window=_ordered(start, start + seconds))
        with self._lock:
            self._rules.append(rule)

    def sometimes(
        self,
        step: Step,
        probability: float,
        seed: int = 0,
        match: Match | None = None,
        window: Window = _FOREVER,
    ) -> None:
        """Answer each matching request with `step` by chance: same seed and order of arrival, same answers.

        A `refuse` cannot be left to chance: it strikes before there is a request.
        """
        if not 0 <= probability <= 1:
            raise ScriptError(f"sometimes: probability lies between 0 and 1, not {probability:g}")
        if isinstance(step, Fault) and step.how == "refuse":
            raise ScriptError('sometimes: how="refuse" strikes before there is a request. Use how="reset".')
        random = Random(seed)
        self.rule(lambda request: step if random.random() < probability else None, match, window)

    def rule(self, decide: Decide, match: Match | None = None, window: Window = _FOREVER) -> None:
        """Let `decide` answer each matching request, or leave it to older rules by returning None.

        By returning a function it changes the step that older rules, or the default, answer with. Both are
        called under the Script's lock, so they must not block.
        """
        rule = _Rule(match, window=_ordered(*window), decide=decide)
        with self._lock:
            self._rules.append(rule)

    def attempt(self, digest: str, scope: str = "") -> int:
        """Count a request with this digest and return the how-manieth it is in its scope, from 1.

        The 10,000 digests seen last are counted; one forgotten counts from 1 again.
        """
        with self._lock:
            count = self._seen.pop((scope, digest), 0) + 1
            self._seen[scope, digest] = count
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
            return count

    def refuses(self, provider: str) -> bool:
        """Tell whether the next connection for `provider` is to be refused, and use that step up."""
        if not self._rules:  # asked for every provider at each accept, so without the lock
            return False
        with self._lock:
            for rule in reversed(self._rules):
                if rule.active() and rule.left and rule.match in (Match(), Match(provider=provider)):
                    head = rule.left[0]
                    refused = isinstance(head, Fault) and head.how == "refuse"
                    if refused:
                        rule.take()
                    return refused
        return False

    def next(self, request: Request) -> Step | None:
        """Return the step that answers `request`; None when a sequence for it was scripted and is used up."""
        step, exhausted, changes = None, False, list[Change]()
        with self._lock:
            for rule in reversed(self._rules):
                if step is None and rule.accepts(request):
                    said = rule.answer(request)
                    exhausted = exhausted or rule.final
                    if callable(said):
                        changes.append(said)
                    else:
                        step = said
        if step is None:
            if exhausted:
                return None
            step = self.default(request)
        with self._lock:
            for change in reversed(changes):
                step = change(step)
        return step

    def record(self, call: Call) -> None:
        """Append a finished exchange to the journal, which may be any length; the journal numbers it."""
        with self._changed:
            self._next_id += 1
            self._calls.append(msgspec.structs.replace(call, id=self._next_id))
            self._changed.notify_all()

    def wait_for(self, count: int, seconds: float = 5.0) -> list[Call]:
        """Return the journal once it holds `count` Calls, or after `seconds` whatever it holds."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._calls) >= count, seconds)
            return list(self._calls)

    @property
    def calls(self) -> list[Call]:
        """The finished exchanges, oldest first."""
        with self._lock:
            return list(self._calls)

    def page(self, since: int = 0) -> bytes:
        """Return the next Calls after the one with the id `since`, some at a time, as lines of JSON."""
        with self._lock:
            first = self._next_id - len(self._calls)
            return self._calls.page(max(since - first, 0))

    @property
    def leftover(self) -> list[tuple[Match, Step]]:
        """The steps that were scripted in sequence and never asked for."""
        with self._lock:
            return [(rule.match, step) for rule in self._rules if not rule.repeat for step in rule.left]

    @property
    def unexpected(self) -> list[Call]:
        """The requests that came after their script was used up."""
        return [call for call in self.calls if call.unexpected]

    def reset(self) -> None:
        """Forget rules, journal and counts."""
        with self._lock:
            self._rules.clear()
            self._seen.clear()
            self._calls.clear()


# -- the nonce: it joins what a client got with what the provider was asked ---------------------------

_NONCE = re.compile(r"\bpt-[0-9a-f]{16}\b")
TOKENS = 24  # words in the answer to a nonce


def new_nonce(number: int, seed: int = 0) -> str:
    """Return the nonce of request `number`: `pt-` and 16 hex digits, the same for the same (number, seed)."""
    return f"pt-{seed & 0xFFFFFFFF:08x}{number & 0xFFFFFFFF:08x}"


def find_nonce(text: str) -> str:
    """Return the last nonce in `text`, or "" when there is none."""
    found = _NONCE.findall(text)
    return found[-1] if found else ""


def answer_for(nonce: str) -> str:
    """Return the whole right answer to a prompt with this nonce: numbered words, so that loss shows."""
    return " ".join([f"[{nonce or 'no-nonce'}]", *(f"w{i:02d}" for i in range(TOKENS)), "end."])


def text_of(messages: list[dict[str, Any]]) -> str:
    """Return the text of all messages, one a line; blocks that are not text are left out."""
    return "\n".join(_content_text(message.get("content")) for message in messages)


def _content_text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(block.get("text", "")) for block in content if isinstance(block, dict))
    return ""
