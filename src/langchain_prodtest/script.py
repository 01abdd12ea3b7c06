"""What a model says, what goes wrong, and which comes when.

A `Reply` is what a model says, a `Fault` is what goes wrong; both are data. A `Script` decides
which of them answers a request. In-process fakes and fake providers on the wire render the same Script.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import msgspec

from langchain_prodtest.errors import ScriptError

__all__ = [
    "Call",
    "Fault",
    "Match",
    "Reply",
    "Request",
    "Script",
    "Step",
    "ToolCall",
    "Usage",
    "answer_for",
    "find_nonce",
    "new_nonce",
    "text_of",
]


class ToolCall(msgspec.Struct, frozen=True):
    """A call of the tool `name` that the model asks for; an empty `id` is filled in by the fake."""

    name: str
    args: dict[str, Any] = {}
    id: str = ""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts of one answer; `cached` is a part of `input`, `reasoning` a part of `output`."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0


class Reply(msgspec.Struct, frozen=True):
    """What a model says.

    `finish` is in OpenAI's words (`stop`, `length`, `tool_calls`, `content_filter`), or `refusal`: the text
    says why the model will not answer; empty means it follows from the content. `chunks` is the number of
    pieces a streamed text comes in (None: one a word). `first_token` and `per_chunk` are seconds. `usage`
    None means it is counted.
    """

    text: str = ""
    tool_calls: Sequence[ToolCall] = ()
    usage: Usage | None = None
    reasoning: str = ""
    finish: str = ""
    chunks: int | None = None
    first_token: float = 0.0
    per_chunk: float = 0.0

    def __post_init__(self) -> None:
        if self.first_token < 0 or self.per_chunk < 0:
            raise ScriptError("Reply: first_token and per_chunk are seconds and cannot be negative")
        if self.chunks is not None and self.chunks < 1:
            raise ScriptError(f"Reply: chunks must be at least 1, not {self.chunks}")

    @property
    def finish_reason(self) -> str:
        """The finish reason that is sent: the one given, else what follows from the content."""
        return self.finish or ("tool_calls" if self.tool_calls else "stop")

    def pieces(self) -> list[str]:
        """Cut the text into the pieces in which it is streamed; joined they are the text again."""
        words = re.findall(r"\s*\S+|\s+$", self.text)
        if self.chunks is None or self.chunks >= len(words):
            return words
        size, rest = divmod(len(words), self.chunks)
        sizes = [size + (i < rest) for i in range(self.chunks)]
        ends = [sum(sizes[: i + 1]) for i in range(self.chunks)]
        return ["".join(words[end - n : end]) for end, n in zip(ends, sizes, strict=True)]


How = Literal["refuse", "reset", "eof", "clean_end", "hang", "stall", "drip", "garbage"]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong with one answer.

    Either `status` (the provider answers with an error of that HTTP status) or `how`:

    ========== ==================================================================================
    refuse     the connection is reset as soon as it is accepted; no byte of the request is read
    reset      TCP reset (RST)
    eof        the connection is closed (FIN) though the body is not finished
    clean_end  the body ends as HTTP wants it, but finish reason and terminal marker never came
    hang       no byte is answered; the connection stays open
    stall      as hang, but after the first events
    drip       the whole answer, one byte every `delay` seconds
    garbage    an event that is not JSON, then the answer goes on
    ========== ==================================================================================

    `after` is the number of streamed events sent before it happens (0: before the response head;
    for an answer that is not streamed, bytes of the body count instead of events).
    `delay` is seconds before the fault shows. `retry_after` is sent as given (seconds, date, or nonsense).
    """

    status: int | None = None
    how: How | None = None
    after: int = 0
    delay: float = 0.0
    retry_after: float | str | None = None
    headers: dict[str, str] = {}
    body: str | None = None

    def __post_init__(self) -> None:
        if (self.status is None) == (self.how is None):
            raise ScriptError('Fault: give either status (such as 503) or how (such as "reset")')
        if self.status is not None and not 400 <= self.status <= 599:
            raise ScriptError(f"Fault: status must be 400 to 599, not {self.status}")
        if self.after < 0 or self.delay < 0:
            raise ScriptError("Fault: after and delay cannot be negative")
        if self.how in ("clean_end", "stall") and self.after == 0:
            raise ScriptError(f"Fault: {self.how} happens inside an answer; give after=1 or more")
        if self.how is not None and (self.retry_after is not None or self.body is not None):
            raise ScriptError("Fault: retry_after and body belong to a status")


Step = Reply | Fault


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asked a provider; `received` is Unix time in seconds.

    `attempt` counts from 1: from the client's own retry mark (`attempt_source` "header"), or, where the
    client sends none, the how-manieth request with this digest it is ("digest").
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
    """Which requests a rule is for; an empty field matches everything."""

    provider: str = ""
    operation: str = ""
    model: str = ""
    contains: str = ""

    def accepts(self, request: Request) -> bool:
        """Tell whether every field that is set fits the request; `contains` looks at the messages' text."""
        return (
            self.provider in ("", request.provider)
            and self.operation in ("", request.operation)
            and self.model in ("", request.model)
            and (not self.contains or self.contains in text_of(request.messages))
        )


class _Rule:
    """A sequence of steps for the requests that match; a rule without a sequence end repeats its step.

    Once a `final` sequence is used up, no further request is expected.
    """

    def __init__(
        self, match: Match, steps: Sequence[Step], repeat: bool, until: float | None, final: bool
    ) -> None:
        self.match, self.repeat, self.until, self.final = match, repeat, until, final
        self.left = list(steps)

    def active(self) -> bool:
        return bool(self.left) and (self.until is None or time.monotonic() < self.until)

    def take(self) -> Step:
        return self.left[0] if self.repeat else self.left.pop(0)


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
        self._seen: dict[str, int] = {}
        self._calls: list[Call] = []
        self._next_id = 0

    def add(self, *steps: Step, match: Match | None = None, then_default: bool = False) -> None:
        """Answer the next matching requests with `steps`, one each, in this order.

        Requests after the last step are unexpected, or with `then_default` get the default answer.
        """
        if not steps:
            raise ScriptError("script() needs at least one Reply or Fault")
        for step in steps:
            if not isinstance(step, Reply | Fault):
                raise ScriptError(f"script() takes Reply and Fault, not {type(step).__name__}: {step!r}")
        with self._lock:
            rule = _Rule(match or Match(), steps, repeat=False, until=None, final=not then_default)
            self._rules.append(rule)

    @contextmanager
    def always(self, step: Step, match: Match | None = None, lease: float | None = None) -> Iterator[None]:
        """Answer every matching request with `step` while the block runs, `lease` seconds at most."""
        until = None if lease is None else time.monotonic() + lease
        rule = _Rule(match or Match(), [step], repeat=True, until=until, final=False)
        with self._lock:
            self._rules.append(rule)
        try:
            yield
        finally:
            with self._lock:
                self._rules = [kept for kept in self._rules if kept is not rule]

    def attempt(self, digest: str) -> int:
        """Count a request with this digest and return the how-manieth it is, from 1."""
        with self._lock:
            self._seen[digest] = self._seen.get(digest, 0) + 1
            return self._seen[digest]

    def refuses(self, provider: str) -> bool:
        """Tell whether the next connection for `provider` is to be refused, and use that step up."""
        with self._lock:
            for rule in reversed(self._rules):
                if rule.active() and rule.match in (Match(), Match(provider=provider)):
                    head = rule.left[0]
                    refused = isinstance(head, Fault) and head.how == "refuse"
                    if refused:
                        rule.take()
                    return refused
        return False

    def next(self, request: Request) -> Step | None:
        """Return the step that answers `request`; None when a sequence for it was scripted and is used up."""
        with self._lock:
            exhausted = False
            for rule in reversed(self._rules):
                if rule.match.accepts(request):
                    if rule.active():
                        return rule.take()
                    exhausted = exhausted or rule.final
        return None if exhausted else self.default(request)

    def record(self, call: Call) -> None:
        """Append a finished exchange to the journal; the journal numbers it."""
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
