"""Anthropic's messages API, streamed and whole, and its token counts.

Source: the API reference of `POST /v1/messages` and the types of the `anthropic` package.
"""

import secrets
from base64 import b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Literal

import msgspec

from langchain_prodtest.measure import now
from langchain_prodtest.script import Reply, Request, ToolCall
from langchain_prodtest.steps import What
from langchain_prodtest.wire.codec import Event, Head, Rejected, asked, cut_arguments, lacking
from langchain_prodtest.wire.tokens import count_usage

__all__ = ["Anthropic", "message", "normalised", "stream"]

_Fields = dict[str, Any]

_encode = msgspec.json.encode
_read = msgspec.json.Decoder(_Fields).decode
_ROUTES = {"/v1/messages": "chat", "/v1/messages/count_tokens": "count_tokens"}
_STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_KINDS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_REQUIRED: dict[str, dict[str, tuple[type, str]]] = {
    "chat": {"model": (str, "string"), "messages": (list, "array"), "max_tokens": (int, "integer")},
    "count_tokens": {"model": (str, "string"), "messages": (list, "array")},
}
_NOT_STOPPED = {"stop_reason": None, "stop_sequence": None, "stop_details": None}
_CACHE_CREATION = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
_LIMITS = {"requests": 4_000, "tokens": 2_400_000, "input-tokens": 2_000_000, "output-tokens": 400_000}
_PING = b'event: ping\ndata: {"type": "ping"}\n\n'


class Anthropic:
    """Codec of Anthropic's messages. Keys are accepted as `x-api-key` and as bearer token."""

    base = ""
    routes = tuple(f"POST {route}" for route in _ROUTES)
    unscripted = frozenset({"count_tokens"})
    stream_type = "text/event-stream; charset=utf-8"
    garbage = b'event: content_block_delta\ndata: {"type":"content_block_delta",{not json\n\n'

    def decode(self, head: Head, body: bytes) -> Request:
        """Return the Request: the system prompt and each tool result as messages of their own.

        Rejected (404, 405, 400) as Anthropic does it, also for tool calls and results that are no pairs.
        """
        operation = _ROUTES.get(head.path)
        if operation is None:
            raise Rejected(404, f"Not Found: {head.method} {head.path}")
        if head.method != "POST":
            raise Rejected(405, "Method Not Allowed")
        if "anthropic-version" not in head.headers:
            raise Rejected(400, "anthropic-version: header is required")
        fields = _checked(body, operation)
        messages = normalised(fields)
        return asked(
            head,
            operation,
            fields,
            messages,
            model=fields["model"],
            tools=fields.get("tools") or [],
            stream=operation == "chat" and bool(fields.get("stream")),
        )

    def events(self, reply: Reply, request: Request) -> list[Event]:
        """Return the events of `stream` as server-sent events, and a ping after the first."""
        first, *events = [
            Event(_sse(fields), kind, {what: _sse(left) if left else b"" for what, left in without.items()})
            for fields, kind, without in stream(reply, request)
        ]
        return [first, Event(_PING, "open"), *events]

    def whole(self, reply: Reply, request: Request) -> bytes:
        """Return a `message` object, or the count of the input's tokens."""
        if request.operation == "count_tokens":
            return _encode({"input_tokens": count_usage(Reply(), request).input})
        return _encode(message(reply, request))

    def error(self, status: int, message: str, headers: Mapping[str, str]) -> bytes:
        """Return the error in Anthropic's shape, with the type that it uses for this status."""
        return _encode({**_error(status, message), "request_id": headers.get("request-id")})

    def error_event(self, status: int, message: str, request: Request, number: int) -> bytes:
        """Return the error as an event of a stream that has begun."""
        return b"event: error\ndata: %b\n\n" % _encode(_error(status, message))

    def headers(self) -> dict[str, str]:
        """Return the request id, the organization, and rate limits of which nothing has been used."""
        reset = datetime.fromtimestamp(int(now()), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        headers = {"request-id": _new_id("req"), "anthropic-organization-id": "prodtest"}
        for name, limit in _LIMITS.items():
            headers[f"anthropic-ratelimit-{name}-limit"] = str(limit)
            headers[f"anthropic-ratelimit-{name}-remaining"] = str(limit)
            headers[f"anthropic-ratelimit-{name}-reset"] = reset
        return headers

    def answer_headers(self, reply: Reply, request: Request) -> dict[str, str]:
        """Return none: the body says it all."""
        return {}

    def error_headers(self, status: int) -> dict[str, str]:
        """Return, for a 429, that no request is left."""
        return {"anthropic-ratelimit-requests-remaining": "0"} if status == 429 else {}


# -- requests ---------------------------------------------------------------------------------------------


def _checked(body: bytes, operation: str) -> _Fields:
    """Return the fields of a request body; Rejected says which one is wrong."""
    try:
        fields = _read(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Rejected(400, f"The request body is not valid JSON: {error}") from None
    for name, (kind, noun) in _REQUIRED[operation].items():
        if name not in fields:
            raise Rejected(400, f"{name}: Field required")
        if not isinstance(fields[name], kind):
            raise Rejected(400, f"{name}: Input should be a valid {noun}")
    if operation == "chat" and fields["max_tokens"] < 1:
        raise Rejected(400, "max_tokens: must be greater than or equal to 1")
    if not (isinstance(fields.get("system") or "", str) or _is_objects(fields["system"])):
        raise Rejected(400, "system: Input should be a valid string or array of blocks")
    for name in ("messages", "tools"):
        if not _is_objects(fields.get(name) or []):
            raise Rejected(400, f"{name}: Input should be a valid array of objects")
    if not isinstance(fields.get("stop_sequences"), list | None):
        raise Rejected(400, "stop_sequences: Input should be a valid array")
    if not fields["messages"]:
        raise Rejected(400, "messages: at least one message is required")
    for place, said in enumerate(fields["messages"]):
        _check_message(place, said, last=place == len(fields["messages"]) - 1)
    _check_pairs(fields["messages"])
    return fields


def _check_message(place: int, said: _Fields, *, last: bool) -> None:
    role, content = said.get("role"), said.get("content")
    if role not in ("user", "assistant", "system"):
        allowed = 'Allowed roles are "user" or "assistant"'
        raise Rejected(400, f'messages: Unexpected role "{role}". {allowed}')
    if not (isinstance(content, str) or _is_objects(content)):
        raise Rejected(400, f"messages.{place}.content: Input should be a valid string or array of blocks")
    if not content and not (last and role == "assistant"):
        allowed = "except for the optional final assistant message"
        raise Rejected(400, f"messages.{place}: all messages must have non-empty content {allowed}")


def _check_pairs(messages: list[_Fields]) -> None:
    """Hold tool calls and results together: each call is answered in the next message, and nowhere else."""
    asked: set[str] = set()
    for place, said in enumerate(messages):
        given = _ids(said, "tool_result", "tool_use_id")
        if missing := asked - given:
            raise Rejected(
                400,
                f"messages.{place - 1}: `tool_use` ids were found without `tool_result` blocks immediately "
                f"after: {', '.join(sorted(missing))}. Each `tool_use` block must have a corresponding "
                "`tool_result` block in the next message.",
            )
        if foreign := given - asked:
            raise Rejected(
                400,
                f"messages.{place}: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{', '.join(sorted(foreign))}. Each `tool_result` block must have a corresponding "
                "`tool_use` block in the previous message.",
            )
        asked = _ids(said, "tool_use", "id")


def _ids(said: _Fields, kind: str, name: str) -> set[str]:
    content = said["content"]
    if isinstance(content, str):
        return set()
    return {str(block.get(name)) for block in content if block.get("type") == kind}


def _is_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def normalised(fields: _Fields) -> list[_Fields]:
    """Return the messages of a body with all text where it is looked for.

    The system prompt comes first, as a message; each tool result becomes a message of the role `tool`.
    """
    messages = [{"role": "system", "content": fields["system"]}] if fields.get("system") else []
    for said in fields["messages"]:
        blocks = said["content"] if isinstance(said["content"], list) else []
        results = [block for block in blocks if block.get("type") == "tool_result"]
        for result in results:
            identity, content = result.get("tool_use_id"), result.get("content")
            messages.append({"role": "tool", "tool_call_id": identity, "content": content})
        rest = [block for block in blocks if block.get("type") != "tool_result"]
        if rest or not results:
            messages.append({**said, "content": rest} if results else said)
    return messages


# -- answers ----------------------------------------------------------------------------------------------


def message(reply: Reply, request: Request) -> _Fields:
    """Return the whole answer as a `message` object."""
    return {**_envelope(request, _content(reply), _usage(reply, request)), **_stopped(reply, request)}


def stream(
    reply: Reply, request: Request
) -> Iterator[tuple[_Fields, Literal["open", "piece", "end"], dict[What, _Fields]]]:
    """Yield message_start, the events of each block, message_delta with all usage, and message_stop.

    Each with the kind of Event that it is, and what is left of it without finish reason, usage or marker.
    """
    usage = _usage(reply, request)
    opening = {**_envelope(request, [], {**usage, "output_tokens": 1}), **_NOT_STOPPED}
    yield _start(opening), "open", {"usage": _start(lacking(opening, "usage"))}
    for index, (block, deltas) in enumerate(_blocks(reply)):
        yield {"type": "content_block_start", "index": index, "content_block": block}, "open", {}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}, "piece", {}
        yield {"type": "content_block_stop", "index": index}, "open", {}
    last = {"type": "message_delta", "delta": _stopped(reply, request), "usage": usage}
    yield last, "end", {"finish": {**last, "delta": _NOT_STOPPED}, "usage": lacking(last, "usage")}
    yield {"type": "message_stop"}, "end", {"terminal": {}}


def _start(message: _Fields) -> _Fields:
    return {"type": "message_start", "message": message}


def _envelope(request: Request, content: list[_Fields], usage: _Fields) -> _Fields:
    return {
        "model": request.model,
        "id": _new_id("msg"),
        "type": "message",
        "role": "assistant",
        "content": content,
        "usage": {**usage, "cache_creation": _CACHE_CREATION, "service_tier": "standard"},
    }


def _usage(reply: Reply, request: Request) -> _Fields:
    """Return the token counts; what was read from the cache is not a part of `input_tokens` here."""
    usage = count_usage(reply, request)
    return {
        "input_tokens": usage.input - usage.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }


def _stopped(reply: Reply, request: Request) -> _Fields:
    reason = _STOP.get(reply.finish_reason, reply.finish_reason)
    sequences = request.body.get("stop_sequences")
    refusal = {"type": "refusal", "category": None, "explanation": None}
    return {
        "stop_reason": reason,
        "stop_sequence": sequences[0] if reason == "stop_sequence" and sequences else None,
        "stop_details": refusal if reason == "refusal" else None,
    }


def _content(reply: Reply) -> list[_Fields]:
    """Return the blocks of the whole answer: thinking, text, tool calls."""
    blocks: list[_Fields] = []
    if reply.reasoning:
        signature = _signature(reply.reasoning)
        blocks.append({"type": "thinking", "thinking": reply.reasoning, "signature": signature})
    if reply.text:
        blocks.append({"type": "text", "text": reply.text})
    return [*blocks, *(_tool_use(call, call.args) for call in reply.tool_calls)]


def _blocks(reply: Reply) -> Iterator[tuple[_Fields, list[_Fields]]]:
    """Yield each block as it starts, and the deltas that fill it."""
    if reply.reasoning:
        thoughts = [
            {"type": "thinking_delta", "thinking": piece} for piece in Reply(reply.reasoning).pieces()
        ]
        signature = {"type": "signature_delta", "signature": _signature(reply.reasoning)}
        yield {"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, signature]
    if reply.text:
        yield (
            {"type": "text", "text": ""},
            [{"type": "text_delta", "text": piece} for piece in reply.pieces()],
        )
    for call in reply.tool_calls:
        arguments = _encode(call.args).decode()
        pieces = ["", *cut_arguments(arguments)]
        yield (
            _tool_use(call, {}),
            [{"type": "input_json_delta", "partial_json": piece} for piece in pieces],
        )


def _tool_use(call: ToolCall, arguments: _Fields) -> _Fields:
    return {"type": "tool_use", "id": call.id or _new_id("toolu"), "name": call.name, "input": arguments}


def _signature(reasoning: str) -> str:
    return b64encode(blake2b(reasoning.encode()).digest()).decode()


def _error(status: int, message: str) -> _Fields:
    kind = _KINDS.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}}


def _sse(fields: _Fields) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (fields["type"].encode(), _encode(fields))


def _new_id(prefix: str) -> str:
    return f"{prefix}_01{secrets.token_hex(11)}"
