"""Cohere's API: chat (v2) whole and streamed, embeddings (v1 and v2), rerank, tokens counted, and its models.

Source: the API reference of `POST /v2/chat`, `/v1/embed`, `/v2/embed`, `/v2/rerank`, and the types of the
`cohere` package.
"""

import base64
import itertools
import operator
import struct
import uuid
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from langchain_prodtest.script import Reply, Request, ToolCall
from langchain_prodtest.steps import What
from langchain_prodtest.vectors import embed
from langchain_prodtest.wire.codec import Event, Head, Rejected, asked, cut_arguments, lacking, read_object
from langchain_prodtest.wire.quantized import as_bits, as_int8
from langchain_prodtest.wire.tokens import CHARACTERS, count_tokens, count_usage

__all__ = ["Cohere"]

_encode = msgspec.json.encode
_MOST = 1024  # dimensions of a vector, if the request does not ask for fewer
_OPERATIONS = {
    "/v2/chat": "chat",
    "/v1/embed": "embeddings",
    "/v2/embed": "embeddings",
    "/v2/rerank": "rerank",
    "/v1/tokenize": "count_tokens",
}
_FINISH = {
    "stop": "COMPLETE",
    "tool_calls": "TOOL_CALL",
    "length": "MAX_TOKENS",
    "content_filter": "ERROR",
    "refusal": "COMPLETE",
}
_ENCODINGS: dict[str, Callable[[list[float]], Any]] = {
    "float": lambda vector: vector,
    "int8": as_int8,
    "uint8": lambda vector: [component + 128 for component in as_int8(vector)],
    "binary": lambda vector: [byte - 128 for byte in as_bits(vector)],
    "ubinary": lambda vector: list(as_bits(vector)),
    "base64": lambda vector: base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode(),
}
_Fields = dict[str, Any]


class Cohere:
    """Codec of Cohere's API. Text beside tool calls is their plan."""

    base = ""
    routes = (*(f"POST {route}" for route in _OPERATIONS), "GET /v1/models", "GET /v1/models/{model}")
    unscripted = frozenset({"models", "count_tokens"})
    stream_type = "text/event-stream"
    garbage = b'event: content-delta\ndata: {"type": "content-delta", {not json\n\n'

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def decode(self, head: Head, body: bytes) -> Request:
        """Return the Request; the texts to embed and to rank are its messages.

        Rejected (404, 400) as Cohere does it.
        """
        if head.method == "GET" and f"{head.path}/".startswith("/v1/models/"):
            return Request(
                provider=head.provider,
                operation="models",
                model=head.path.removeprefix("/v1/models").removeprefix("/"),
                headers=head.headers,
                received=head.received,
            )
        operation = _OPERATIONS.get(head.path) if head.method == "POST" else None
        if operation is None:
            raise Rejected(404, f"{head.method} {head.path} is not a route of this API.")
        fields = read_object(body)
        if not isinstance(fields.get("model"), str):
            raise Rejected(400, "invalid request: model must be given, as text")
        messages = _messages(operation, fields)
        return asked(
            head,
            operation,
            fields,
            messages,
            model=fields["model"],
            tools=_objects(fields, "tools") if fields.get("tools") else [],
            stream=operation == "chat" and bool(fields.get("stream")),
        )

    def events(self, reply: Reply, request: Request) -> list[Event]:
        """Return message-start, content or plan and tool calls piece by piece, message-end, `[DONE]`."""
        message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        opening = {"id": self._new_id(), "type": "message-start", "delta": {"message": message}}
        events = [Event(_sse(opening), "open")]
        blocks = [("thinking", [reply.reasoning])] if reply.reasoning else []
        if reply.tool_calls:
            events += [_event("piece", "tool-plan-delta", {"tool_plan": piece}) for piece in reply.pieces()]
        else:
            blocks.append(("text", reply.pieces()))
        for index, (kind, pieces) in enumerate(blocks):
            events.append(_event("open", "content-start", {"content": {"type": kind, kind: ""}}, index))
            events += [
                _event("piece", "content-delta", {"content": {kind: piece}}, index) for piece in pieces
            ]
            events.append(_event("open", "content-end", None, index))
        for index, call in enumerate(reply.tool_calls):
            events += self._calling(index, call)
        ending = {"finish_reason": _finish(reply), "usage": _usage(reply, request)}
        less: dict[What, bytes] = {
            "finish": _ended(lacking(ending, "finish_reason")),
            "usage": _ended(lacking(ending, "usage")),
        }
        events.append(Event(_ended(ending), "end", less))
        events.append(Event(b"data: [DONE]\n\n", "end", {"terminal": b""}))
        return events

    def _calling(self, index: int, call: ToolCall) -> list[Event]:
        pieces = cut_arguments(_encode(call.args).decode())
        return [
            _event("piece", "tool-call-start", {"tool_calls": self._tool_call(call, arguments="")}, index),
            *(
                _event("piece", "tool-call-delta", {"tool_calls": {"function": {"arguments": piece}}}, index)
                for piece in pieces
            ),
            _event("open", "tool-call-end", None, index),
        ]

    def _tool_call(self, call: ToolCall, arguments: str) -> _Fields:
        return {
            "id": call.id or f"{call.name}_{next(self._numbers):012x}",
            "type": "function",
            "function": {"name": call.name, "arguments": arguments},
        }

    def whole(self, reply: Reply, request: Request) -> bytes:
        """Return a chat response, embeddings, a ranking, tokens, or the models."""
        match request.operation:
            case "models":
                model = _model(request.model or "prodtest")
                return _encode(model if request.model else {"models": [model]})
            case "embeddings":
                return _encode({"id": self._new_id(), **_embeddings(request)})
            case "rerank":
                return _encode({"id": self._new_id(), **_ranking(request)})
            case "count_tokens":
                return _encode(_tokens(request.body["text"]))
        answer = {
            "id": self._new_id(),
            "finish_reason": _finish(reply),
            "message": self._message(reply),
            "usage": _usage(reply, request),
        }
        return _encode(answer)

    def _message(self, reply: Reply) -> _Fields:
        content: list[_Fields] = []
        if reply.reasoning:
            content.append({"type": "thinking", "thinking": reply.reasoning})
        if not reply.tool_calls:
            return {"role": "assistant", "content": [*content, {"type": "text", "text": reply.text}]}
        calls = [self._tool_call(call, _encode(call.args).decode()) for call in reply.tool_calls]
        message = {"role": "assistant", "tool_plan": reply.text, "tool_calls": calls}
        return message | {"content": content} if content else message

    def error(self, status: int, message: str, headers: Mapping[str, str]) -> bytes:
        """Return the message with an id, as for every status."""
        return _encode({"id": self._new_id(), "message": message})

    def error_event(self, status: int, message: str, request: Request, number: int) -> bytes:
        """Return a message-end that says that the answer failed, and why."""
        return _sse({"type": "message-end", "delta": {"error": message, "finish_reason": "ERROR"}})

    def headers(self) -> dict[str, str]:
        """Return the id by which Cohere finds a request again."""
        return {"x-debug-trace-id": uuid.uuid4().hex}

    def answer_headers(self, reply: Reply, request: Request) -> dict[str, str]:
        """Return none: the body says it all."""
        return {}

    def error_headers(self, status: int) -> dict[str, str]:
        """Return none: the body says it all."""
        return {}

    def _new_id(self) -> str:
        return str(uuid.uuid4())


def _sse(fields: _Fields) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (fields["type"].encode(), _encode(fields))


def _event(
    kind: Literal["open", "piece"], name: str, message: _Fields | None, index: int | None = None
) -> Event:
    fields: _Fields = {"type": name}
    if index is not None:
        fields["index"] = index
    if message is not None:
        fields["delta"] = {"message": message}
    return Event(_sse(fields), kind)


def _ended(delta: _Fields) -> bytes:
    return _sse({"type": "message-end", "delta": delta})


def _finish(reply: Reply) -> str:
    return _FINISH.get(reply.finish_reason, reply.finish_reason)


def _usage(reply: Reply, request: Request) -> _Fields:
    usage = count_usage(reply, request)
    tokens = {"input_tokens": usage.input, "output_tokens": usage.output}
    return {"billed_units": tokens, "tokens": tokens, "cached_tokens": usage.cached}


def _messages(operation: str, fields: _Fields) -> list[_Fields]:
    """Return the messages of a chat; the texts of other requests as one message each."""
    if operation == "chat":
        messages = _objects(fields, "messages")
        if not all(isinstance(message.get("role"), str) for message in messages):
            raise Rejected(400, "invalid request: all elements in messages must have a role")
        return messages
    match operation:
        case "rerank":
            if not isinstance(fields.get("top_n"), int | None):
                raise Rejected(400, "invalid request: top_n must be a number")
            texts = [*_texts([fields.get("query")], "query"), *_texts(fields.get("documents"), "documents")]
        case "count_tokens":
            texts = _texts([fields.get("text")], "text")
        case _:
            texts = _texts(fields.get("texts"), "texts")
            _dimensions(fields)
            if unknown := set(_texts(fields.get("embedding_types") or ["float"], "embedding_types")) - {
                *_ENCODINGS
            }:
                raise Rejected(400, f"invalid request: unknown embedding_types {sorted(unknown)}")
    return [{"role": "user", "content": text} for text in texts]


def _objects(fields: _Fields, name: str) -> list[_Fields]:
    value = fields.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        raise Rejected(400, f"invalid request: {name} must be an array of objects, with at least one")
    return value


def _texts(value: object, name: str) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise Rejected(400, f"invalid request: {name} must be given, as text")
    return value


def _dimensions(fields: _Fields) -> int:
    size = fields.get("output_dimension") or _MOST
    if not isinstance(size, int) or not 1 <= size <= _MOST:
        raise Rejected(400, f"invalid request: output_dimension must be 1 to {_MOST}")
    return size


def _embeddings(request: Request) -> _Fields:
    texts = [message["content"] for message in request.messages]
    vectors = [embed(text, _dimensions(request.body)) for text in texts]
    kinds = request.body.get("embedding_types")
    return {
        "response_type": "embeddings_by_type" if kinds else "embeddings_floats",
        "embeddings": {kind: [_ENCODINGS[kind](v) for v in vectors] for kind in kinds} if kinds else vectors,
        "texts": texts,
        "meta": {"billed_units": {"input_tokens": sum(map(count_tokens, texts))}},
    }


def _ranking(request: Request) -> _Fields:
    """Return the documents, the nearest to the query first: the cosine of their vectors, from 0 to 1."""
    query, *vectors = [embed(message["content"], _MOST) for message in request.messages]
    scores = [max(0.0, sum(map(operator.mul, query, vector))) for vector in vectors]
    results = [{"index": index, "relevance_score": score} for index, score in enumerate(scores)]
    results.sort(key=lambda result: -result["relevance_score"])
    top = request.body.get("top_n") or len(results)
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    return {"results": results[:top], "meta": meta}


def _tokens(text: str) -> _Fields:
    strings = [text[start : start + CHARACTERS] for start in range(0, len(text), CHARACTERS)]
    tokens = [zlib.crc32(string.encode("utf-8", "surrogatepass")) for string in strings]
    return {"tokens": tokens, "token_strings": strings}


def _model(name: str) -> _Fields:
    return {
        "name": name,
        "endpoints": ["chat", "embed", "rerank"],
        "default_endpoints": ["chat"],
        "finetuned": False,
        "context_length": 128_000,
    }
