"""The models that Bedrock invokes in their own JSON: Anthropic's Claude, and embeddings of Titan and Cohere.

Source: "Inference request parameters and response fields for foundation models", Amazon Bedrock User Guide.
"""

from base64 import b64encode
from typing import Any

import msgspec

from langchain_prodtest.script import Reply, Request
from langchain_prodtest.steps import What
from langchain_prodtest.vectors import embed
from langchain_prodtest.wire import eventstream
from langchain_prodtest.wire.anthropic import Anthropic
from langchain_prodtest.wire.bedrock_converse import latency
from langchain_prodtest.wire.codec import Event, Head, Rejected
from langchain_prodtest.wire.tokens import count_usage

__all__ = ["events", "headers", "key_of", "read", "whole"]

_Fields = dict[str, Any]
_encode = msgspec.json.encode
_claude = Anthropic()
_CLAUDE, _TITAN, _COHERE = "anthropic_version", "inputText", "texts"
_MOST_TEXTS = 96
_SIZES = {  # of vectors: the default first, then what may be asked for
    "titan-embed-text-v1": (1536,),
    "titan-embed": (1024, 512, 256),
    "embed-v4": (1536, 1024, 512, 256),
    "": (1024,),
}


def key_of(body: _Fields) -> str:
    """Return the key that tells whose JSON this is, "" for none: a profile's id may hide the model's name."""
    return next((key for key in (_CLAUDE, _TITAN, _COHERE) if key in body), "")


# -- requests ---------------------------------------------------------------------------------------------


def read(head: Head, model: str, fields: _Fields) -> Request:
    """Return operation, messages and tools of what is asked; Rejected (400) as the model does it."""
    key = key_of(fields)
    if key == _CLAUDE:
        return _read_claude(head, model, fields)
    if not key or "textGenerationConfig" in fields:
        raise _malformed(
            f"give {_CLAUDE} for Claude, {_TITAN} or {_COHERE} for embeddings of Titan or Cohere"
        )
    texts = [fields[key]] if key == _TITAN else fields[key]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _malformed(f"{key} must be text")
    if not 1 <= len(texts) <= _MOST_TEXTS:
        raise _malformed(f"{key} must be 1 to {_MOST_TEXTS} texts")
    if fields.get("embedding_types") not in (None, ["float"]):
        raise _malformed("embedding_types can only be float here")
    _size(model, fields)
    messages = [{"role": "user", "content": text} for text in texts]
    return Request(provider=head.provider, operation="embeddings", messages=messages)


def _read_claude(head: Head, model: str, fields: _Fields) -> Request:
    """Let Anthropic's codec read it, with version and model where Anthropic's own API has them."""
    for name in ("model", "stream"):
        if name in fields:
            raise Rejected(400, f"{name}: Extra inputs are not permitted")
    headers = {"anthropic-version": str(fields[_CLAUDE])}
    asked = head._replace(method="POST", path="/v1/messages", headers=headers)
    return _claude.decode(asked, _encode({**fields, "model": model}))


def _size(model: str, fields: _Fields) -> int:
    """Return the size of the vectors."""
    sizes = next(sizes for name, sizes in _SIZES.items() if name in model)
    size = fields.get("dimensions", fields.get("output_dimension", sizes[0]))
    if size not in sizes:
        raise _malformed(f"the size of a vector must be one of {', '.join(map(str, sizes))}, not {size}")
    return int(size)


def _malformed(what: str) -> Rejected:
    return Rejected(400, f"Malformed input request: {what}, please reformat your input and try again.")


# -- answers ----------------------------------------------------------------------------------------------


def whole(reply: Reply, request: Request, new_id: str) -> bytes:
    """Return Claude's message, or the vectors of the texts."""
    key = key_of(request.body)
    if key == _CLAUDE:
        return _claude.whole(reply, request)
    size = _size(request.model, request.body)
    texts = [message["content"] for message in request.messages]
    vectors = [embed(text, size) for text in texts]
    if key == _TITAN:
        answer = {"embedding": vectors[0], "inputTextTokenCount": count_usage(Reply(), request).input}
        if "embeddingTypes" in request.body:
            answer["embeddingsByType"] = _by_type(vectors[0])
        return _encode(answer)
    kinds = request.body.get("embedding_types")
    return _encode(
        {
            "id": new_id,
            "texts": texts,
            "embeddings": {"float": vectors} if kinds else vectors,
            "response_type": "embeddings_by_type" if kinds else "embeddings_floats",
        }
    )


def _by_type(vector: list[float]) -> _Fields:
    return {"float": vector, "binary": [int(component > 0) for component in vector]}


def events(reply: Reply, request: Request) -> list[Event]:
    """Return Claude's events, each as the bytes of a chunk; the last also says what the call has cost."""
    *events, last = [
        Event(_chunk(event.data), event.kind, {what: _chunk(left) for what, left in event.without.items()})
        for event in _claude.events(reply, request)
        if not event.data.startswith(b"event: ping")
    ]
    metrics = _encode({"type": "message_stop", "amazon-bedrock-invocationMetrics": _metrics(reply, request)})
    less: dict[What, bytes] = {"terminal": b"", "usage": last.data}
    return [*events, Event(_chunk(b"\ndata: %b" % metrics), "end", less)]


def _chunk(event: bytes) -> bytes:
    """Return the frame of a server-sent event of Claude's; of nothing, nothing."""
    said = event.partition(b"\ndata: ")[2].rstrip()
    return eventstream.event("chunk", b'{"bytes":"%b"}' % b64encode(said)) if said else b""


def _metrics(reply: Reply, request: Request) -> _Fields:
    usage = count_usage(reply, request)
    return {
        "inputTokenCount": usage.input - usage.cached,
        "outputTokenCount": usage.output,
        "invocationLatency": latency(reply),
        "firstByteLatency": max(1, round(1000 * reply.first_token)),
        "cacheReadInputTokenCount": usage.cached,
        "cacheWriteInputTokenCount": 0,
    }


def headers(reply: Reply, request: Request) -> dict[str, str]:
    """Return the headers of an answer: the type of a stream's chunks; of a whole one what it has cost."""
    if request.stream:
        return {"x-amzn-bedrock-content-type": "application/json"}
    said = reply if request.operation == "chat" else Reply()
    usage = count_usage(said, request)
    return {
        "x-amzn-bedrock-invocation-latency": str(latency(said)),
        "x-amzn-bedrock-input-token-count": str(usage.input - usage.cached),
        "x-amzn-bedrock-output-token-count": str(usage.output),
        "x-amzn-bedrock-cache-read-input-token-count": str(usage.cached),
        "x-amzn-bedrock-cache-write-input-token-count": "0",
    }
