"""Google's Gemini API: content generated whole and streamed, embeddings, token counts, and its models.

Source: the REST reference of `v1beta/models` and the types of the `google-genai` package.
"""

import itertools
import re
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from langchain_prodtest.script import Reply, Request, ToolCall, Usage, text_of
from langchain_prodtest.vectors import embed
from langchain_prodtest.wire.codec import Event, Head, Rejected, asked, lacking, read_object
from langchain_prodtest.wire.tokens import count_usage, so_far

__all__ = ["Gemini"]

_encode = msgspec.json.encode
_ROUTE = re.compile(r"/v1(?:alpha|beta)?/models(?:/([^/:]+))?(?::([A-Za-z]+))?")
_OPERATIONS = {
    "generateContent": "chat",
    "streamGenerateContent": "chat",
    "embedContent": "embeddings",
    "batchEmbedContents": "embeddings",
    "countTokens": "count_tokens",
}
_FINISH = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "refusal": "STOP",
}
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_Fields = dict[str, Any]


class Gemini:
    """Codec of the Gemini API; whether an answer is streamed is decided by the path, never by the body."""

    base = ""
    routes = (
        *(f"POST /v1beta/models/{{model}}:{method}" for method in _OPERATIONS),
        *("GET /v1beta/models", "GET /v1beta/models/{model}"),
    )
    unscripted = frozenset({"models", "count_tokens"})
    stream_type = "text/event-stream"
    garbage = b'data: {"candidates": [{not json\r\n\r\n'

    def __init__(self) -> None:
        self._run = secrets.token_urlsafe(6)
        self._numbers = itertools.count(1)

    def decode(self, head: Head, body: bytes) -> Request:
        """Return the Request, its messages and tools in the shape that other providers have them.

        Rejected (404, 400) as Gemini does it.
        """
        route = _ROUTE.fullmatch(head.path)
        method = route[2] if route else None
        if route and head.method == "GET" and not method:
            return Request(
                provider=head.provider,
                operation="models",
                model=route[1] or "",
                headers=head.headers,
                received=head.received,
            )
        if not route or head.method != "POST" or not route[1] or method not in _OPERATIONS:
            raise Rejected(404, f"{head.method} {head.path} is not found for API version v1beta.")
        fields = read_object(body)
        messages = _messages(method, fields)
        if method in ("embedContent", "batchEmbedContents"):
            _dimensions(fields, route[1])
        return asked(
            head,
            _OPERATIONS[method],
            fields,
            messages,
            model=route[1],
            tools=_tools(fields),
            stream=method == "streamGenerateContent",
        )

    def events(self, reply: Reply, request: Request) -> list[Event]:
        """Return a response for each part of the answer, all with usage so far, and one with the reason."""
        usage = count_usage(reply, request)
        identity = self._new_id()
        parts = self._parts(reply, reply.pieces())
        events = []
        for number, part in enumerate(parts, 1):
            said = _response(identity, request, [part], so_far(usage, number, len(parts) + 1))
            events.append(Event(_sse(said), "piece", {"usage": _sse(lacking(said, "usageMetadata"))}))
        last = _response(identity, request, [{"text": ""}], usage, reply.finish_reason)
        unfinished = _response(identity, request, [{"text": ""}], usage)
        uncounted = lacking(last, "usageMetadata")
        return [*events, Event(_sse(last), "end", {"finish": _sse(unfinished), "usage": _sse(uncounted)})]

    def _parts(self, reply: Reply, texts: list[str]) -> list[_Fields]:
        thoughts = [{"text": reply.reasoning, "thought": True}] if reply.reasoning else []
        calls = [{"functionCall": self._function_call(call)} for call in reply.tool_calls]
        return [*thoughts, *({"text": text} for text in texts), *calls]

    def _function_call(self, call: ToolCall) -> _Fields:
        return {"name": call.name, "args": call.args, "id": call.id or self._new_id()}

    def whole(self, reply: Reply, request: Request) -> bytes:
        """Return a `GenerateContentResponse`, embeddings, a token count, or the models."""
        match request.operation:
            case "models":
                model = _model(request.model or "prodtest")
                return _encode(model if request.model else {"models": [model]})
            case "count_tokens":
                tokens = count_usage(Reply(), request).input
                return _encode({"totalTokens": tokens, "promptTokensDetails": _text_tokens(tokens)})
            case "embeddings":
                return _encode(_embeddings(request))
        parts = self._parts(reply, [reply.text] if reply.text else [])
        usage = count_usage(reply, request)
        return _encode(_response(self._new_id(), request, parts, usage, reply.finish_reason))

    def error(self, status: int, message: str, headers: Mapping[str, str]) -> bytes:
        """Return `{"error": {...}}` with the canonical code that Google gives for this status."""
        named = _STATUS.get(status, "INTERNAL" if status >= 500 else "FAILED_PRECONDITION")
        return _encode({"error": {"code": status, "message": message, "status": named}})

    def error_event(self, status: int, message: str, request: Request, number: int) -> bytes:
        """Return the error as an event of a stream that has begun."""
        return b"data: %b\r\n\r\n" % self.error(status, message, {})

    def headers(self) -> dict[str, str]:
        """Return how long the model took; Google sends no request id."""
        return {"server-timing": "gfet4t7; dur=1"}

    def answer_headers(self, reply: Reply, request: Request) -> dict[str, str]:
        """Return none: the body says it all."""
        return {}

    def error_headers(self, status: int) -> dict[str, str]:
        """Return none: the body says it all."""
        return {}

    def _new_id(self) -> str:
        return f"{self._run}{next(self._numbers):08x}"


def _messages(method: str, fields: _Fields) -> list[_Fields]:
    """Return what the request says as messages whose content is Gemini's parts."""
    match method:
        case "batchEmbedContents":
            requests = _objects(fields.get("requests"), "requests")
            return [_message(request.get("content"), "requests[].content") for request in requests]
        case "embedContent":
            return [_message(fields.get("content"), "content")]
        case "countTokens" if "generateContentRequest" in fields:
            (fields,) = _objects([fields["generateContentRequest"]], "generateContentRequest")
    contents = [_message(content, "contents") for content in _objects(fields.get("contents"), "contents")]
    instruction = fields.get("systemInstruction")
    if instruction is None:
        return contents
    return [_message(instruction, "systemInstruction") | {"role": "system"}, *contents]


def _message(content: object, name: str) -> _Fields:
    (fields,) = _objects([content], name)
    return {"role": fields.get("role") or "user", "content": _objects(fields.get("parts"), f"{name}.parts")}


def _objects(value: object, name: str) -> list[_Fields]:
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        raise Rejected(400, f"Invalid JSON payload received. {name}: at least one object is required.")
    return value


def _tools(fields: _Fields) -> list[_Fields]:
    """Return the function declarations, each as a tool of its own."""
    tools = _objects(fields["tools"], "tools") if fields.get("tools") else []
    functions: list[_Fields] = []
    for tool in tools:
        if tool.get("functionDeclarations"):
            functions += _objects(tool["functionDeclarations"], "tools[].functionDeclarations")
    return [{"type": "function", "function": function} for function in functions]


def _response(
    identity: str, request: Request, parts: list[_Fields], usage: Usage, finish: str = ""
) -> _Fields:
    candidate: _Fields = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = _FINISH.get(finish, finish)
    return {
        "candidates": [candidate],
        "usageMetadata": _usage(usage),
        "modelVersion": request.model,
        "responseId": identity,
    }


def _usage(usage: Usage) -> _Fields:
    fields: _Fields = {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": usage.output - usage.reasoning,
        "totalTokenCount": usage.input + usage.output,
        "promptTokensDetails": _text_tokens(usage.input),
    }
    if usage.reasoning:
        fields["thoughtsTokenCount"] = usage.reasoning
    if usage.cached:
        fields["cachedContentTokenCount"] = usage.cached
        fields["cacheTokensDetails"] = _text_tokens(usage.cached)
    return fields


def _text_tokens(count: int) -> list[_Fields]:
    return [{"modality": "TEXT", "tokenCount": count}]


def _sse(fields: _Fields) -> bytes:
    return b"data: %b\r\n\r\n" % _encode(fields)


def _embeddings(request: Request) -> _Fields:
    sizes = _dimensions(request.body, request.model)
    vectors = [
        {"values": embed(text_of([message]), size)}
        for message, size in zip(request.messages, sizes, strict=True)
    ]
    return {"embedding": vectors[0]} if "content" in request.body else {"embeddings": vectors}


def _dimensions(fields: _Fields, model: str) -> list[int]:
    """Return the number of components for each text to embed."""
    most = 3072 if model.startswith("gemini-embedding") else 768
    sizes = [item.get("outputDimensionality") or most for item in fields.get("requests", [fields])]
    if not all(isinstance(size, int) and 1 <= size <= most for size in sizes):
        raise Rejected(400, f"outputDimensionality must be 1 to {most}.")
    return sizes


def _model(name: str) -> _Fields:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "description": "A fake.",
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": list(_OPERATIONS),
    }
