"""Assertions on Calls, for fakes in the process and on the wire alike.

`from langchain_prodtest import expect`, then `expect.retries(calls, at_most=2)`. Each raises AssertionError
with what happened, what was expected, and the calls. Tool calls and tokens are read from LangChain's
messages too.
"""

import json
import textwrap
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NoReturn, Protocol

import msgspec

from langchain_prodtest.errors import UsageError
from langchain_prodtest.script import Call, Request, ToolCall

__all__ = [
    "Price",
    "amplification",
    "closed_upstream",
    "concurrency",
    "cost",
    "interrupts",
    "peak",
    "provider_calls",
    "retries",
    "said_once",
    "structured",
    "tokens",
    "tool_calls",
    "tool_calls_in",
    "within",
]

SETTLE = 5.0  # seconds for a provider's side to end after its client has left
HEAD = 24  # characters at the start of a text that must not come again


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a million tokens of a model cost; `cached` input costs as other input unless it is given."""

    input: float
    output: float
    cached: float | None = None

    def of(self, usage: Mapping[str, Any]) -> float:
        """Return the price of a message's usage_metadata."""
        cached: int = (usage.get("input_token_details") or {}).get("cache_read", 0)
        rate = self.input if self.cached is None else self.cached
        fresh: int = usage["input_tokens"] - cached
        output: int = usage["output_tokens"]
        return (fresh * self.input + cached * rate + output * self.output) / 1e6


class Provided(Protocol):
    """What `fake_providers` and its members show."""

    @property
    def calls(self) -> list[Call]:
        """The finished calls."""

    @property
    def open(self) -> list[Request]:
        """The requests that are being answered now."""


def tool_calls(
    source: Iterable[Any],
    *expected: ToolCall | str,
    match: Literal["strict", "subset", "unordered"] = "strict",
) -> None:
    """Assert which tools the model called, in Calls or in LangChain's messages.

    A name stands for any arguments. `strict`: these, in this order, and no others; `unordered`: these and no
    others; `subset`: at least these, in any order. Ids are not compared.
    """
    __tracebackhide__ = True
    if match not in ("strict", "subset", "unordered"):
        raise UsageError(f'match is "strict", "subset" or "unordered", not {match!r}')
    seen = tool_calls_in(source)
    left, missing = list(seen), []
    for wanted in expected:
        found = next((call for call in left if _fits(call, wanted)), None)
        if found is None:
            missing.append(wanted)
        else:
            left.remove(found)
    in_order = len(seen) == len(expected) and all(map(_fits, seen, expected))
    if missing or (left and match != "subset") or (match == "strict" and not in_order):
        _fail(
            f"The model called {_written(seen)}",
            f"{_written(expected)} ({match})",
            *([f"missing: {_written(missing)}"] if missing else []),
            *([f"not expected: {_written(left)}"] if left and match != "subset" else []),
            *(["the order differs"] if not missing and not left else []),
        )


def tool_calls_in(source: Iterable[Any]) -> list[ToolCall]:
    """Return the tool calls of Calls, or of LangChain's messages, oldest first, each once by its id.

    In Calls they are in the messages that were sent on: a call that was never answered is not there.
    """
    found: dict[Any, ToolCall] = {}
    for item in source:
        for message in item.messages if isinstance(item, Request) else [item]:
            for call in _called(message):
                found.setdefault(call.id or (call.name, json.dumps(call.args, default=str)), call)
    return list(found.values())


def provider_calls(calls: Sequence[Call], count: int | None = None, *, at_most: int | None = None) -> None:
    """Assert how many requests the provider got."""
    __tracebackhide__ = True
    if (count is not None and len(calls) != count) or (at_most is not None and len(calls) > at_most):
        wanted = f"{count}" if count is not None else f"at most {at_most}"
        _fail(f"The provider got {len(calls)} requests", wanted, *_listed(calls))


def retries(calls: Sequence[Call], *, at_most: int) -> None:
    """Assert how many requests, in all, only repeated an earlier one."""
    __tracebackhide__ = True
    repeated = len(calls) - len(_model_calls(calls))
    if repeated > at_most:
        _fail(f"{repeated} requests were repeated ones", f"at most {at_most}", *_listed(calls))


def amplification(calls: Sequence[Call], *, at_most: float) -> None:
    """Assert how many requests any one model call became; a model call is one conversation that is sent."""
    __tracebackhide__ = True
    counted = _model_calls(calls)
    worst = max(counted.values(), default=0)
    if worst > at_most:
        _fail(
            f"One model call became {worst} requests", f"at most {at_most:g}", *_listed(calls),
            "Keep one retry layer: max_retries=0 on the model, or drop the other.",
        )  # fmt: skip


def concurrency(calls: Sequence[Call], *, at_most: int) -> None:
    """Assert how many requests were open at once."""
    __tracebackhide__ = True
    most = peak(calls)
    if most > at_most:
        _fail(f"{most} requests were open at once", f"at most {at_most}", *_listed(calls))


def peak(calls: Iterable[Call]) -> int:
    """Return the most calls that were open at once."""
    changes = sorted(change for call in calls for change in ((call.received, 1), (call.ended, -1)))
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def closed_upstream(provider: Provided) -> None:
    """Assert that the last request was ended by its client, as when a user leaves; wait SETTLE s for that."""
    __tracebackhide__ = True
    ends = time.monotonic() + SETTLE
    while provider.open and time.monotonic() < ends:
        time.sleep(0.01)
    if provider.open:
        _fail(f"A request was still open {SETTLE:g} s later", "that its client closes it")
    last = provider.calls[-1] if provider.calls else None
    if last is None or last.closed_by != "client":
        by = f"by the {last.closed_by}" if last else "by nobody: there was none"
        _fail(f"The last request was ended {by}", "by the client", *_listed(provider.calls))


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Assert that the block ends, well or not, within `seconds`; it is not interrupted."""
    __tracebackhide__ = True
    started = time.monotonic()
    try:
        yield
    finally:
        took = time.monotonic() - started
        if took > seconds:
            _fail(f"It took {took:.2f} s", f"at most {seconds:g} s")


def said_once(text: str) -> None:
    """Assert that a text does not begin again in its middle, as after a retried stream."""
    __tracebackhide__ = True
    head = text.strip()[:HEAD]
    again = text.find(head, text.find(head) + 1) if len(head) == HEAD else -1
    if again >= 0:
        _fail(f"The text begins again at character {again}: {text[: again + HEAD]!r}", "each part once")


def tokens(messages: Iterable[Any], *, at_most: int) -> None:
    """Assert how many tokens the model's messages report, input and output together.

    A message without usage fails: what is not reported cannot be held below anything.
    """
    __tracebackhide__ = True
    total = sum(message.usage_metadata["total_tokens"] for message in _reported(messages))
    if total > at_most:
        _fail(f"{total} tokens were used", f"at most {at_most}")


def cost(messages: Iterable[Any], prices: Mapping[str, Price], *, at_most: float) -> None:
    """Assert what the model's messages cost by your price list, in its currency.

    A Price is for a million tokens. A model's name is that of the message (`model_name`, `model`), or its
    longest beginning in `prices`, so that a dated version has its family's price. A message without usage
    or without a price fails.
    """
    __tracebackhide__ = True
    lines, total = [], 0.0
    for message in _reported(messages):
        told = message.response_metadata
        name = str(told.get("model_name") or told.get("model") or "")
        known = max((model for model in prices if name.startswith(model)), key=len, default=None)
        if known is None:
            _fail(f"There is no price for the model {name!r}", f"one of {', '.join(prices) or 'none'}")
        spent = prices[known].of(message.usage_metadata)
        total += spent
        lines.append(f"  {name}: {spent:.6f} for {message.usage_metadata['total_tokens']} tokens")
    if total > at_most:
        _fail(f"It cost {total:.6f}", f"at most {at_most:g}", *lines)


def structured(answer: Any, schema: type, **fields: Any) -> None:
    """Assert that a structured answer is a `schema`, with these fields; others may be anything.

    The answer is an agent's state (its `structured_response`), or what a model with structured output
    returned. Of a TypedDict the required keys must be there.
    """
    __tracebackhide__ = True
    found = answer.get("structured_response", answer) if isinstance(answer, Mapping) else answer
    needed = getattr(schema, "__required_keys__", None)
    if needed is None:
        is_one = isinstance(found, schema)
        values = {name: getattr(found, name, None) for name in fields}
    else:
        is_one = isinstance(found, Mapping) and needed <= set(found)
        values = dict(found) if is_one else {}
    if not is_one:
        _fail(f"The answer is {_short(found)}", f"a {schema.__name__}")
    wrong = {name: values.get(name) for name, wanted in fields.items() if values.get(name) != wanted}
    if wrong:
        told = [f"{name} is {value!r}, not {fields[name]!r}" for name, value in wrong.items()]
        _fail(f"The answer is {_short(found)}", f"a {schema.__name__} with other values", *told)


def interrupts(state: Any, *expected: Any) -> None:
    """Assert for what a graph stopped to be told: the values of its interrupts, in order.

    `state` is what `invoke` returned, or `graph.get_state(config)`. Of an expected dict only its own keys
    are compared; `...` stands for any value.
    """
    __tracebackhide__ = True
    raised = state.get("__interrupt__", ()) if isinstance(state, Mapping) else state.interrupts
    values = [interrupt.value for interrupt in raised]
    if len(values) != len(expected) or not all(map(_holds, values, expected)):
        told = ", ".join(map(_short, values)) or "nothing"
        _fail(f"The graph stopped for {told}", ", ".join(map(_short, expected)) or "no interrupt")


def _holds(value: Any, wanted: Any) -> bool:
    if wanted is ...:
        return True
    if isinstance(wanted, Mapping) and isinstance(value, Mapping):
        return all(name in value and _holds(value[name], inner) for name, inner in wanted.items())
    if isinstance(wanted, list) and isinstance(value, list):
        return len(wanted) == len(value) and all(map(_holds, value, wanted))
    return bool(value == wanted)


def _short(value: Any) -> str:
    return "..." if value is ... else textwrap.shorten(repr(value), 200, placeholder=" ...")


def _reported(messages: Iterable[Any]) -> list[Any]:
    """Return the model's messages, all of which report usage."""
    __tracebackhide__ = True
    said = [message for message in messages if getattr(message, "type", "") in ("ai", "AIMessageChunk")]
    silent = [message for message in said if not message.usage_metadata]
    if silent:
        _fail(f"{len(silent)} of {len(said)} messages report no usage", "usage in each (stream_usage=True)")
    return said


def _model_calls(calls: Sequence[Call]) -> Counter[tuple[str, str]]:
    return Counter((call.nonce, call.digest) for call in calls)


def _fits(call: ToolCall, wanted: ToolCall | str) -> bool:
    if isinstance(wanted, str):
        return call.name == wanted
    return (call.name, call.args) == (wanted.name, wanted.args)


def _called(message: Any) -> Iterator[ToolCall]:
    """Yield the tool calls in one message, LangChain's or in a provider's shape."""
    if not isinstance(message, dict):
        for call in getattr(message, "tool_calls", ()):
            yield ToolCall(call["name"], call["args"], call["id"] or "")
        return
    for call in message.get("tool_calls") or ():
        yield _named(call.get("function", call), call.get("id", ""))
    content = message.get("content") or message.get("parts")
    for block in content if isinstance(content, list) else ():
        if block.get("type") == "tool_use":
            yield _named(block, block["id"])
        elif "toolUse" in block:
            yield _named(block["toolUse"], block["toolUse"]["toolUseId"])
        elif "functionCall" in block:
            yield _named(block["functionCall"], block["functionCall"].get("id", ""))


def _named(call: dict[str, Any], call_id: str) -> ToolCall:
    given = call.get("arguments", call.get("input", call.get("args", {})))
    return ToolCall(call["name"], json.loads(given) if isinstance(given, str) else given, call_id or "")


def _written(calls: Iterable[ToolCall | str]) -> str:
    return ", ".join(c if isinstance(c, str) else f"{c.name}({json.dumps(c.args)})" for c in calls) or "none"


def _listed(calls: Iterable[Call]) -> list[str]:
    return [
        f"  {call.provider} {call.operation}, model {call.model!r}, attempt {call.attempt}: "
        f"{call.status or 'no status'}, closed by {call.closed_by or 'nobody'}"
        for call in calls
    ]


def _fail(what: str, expected: str, *more: str) -> NoReturn:
    __tracebackhide__ = True
    raise AssertionError("\n".join([f"{what}.", f"  Expected: {expected}.", *(f"  {line}" for line in more)]))
