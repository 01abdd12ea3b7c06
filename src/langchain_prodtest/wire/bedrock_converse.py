"""The bodies and events of Bedrock's Converse, which speaks to every model in the same words."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from langchain_prodtest.script import Reply, Request, ToolCall
from langchain_prodtest.wire import eventstream
from langchain_prodtest.wire.codec import Event, Rejected, cut_arguments, lacking
from langchain_prodtest.wire.tokens import count_usage

__all__ = ["events", "latency", "read", "whole"]

_Fields = dict[str, Any]
_encode = msgspec.json.encode
_PATHS = "additionalModelResponseFieldPaths"
_STOP_REASONS = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "content_filter": "content_filtered",
}


# -- requests ---------------------------------------------------------------------------------------------


def read(fields: _Fields) -> tuple[list[_Fields], list[_Fields]]:
    """Return the messages and the tools; Rejected (400) says what is wrong.

    The system prompt and each tool result are messages of their own.
    """
    system: Any = fields.get("system") or []
    messages: Any = fields.get("messages")
    _require(_is_objects(system), "system must be an array of objects.")
    _require(_is_objects(messages) and bool(messages), "messages must be an array of objects, at least one.")
    for message in messages:
        _require(message.get("role") in ("user", "assistant"), "messages[].role must be user or assistant.")
        _require(_is_objects(message.get("content")), "messages[].content must be an array of objects.")
    _require(messages[0]["role"] == "user", "A conversation must start with a user message.")
    _require(isinstance(fields.get(_PATHS) or [], list), f"{_PATHS} must be an array.")
    tools = _tools(fields["toolConfig"]) if fields.get("toolConfig") is not None else []
    used = any("toolUse" in block or "toolResult" in block for m in messages for block in m["content"])
    _require(
        bool(tools) or not used,
        "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
    )
    first = [{"role": "system", "content": system}] if system else []
    return [*first, *(part for message in messages for part in _parted(message))], tools


def _parted(message: _Fields) -> Iterator[_Fields]:
    """Yield the tool results of a message, then the rest of it."""
    rest = []
    for block in message["content"]:
        result = block.get("toolResult")
        if isinstance(result, dict):
            yield {"role": "tool", "tool_call_id": result.get("toolUseId"), "content": result.get("content")}
        else:
            rest.append(block)
    if rest or not message["content"]:
        yield {**message, "content": rest}


def _tools(config: Any) -> list[_Fields]:
    tools = config.get("tools") if isinstance(config, dict) else None
    _require(
        _is_objects(tools) and bool(tools), "toolConfig.tools must be an array of objects, at least one."
    )
    return tools or []


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise Rejected(400, message)


def _is_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


# -- answers ----------------------------------------------------------------------------------------------


def whole(reply: Reply, request: Request, new_id: Callable[[], str]) -> bytes:
    """Return a `ConverseResponse`."""
    content: list[_Fields] = []
    if reply.reasoning:
        content.append({"reasoningContent": {"reasoningText": _signed(reply.reasoning)}})
    if reply.text:
        content.append({"text": reply.text})
    content += [{"toolUse": {**_named(call, new_id), "input": call.args}} for call in reply.tool_calls]
    message = {"role": "assistant", "content": content}
    return _encode({"output": {"message": message}, **_stop(reply, request), **_metadata(reply, request)})


def events(reply: Reply, request: Request, new_id: Callable[[], str]) -> list[Event]:
    """Return messageStart, start, deltas and stop of each content block, messageStop, and metadata."""
    events = [Event(_frame("messageStart", {"role": "assistant"}), "open")]
    for index, (start, deltas) in enumerate(_streamed(reply, new_id)):
        place = {"contentBlockIndex": index}
        if start:
            events.append(Event(_frame("contentBlockStart", {"start": start, **place}), "open"))
        events += [Event(_frame("contentBlockDelta", {"delta": delta, **place}), "piece") for delta in deltas]
        events.append(Event(_frame("contentBlockStop", place), "open"))
    stop = _stop(reply, request)
    unfinished = _frame("messageStop", lacking(stop, "stopReason"))
    events.append(Event(_frame("messageStop", stop), "end", {"terminal": b"", "finish": unfinished}))
    events.append(Event(_frame("metadata", _metadata(reply, request)), "end", {"usage": b""}))
    return events


def _frame(kind: str, fields: _Fields) -> bytes:
    return eventstream.event(kind, _encode(fields))


def _streamed(reply: Reply, new_id: Callable[[], str]) -> Iterator[tuple[_Fields, list[_Fields]]]:
    """Yield how each block starts (only tool calls say that), and the deltas that fill it."""
    if reply.reasoning:
        signed = _signed(reply.reasoning)
        parts = [{"text": piece} for piece in Reply(reply.reasoning).pieces()]
        yield {}, [{"reasoningContent": part} for part in [*parts, {"signature": signed["signature"]}]]
    if reply.text:
        yield {}, [{"text": piece} for piece in reply.pieces()]
    for call in reply.tool_calls:
        pieces = cut_arguments(_encode(call.args).decode())
        yield {"toolUse": _named(call, new_id)}, [{"toolUse": {"input": piece}} for piece in pieces]


def _signed(reasoning: str) -> _Fields:
    return {"text": reasoning, "signature": "cHJvZHRlc3Q="}


def _named(call: ToolCall, new_id: Callable[[], str]) -> _Fields:
    return {"toolUseId": call.id or f"tooluse_{new_id()}", "name": call.name}


def _stop(reply: Reply, request: Request) -> _Fields:
    """Return the stop reason, and the model's own count of thinking tokens if the request asks for it."""
    stop: _Fields = {"stopReason": _STOP_REASONS.get(reply.finish_reason, reply.finish_reason)}
    if "/usage" in (request.body.get(_PATHS) or ()):
        thinking = {"thinking_tokens": count_usage(reply, request).reasoning}
        stop["additionalModelResponseFields"] = {"usage": {"output_tokens_details": thinking}}
    return stop


def _metadata(reply: Reply, request: Request) -> _Fields:
    """Return token counts, where what was read from the cache is not a part of the input, and the latency."""
    usage = count_usage(reply, request)
    return {
        "usage": {
            "inputTokens": usage.input - usage.cached,
            "outputTokens": usage.output,
            "totalTokens": usage.input + usage.output,
            "cacheReadInputTokens": usage.cached,
            "cacheWriteInputTokens": 0,
        },
        "metrics": {"latencyMs": latency(reply)},
    }


def latency(reply: Reply) -> int:
    """Return the milliseconds that the model takes to say `reply`, at least one."""
    if not (reply.first_token or reply.per_chunk):
        return 1
    return max(1, round(1000 * (reply.first_token + reply.per_chunk * len(reply.pieces()))))
