"""Perplexity's dialect of OpenAI's API: answers with sources, its agent, embeddings and search.

Source: the API reference of `POST /chat/completions`, `/v1/responses`, `/v1/embeddings` and `/search`, and
the types of the `perplexityai` package.
"""

from base64 import b64encode
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace

from langchain_prodtest.script import Reply, Request, Usage
from langchain_prodtest.steps import What
from langchain_prodtest.vectors import embed
from langchain_prodtest.wire.agent import Agent, error_event
from langchain_prodtest.wire.codec import Event, Head, Rejected, asked, read_object
from langchain_prodtest.wire.openai import OpenAI
from langchain_prodtest.wire.quantized import as_bits, as_int8
from langchain_prodtest.wire.sources import sources
from langchain_prodtest.wire.tokens import count_tokens, count_usage, so_far

__all__ = ["Perplexity"]

_encode = msgspec.json.encode
_DIMENSIONS = {"pplx-embed-v1-0.6b": 1024}
_MOST_DIMENSIONS = 2560
_PRICE = 1e-6  # dollars a token
_REQUEST_PRICE = 0.005
_Fields = dict[str, Any]


class Perplexity(OpenAI):
    """Codec of Perplexity. Every answer names two sources; `disable_search` leaves them out."""

    base = ""
    operations = frozenset({"chat", "responses", "embeddings"})
    of_a_model = frozenset({"chat", "embeddings"})
    routes = ("POST /chat/completions", "POST /v1/responses", "POST /v1/embeddings", "POST /search")
    stream_type = "text/event-stream"
    about: ClassVar[_Fields] = {}

    def decode(self, head: Head, body: bytes) -> Request:
        """Return the Request; Rejected (404, 400) as OpenAI does it."""
        fields = read_object(body) if head.method == "POST" else {}
        match head.path.rpartition("/")[2]:
            case "search":
                messages = [{"role": "user", "content": query} for query in _queries(fields)]
                return asked(head, "web_search", fields, messages, model="", tools=[])
            case "embeddings":
                plain = {name: value for name, value in fields.items() if name != "encoding_format"}
                request = super().decode(head, _encode(plain))
                _encoding(fields)
                return replace(request, body=fields)
        return super().decode(head, body)

    def events(self, reply: Reply, request: Request) -> list[Event]:
        """Return the events of a chat or of the agent's response."""
        if request.operation == "responses":
            return Agent(reply, request, self.new_id).events()
        return self.chat_events(reply, request)

    def whole(self, reply: Reply, request: Request) -> bytes:
        """Return a chat completion, a response of the agent, embeddings, or search results."""
        match request.operation:
            case "responses":
                return Agent(reply, request, self.new_id).whole()
            case "embeddings":
                return _embeddings(request)
            case "web_search":
                return _encode(
                    {"id": self.new_id(), "results": [_found(result) for result in sources(request)]}
                )
        return super().whole(reply, request)

    def chat_events(self, reply: Reply, request: Request) -> list[Event]:
        """Return chunks that hold the message so far, its last piece, and the usage so far; then `[DONE]`."""
        usage, about = count_usage(reply, request), self.envelope("chat.completion.chunk", request)
        deltas: list[_Fields] = [{"content": piece} for piece in _with_thoughts(reply).pieces()]
        deltas += self._calls(reply)
        message: _Fields = {"role": "assistant", "content": ""}
        events = []
        for number, delta in enumerate(deltas, 1):
            content = message["content"] + delta.get("content", "")
            message = {**message, **delta, "content": content}
            choice = _choice(message, {"role": "assistant", "content": "", **delta})
            told, chunk = _usage(so_far(usage, number, len(deltas) + 1)), {**about, "choices": [choice]}
            events.append(Event(_sse({**chunk, "usage": told}), "piece", {"usage": _sse(chunk)}))
        choice = _choice(message, {"role": "assistant", "content": ""}, _finish(reply))
        last = {**about, "choices": [choice], "usage": _usage(usage, ended=True)}
        unfinished = {**last, "choices": [{**choice, "finish_reason": None}]}
        less: dict[What, bytes] = {
            "finish": _sse(unfinished),
            "usage": _sse({**about, "choices": [choice]}),
        }
        events.append(Event(_sse(last), "end", less))
        events.append(Event(b"data: [DONE]\n\n", "end", {"terminal": b""}))
        return events

    def chat_whole(self, reply: Reply, request: Request) -> bytes:
        """Return a chat completion, with its sources, and an empty delta beside the message."""
        message = {"role": "assistant", "content": _with_thoughts(reply).text}
        for calls in self._calls(reply):
            message |= calls
        choice = _choice(message, {"role": "assistant", "content": ""}, _finish(reply))
        usage = _usage(count_usage(reply, request), ended=True)
        about = self.envelope("chat.completion", request)
        return _encode({**about, "choices": [choice], "usage": usage})

    def envelope(self, kind: str, request: Request) -> _Fields:
        """Return the fields that stand beside the choices: with the sources, unless search is disabled."""
        fields = super().envelope(kind, request) | {"id": self.new_id()}
        found = [] if request.body.get("disable_search") else sources(request)
        fields["citations"] = [result["url"] for result in found]
        fields["search_results"] = found
        if request.body.get("return_images"):
            fields["images"] = [_image(result) for result in found]
        if request.body.get("return_related_questions"):
            fields["related_questions"] = [f"What else does {result['title']} say?" for result in found]
        return fields

    def _calls(self, reply: Reply) -> list[_Fields]:
        calls = [self.tool_call(call, _encode(call.args).decode()) for call in reply.tool_calls]
        return [{"tool_calls": calls}] if calls else []

    def error_event(self, status: int, message: str, request: Request, number: int) -> bytes:
        """Return the error's body as an event, in a stream of the agent its own event."""
        if request.operation == "responses":
            return error_event(message, number)
        return super().error_event(status, message, request, number)

    def headers(self) -> dict[str, str]:
        """Return the request id."""
        return {"x-request-id": self.new_id()}

    def error_headers(self, status: int) -> dict[str, str]:
        """Return none: the body says it all."""
        return {}


def _sse(fields: _Fields) -> bytes:
    return b"data: %b\n\n" % _encode(fields)


def _with_thoughts(reply: Reply) -> Reply:
    """Return the Reply with its reasoning as the first part of the text, as Perplexity tells it."""
    if not reply.reasoning:
        return reply
    return replace(reply, text=f"<think>\n{reply.reasoning}\n</think>\n\n{reply.text}")


def _finish(reply: Reply) -> str:
    return "length" if reply.finish == "length" else "stop"


def _choice(message: _Fields, delta: _Fields, finish: str | None = None) -> _Fields:
    return {"index": 0, "finish_reason": finish, "message": message, "delta": delta}


def _usage(usage: Usage, ended: bool = False) -> _Fields:
    """Return the token counts and their cost in dollars; that of the request itself comes at the end."""
    request_cost = _REQUEST_PRICE if ended else 0.0
    cost = {
        "input_tokens_cost": usage.input * _PRICE,
        "output_tokens_cost": usage.output * _PRICE,
        "total_cost": (usage.input + usage.output) * _PRICE + request_cost,
    }
    fields: _Fields = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "search_context_size": "low",
        "cost": cost | ({"request_cost": request_cost} if ended else {}),
    }
    return fields | ({"reasoning_tokens": usage.reasoning} if usage.reasoning else {})


def _image(result: _Fields) -> _Fields:
    return {
        "image_url": f"{result['url']}/image.png",
        "origin_url": result["url"],
        "height": 600,
        "width": 800,
        "title": result["title"],
    }


def _queries(fields: _Fields) -> list[str]:
    """Return what to search for; the API takes one query or several."""
    query = fields.get("query")
    queries: list[Any] = query if isinstance(query, list) else [query]
    if not queries or not all(isinstance(one, str) for one in queries):
        raise Rejected(400, "Invalid 'query': expected text, or an array of texts.")
    return queries


def _found(result: _Fields) -> _Fields:
    return {name: result[name] for name in ("title", "url", "snippet", "date", "last_updated")}


def _encoding(fields: _Fields) -> str:
    encoding = fields.get("encoding_format") or "base64_int8"
    if encoding not in ("base64_int8", "base64_binary"):
        raise Rejected(400, "Invalid 'encoding_format': expected 'base64_int8' or 'base64_binary'.")
    return str(encoding)


def _embeddings(request: Request) -> bytes:
    """Return each vector as base64: of a signed byte or of a bit for each component."""
    texts = [message["content"] for message in request.messages]
    size = request.body.get("dimensions") or _DIMENSIONS.get(request.model, _MOST_DIMENSIONS)
    tokens = sum(map(count_tokens, texts))
    cost = {"input_cost": tokens * _PRICE, "total_cost": tokens * _PRICE, "currency": "USD"}
    packed = _in_bytes if _encoding(request.body) == "base64_int8" else as_bits
    return _encode(
        {
            "object": "list",
            "data": [
                {
                    "object": "embedding",
                    "index": index,
                    "embedding": b64encode(packed(embed(text, size))).decode(),
                }
                for index, text in enumerate(texts)
            ],
            "model": request.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "cost": cost},
        }
    )


def _in_bytes(vector: list[float]) -> bytes:
    return bytes(component % 256 for component in as_int8(vector))
