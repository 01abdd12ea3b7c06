"""Ollama's API: chat, generate and embed, and what it tells about its models.

Source: `docs/api.md`, `api/types.go` and `server/routes.go` of Ollama.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

from langchain_prodtest.script import Reply, Request, ToolCall
from langchain_prodtest.steps import What
from langchain_prodtest.vectors import embed
from langchain_prodtest.wire.codec import Event, Head, Rejected, asked, lacking
from langchain_prodtest.wire.tokens import count_usage

__all__ = ["Ollama"]

_Fields = dict[str, Any]

_encode = msgspec.json.encode
_read = msgspec.json.Decoder(_Fields).decode
_ROUTES = {
    ("POST", "/api/chat"): "chat",
    ("POST", "/api/generate"): "generate",
    ("POST", "/api/embed"): "embeddings",
    ("POST", "/api/show"): "show",
    ("GET", "/api/tags"): "models",
    ("GET", "/api/version"): "version",
}
_SAYS = ("chat", "generate")
_COUNTS = ("prompt_eval_count", "eval_count")
_VERSION = "0.13.0"
_MODELS = (
    "prodtest:latest",
    *("llama3.1:latest", "llama3.1:8b", "llama3.2:latest", "qwen3:latest", "qwen3:8b", "mistral:latest"),
    *("gpt-oss:20b", "gemma3:latest", "nomic-embed-text:latest", "mxbai-embed-large:latest"),
)
_DIMENSIONS = 768
_DONE = {"tool_calls": "stop", "content_filter": "stop", "refusal": "stop"}
_SECOND = 1_000_000_000  # nanoseconds, in which durations are
_LEAST = 1_000  # nanoseconds for a token, so that a rate can be computed from every answer
_LOAD = 1_000_000  # nanoseconds for a model that is loaded already


class Ollama:
    """Codec of Ollama. Requests carry no retry mark, so the digest of the messages tells attempts.

    Its one end line carries reason, counts and terminal mark together. It has no reason of its own for tool
    calls and filtered content: it says `stop`. A request without messages or prompt only loads the model.
    """

    base = ""
    routes = tuple(map(" ".join, _ROUTES))
    unscripted = frozenset({"chat.load", "generate.load", "models", "show", "version"})
    stream_type = "application/x-ndjson"
    garbage = b'{"message": {not json\n'

    def decode(self, head: Head, body: bytes) -> Request:
        """Return the Request, streamed unless the client refuses that.

        Rejected (404, 400) as Ollama does it.
        """
        operation = _ROUTES.get((head.method, head.path))
        if operation is None:
            raise Rejected(404, "404 page not found")
        fields = _checked(body, operation) if head.method == "POST" else {}
        messages = _messages(fields, operation)
        loads = operation in _SAYS and not messages
        return asked(
            head,
            f"{operation}.load" if loads else operation,
            fields,
            messages,
            model=fields.get("model") or "",
            tools=fields.get("tools") or [],
            stream=operation in _SAYS and not loads and fields.get("stream") is not False,
        )

    def events(self, reply: Reply, request: Request) -> list[Event]:
        """Return a line for each piece of thinking and text and each tool call, then the one with `done`."""
        if request.operation not in _SAYS:
            return [Event(self.whole(reply, request), "piece")]
        start = _start(request)
        events = [_line(start, piece, request) for piece in _pieces(reply)]
        end = _end(reply, request)
        unfinished = _line(start, {}, request, lacking(end, "done_reason"))
        uncounted = _line(start, {}, request, lacking(end, *_COUNTS))
        less: dict[What, bytes] = {
            "terminal": b"",
            "finish": b"%b\n" % unfinished,
            "usage": b"%b\n" % uncounted,
        }
        last = Event(b"%b\n" % _line(start, {}, request, end), "end", less)
        return [*(Event(b"%b\n" % line, "piece") for line in events), last]

    def whole(self, reply: Reply, request: Request) -> bytes:
        """Return the whole answer, embeddings, or what is known of the models and the version."""
        match request.operation:
            case "chat" | "generate":
                return _line(_start(request), _said(reply), request, _end(reply, request))
            case "chat.load" | "generate.load":
                return _line(_start(request), {}, request, {"done_reason": "load"})
            case "embeddings":
                return _encode(_embeddings(reply, request))
            case "show":
                return _encode(_shown())
            case "models":
                return _encode({"models": [_listed(name) for name in _MODELS]})
        return _encode({"version": _VERSION})

    def error(self, status: int, message: str, headers: Mapping[str, str]) -> bytes:
        """Return `{"error": message}`."""
        return _encode({"error": message})

    def error_event(self, status: int, message: str, request: Request, number: int) -> bytes:
        """Return the error as a line of a stream that has begun."""
        return b"%b\n" % self.error(status, message, {})

    def headers(self) -> dict[str, str]:
        """Return none: Ollama has no headers of its own."""
        return {}

    def answer_headers(self, reply: Reply, request: Request) -> dict[str, str]:
        """Return none: the body says it all."""
        return {}

    def error_headers(self, status: int) -> dict[str, str]:
        """Return none: the body says it all."""
        return {}


# -- requests ---------------------------------------------------------------------------------------------


def _checked(body: bytes, operation: str) -> _Fields:
    """Return the fields of a request body; Rejected says which one is wrong."""
    if not body.strip():
        raise Rejected(400, "missing request body")
    try:
        fields = _read(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Rejected(400, f"invalid JSON: {error}") from None
    for name, kind in {"model": str, "prompt": str, "system": str, "dimensions": int, "stream": bool}.items():
        if not isinstance(fields.get(name), kind | None):
            raise Rejected(400, f"json: cannot unmarshal field {name} into Go value of type {_GO[kind]}")
    for name in ("messages", "tools"):
        if not _is_objects(fields.get(name) or []):
            raise Rejected(400, f"json: cannot unmarshal field {name} into Go value of type []api.{name}")
    if not fields.get("model"):
        if operation in ("chat", "show"):
            raise Rejected(400, "model is required")
        raise Rejected(404, "model '' not found")
    return fields


_GO = {str: "string", int: "int", bool: "bool"}


def _is_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _messages(fields: _Fields, operation: str) -> list[_Fields]:
    match operation:
        case "chat":
            return fields.get("messages") or []
        case "generate" if fields.get("prompt"):
            system = [{"role": "system", "content": fields["system"]}] if fields.get("system") else []
            return [*system, {"role": "user", "content": fields["prompt"]}]
        case "embeddings":
            return [{"role": "user", "content": text} for text in _texts(fields.get("input"))]
    return []


def _texts(value: object) -> list[str]:
    texts: list[Any] = value if isinstance(value, list) else [value] if value else []
    if not all(isinstance(text, str) for text in texts):
        raise Rejected(400, "invalid input type")
    return texts


# -- answers ----------------------------------------------------------------------------------------------


def _start(request: Request) -> _Fields:
    return {"model": request.model, "created_at": _time(request.received)}


def _line(start: _Fields, said: _Fields, request: Request, end: _Fields | None = None) -> bytes:
    """Return an answer or a piece of one; with `end` it is the last."""
    if request.operation.startswith("chat"):
        answer: _Fields = {"message": {"role": "assistant", "content": "", **said}}
    else:
        answer = {"response": "", **said}
        answer["response"] = answer.pop("content", "")
    return _encode({**start, **answer, "done": end is not None, **(end or {})})


def _pieces(reply: Reply) -> list[_Fields]:
    thoughts: list[_Fields] = [{"thinking": piece} for piece in Reply(reply.reasoning).pieces()]
    texts = [{"content": piece} for piece in reply.pieces()]
    return [*thoughts, *texts, *({"tool_calls": [call]} for call in _tool_calls(reply.tool_calls))]


def _said(reply: Reply) -> _Fields:
    said: _Fields = {"content": reply.text}
    if reply.reasoning:
        said["thinking"] = reply.reasoning
    if reply.tool_calls:
        said["tool_calls"] = _tool_calls(reply.tool_calls)
    return said


def _tool_calls(calls: Sequence[ToolCall]) -> list[_Fields]:
    return [
        {
            "id": call.id or f"call_{secrets.token_hex(4)}",
            "function": {"index": index, "name": call.name, "arguments": call.args},
        }
        for index, call in enumerate(calls)
    ]


def _end(reply: Reply, request: Request) -> _Fields:
    """Return why the answer is done, its counts, and the durations that the Reply is paced by."""
    usage = count_usage(reply, request)
    first, last = reply.due(0), reply.due(max(len(_pieces(reply)) - 1, 0))
    prompt = max(int(first * _SECOND), _LEAST * usage.input)
    said = max(int((last - first) * _SECOND), _LEAST * usage.output)
    return {
        "done_reason": _DONE.get(reply.finish_reason, reply.finish_reason),
        "total_duration": _LOAD + prompt + said,
        "load_duration": _LOAD,
        "prompt_eval_count": usage.input,
        "prompt_eval_duration": prompt,
        "eval_count": usage.output,
        "eval_duration": said,
    }


def _embeddings(reply: Reply, request: Request) -> _Fields:
    asked = request.body.get("dimensions") or 0
    dimensions = asked if 0 < asked < _DIMENSIONS else _DIMENSIONS
    tokens = count_usage(reply, request).input
    return {
        "model": request.model,
        "embeddings": [embed(message["content"], dimensions) for message in request.messages],
        "total_duration": _LOAD + max(int(reply.due(0) * _SECOND), _LEAST * tokens),
        "load_duration": _LOAD,
        "prompt_eval_count": tokens,
    }


_DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "8.0B",
    "quantization_level": "Q4_K_M",
}


def _listed(name: str) -> _Fields:
    return {
        "name": name,
        "model": name,
        "modified_at": _time(0),
        "size": 4_920_753_328,
        "digest": sha256(name.encode()).hexdigest(),
        "details": _DETAILS,
    }


def _shown() -> _Fields:
    return {
        "license": "",
        "modelfile": "FROM prodtest",
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": _DETAILS,
        "model_info": {
            "general.architecture": "llama",
            "llama.context_length": 131_072,
            "llama.embedding_length": _DIMENSIONS,
        },
        "capabilities": ["completion", "tools", "thinking", "embedding"],
        "modified_at": _time(0),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
