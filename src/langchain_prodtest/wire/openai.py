"""OpenAI's chat completions API, streamed and whole, and its list of models.

Source: the API reference of `POST /v1/chat/completions` and the types of the `openai` package.
"""

import itertools
import secrets
from typing import Any

import msgspec

from langchain_prodtest.script import Reply, Request, ToolCall, find_nonce, text_of
from langchain_prodtest.wire.codec import Event, Head, Rejected, digest_of, read_object
from langchain_prodtest.wire.tokens import count_usage

__all__ = ["OpenAI"]

_encode = msgspec.json.encode
_PIECE = 4  # characters of a piece of streamed tool-call arguments
_FINGERPRINT = "fp_prodtest"
_KINDS: dict[int, tuple[str, str | None]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", None),
    429: ("requests", "rate_limit_exceeded"),
}


class OpenAI:
    """Codec of OpenAI's chat completions."""

    base = "/v1"
    unscripted = frozenset({"models"})
    stream_type = "text/event-stream; charset=utf-8"
    garbage = b'data: {"choices": [{not json\n\n'

    def __init__(self) -> None:
        self._run = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    def decode(self, head: Head, body: bytes) -> Request:
        """Return the Request; Rejected (404, 400) as OpenAI does it."""
        if head.method == "GET" and head.path.endswith("/models"):
            return Request(
                provider=head.provider, operation="models", headers=head.headers, received=head.received
            )
        if head.method != "POST" or not head.path.endswith("/chat/completions"):
            raise Rejected(404, f"Invalid URL ({head.method} {head.path})")
        fields = _checked(body)
        messages = fields["messages"]
        retries = head.headers.get("x-stainless-retry-count", "")
        return Request(
            provider=head.provider,
            model=fields.get("model") or "",
            messages=messages,
            tools=fields.get("tools") or [],
            stream=bool(fields.get("stream")),
            headers=head.headers,
            body=fields,
            nonce=find_nonce(text_of(messages)),
            digest=digest_of(messages),
            attempt=int(retries) + 1 if retries.isdecimal() else 1,
            attempt_source="header" if retries.isdecimal() else "digest",
            received=head.received,
        )

    def events(self, reply: Reply, request: Request) -> list[Event]:
        """Return role chunk, pieces of text and of tool calls, finish chunk, usage if asked for, `[DONE]`."""
        options = request.body.get("stream_options") or {}
        usage = _usage(reply, request) if options.get("include_usage") else None
        start, end = self._envelope(request, with_usage=usage is not None)

        def chunk(delta: bytes, finish: bytes = b"null") -> bytes:
            choice = b'{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}' % (delta, finish)
            return b'%b"choices":[%b]%b' % (start, choice, end)

        opening = b'{"role":"assistant","content":%b,"refusal":null}' % (
            b"null" if reply.tool_calls and not reply.text else b'""'
        )
        events = [Event(chunk(opening), "open")]
        events += [Event(chunk(b'{"content":%b}' % _encode(piece)), "piece") for piece in reply.pieces()]
        for index, call in enumerate(reply.tool_calls):
            events += [Event(chunk(delta), "piece") for delta in self._deltas(index, call)]
        events.append(Event(chunk(b"{}", _encode(reply.finish_reason)), "end", "finish"))
        if usage is not None:
            events.append(Event(b'%b"choices":[],"usage":%b}\n\n' % (start, _encode(usage)), "end", "usage"))
        events.append(Event(b"data: [DONE]\n\n", "end", "terminal"))
        return events

    def _envelope(self, request: Request, *, with_usage: bool) -> tuple[bytes, bytes]:
        """Return what stands before and after the choices in every chunk of one stream."""
        fields = {
            "id": f"chatcmpl-{self._new_id()}",
            "object": "chat.completion.chunk",
            "created": int(request.received),
            "model": request.model,
            "service_tier": "default",
            "system_fingerprint": _FINGERPRINT,
        }
        return b"data: %b," % _encode(fields)[:-1], b',"usage":null}\n\n' if with_usage else b"}\n\n"

    def _deltas(self, index: int, call: ToolCall) -> list[bytes]:
        first = {"index": index, **self._tool_call(call, arguments="")}
        arguments = _encode(call.args).decode()
        pieces = [arguments[i : i + _PIECE] for i in range(0, len(arguments), _PIECE)]
        return [
            _encode({"tool_calls": [delta]})
            for delta in [first, *({"index": index, "function": {"arguments": piece}} for piece in pieces)]
        ]

    def _tool_call(self, call: ToolCall, arguments: str) -> dict[str, Any]:
        return {
            "id": call.id or f"call_{self._new_id()}",
            "type": "function",
            "function": {"name": call.name, "arguments": arguments},
        }

    def whole(self, reply: Reply, request: Request) -> bytes:
        """Return a `chat.completion` object, or the list of models."""
        if request.operation == "models":
            model = {"id": "prodtest", "object": "model", "created": 0, "owned_by": "prodtest"}
            return _encode({"object": "list", "data": [model]})
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if reply.tool_calls and not reply.text else reply.text,
            "refusal": None,
            "annotations": [],
        }
        if reply.tool_calls:
            message["tool_calls"] = [
                self._tool_call(call, arguments=_encode(call.args).decode()) for call in reply.tool_calls
            ]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
        return _encode(
            {
                "id": f"chatcmpl-{self._new_id()}",
                "object": "chat.completion",
                "created": int(request.received),
                "model": request.model,
                "choices": [choice],
                "usage": _usage(reply, request),
                "service_tier": "default",
                "system_fingerprint": _FINGERPRINT,
            }
        )

    def error(self, status: int, message: str) -> bytes:
        """Return `{"error": {...}}` with the type and code that OpenAI uses for this status."""
        kind, code = _KINDS.get(status, ("invalid_request_error" if status < 500 else "server_error", None))
        return _encode({"error": {"message": message, "type": kind, "param": None, "code": code}})

    def error_event(self, status: int, message: str) -> bytes:
        """Return the error as an event of a stream that has begun."""
        return b"data: %b\n\n" % self.error(status, message)

    def headers(self) -> dict[str, str]:
        """Return the request id and the API's version."""
        return {"x-request-id": f"req_{self._new_id()}", "openai-version": "2020-10-01"}

    def answer_headers(self, reply: Reply, request: Request) -> dict[str, str]:
        """Return none: the body says it all."""
        return {}

    def error_headers(self, status: int) -> dict[str, str]:
        """Return none: the body says it all."""
        return {}

    def _new_id(self) -> str:
        return f"{self._run}{next(self._numbers):012x}"


def _checked(body: bytes) -> dict[str, Any]:
    """Return the fields of a request body; Rejected says which one is wrong."""
    fields = read_object(body)
    if not isinstance(fields.get("model"), str | None):
        raise Rejected(400, "Invalid type for 'model': expected a string.")
    messages = fields.get("messages")
    if not _is_objects(messages) or not messages:
        raise Rejected(400, "Invalid type for 'messages': expected an array of objects, with at least one.")
    if not all(isinstance(message.get("role"), str) for message in messages):
        raise Rejected(400, "Missing required parameter: 'messages[].role'.")
    if fields.get("tools") is not None and not _is_objects(fields["tools"]):
        raise Rejected(400, "Invalid type for 'tools': expected an array of objects.")
    if not isinstance(fields.get("stream_options"), dict | None):
        raise Rejected(400, "Invalid type for 'stream_options': expected an object.")
    return fields


def _is_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _usage(reply: Reply, request: Request) -> dict[str, Any]:
    usage = count_usage(reply, request)
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
