"""Perplexity's agent: its kind of responses, streamed and whole.

Source: the API reference of `POST /v1/responses` and the types of the `perplexityai` package.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from langchain_prodtest.script import Reply, Request, text_of
from langchain_prodtest.steps import What
from langchain_prodtest.wire.codec import Event, lacking
from langchain_prodtest.wire.responses import numbered
from langchain_prodtest.wire.sources import sources
from langchain_prodtest.wire.tokens import count_usage

__all__ = ["Agent", "error_event"]

_encode = msgspec.json.encode
_PRICE = 1e-6  # dollars a token
_Fields = dict[str, Any]


class Agent:
    """One answer: its output items are made once, and told whole or piece by piece.

    A function call is never told in pieces. Search results come first, if the request has the tool for it.
    A Reply that finishes by "error" is a response that failed: its text is the message.
    """

    def __init__(self, reply: Reply, request: Request, new_id: Callable[[], str]) -> None:
        self._reply, self._request, self._new_id = reply, request, new_id
        self._id = f"resp_{new_id()}"
        self._failed = reply.finish == "error"
        self._output = [] if self._failed else list(self._items())

    def whole(self) -> bytes:
        """Return the `response` object."""
        return _encode(self._response("failed" if self._failed else "completed"))

    def events(self) -> list[Event]:
        """Return the numbered events; the last tells that the answer is complete, and the usage."""
        told = list(self._told())
        events = []
        for number, (kind, fields) in enumerate(told[:-1]):
            said = kind == "output_text.delta" or fields.get("item", {}).get("type") == "function_call"
            framed = numbered(f"response.{kind}", number, fields)
            events.append(Event(framed, "piece" if said else "open"))
        return [*events, _last(len(told) - 1, *told[-1])]

    def _response(self, status: str) -> _Fields:
        ended = status == "completed"
        response = {
            "id": self._id,
            "object": "response",
            "created_at": int(self._request.received),
            "status": status,
            "model": self._request.model,
            "output": self._output if ended else [],
        }
        if status == "failed":
            return response | {"error": _error(self._reply.text)}
        return response | ({"usage": self._usage()} if ended else {})

    def _usage(self) -> _Fields:
        usage = count_usage(self._reply, self._request)
        costs = {"input_cost": usage.input * _PRICE, "output_cost": usage.output * _PRICE}
        return {
            "input_tokens": usage.input,
            "output_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "input_tokens_details": {"cache_read_input_tokens": usage.cached},
            "cost": {"currency": "USD", **costs, "total_cost": sum(costs.values())},
        }

    def _items(self) -> Iterator[_Fields]:
        """Yield search results, then the message, then function calls."""
        reply = self._reply
        if any(tool.get("type") == "web_search" for tool in self._request.tools):
            results = [{"id": number, **found} for number, found in enumerate(sources(self._request), 1)]
            queries = [text_of(self._request.messages[-1:])]
            yield {"type": "search_results", "queries": queries, "results": results}
        if reply.text or not reply.tool_calls:
            content = [{"type": "output_text", "text": reply.text, "annotations": []}]
            about = {"id": f"msg_{self._new_id()}", "type": "message", "role": "assistant"}
            yield {**about, "status": "completed", "content": content}
        for call in reply.tool_calls:
            yield {
                "id": f"fc_{self._new_id()}",
                "type": "function_call",
                "status": "completed",
                "call_id": call.id or f"call_{self._new_id()}",
                "name": call.name,
                "arguments": _encode(call.args).decode(),
            }

    def _told(self) -> Iterator[tuple[str, _Fields]]:
        """Yield kind and fields of every event."""
        yield "created", {"response": self._response("in_progress")}
        yield "in_progress", {"response": self._response("in_progress")}
        if self._reply.reasoning:
            yield "reasoning.started", {"thought": self._reply.reasoning}
            yield "reasoning.stopped", {}
        for index, item in enumerate(self._output):
            place = {"output_index": index}
            match item["type"]:
                case "search_results":
                    yield "reasoning.search_queries", {"queries": item["queries"]}
                    yield "reasoning.search_results", {"results": item["results"]}
                case "message":
                    yield (
                        "output_item.added",
                        {**place, "item": {**item, "status": "in_progress", "content": []}},
                    )
                    where = {**place, "item_id": item["id"], "content_index": 0}
                    for piece in self._reply.pieces():
                        yield "output_text.delta", {**where, "delta": piece}
                    yield "output_text.done", {**where, "text": self._reply.text}
                    yield "output_item.done", {**place, "item": item}
                case _:
                    yield "output_item.done", {**place, "item": item}
        if self._failed:
            yield "failed", {"error": _error(self._reply.text)}
        else:
            yield "completed", {"response": self._response("completed")}


def error_event(message: str, number: int) -> bytes:
    """Return the event that ends a stream of which `number` events have been sent."""
    return numbered("response.failed", number, {"error": _error(message)})


def _error(message: str) -> _Fields:
    message = message or "The model failed to generate a response."
    return {"message": message, "type": "server_error", "code": "internal_error"}


def _last(number: int, kind: str, fields: _Fields) -> Event:
    """Return the terminal marker; its response has the usage, and its status is the reason."""
    kind, response = f"response.{kind}", fields.get("response")
    less: dict[What, bytes] = {"terminal": b""}
    if response:
        less["finish"] = numbered(kind, number, {"response": lacking(response, "status")})
        less["usage"] = numbered(kind, number, {"response": lacking(response, "usage")})
    return Event(numbered(kind, number, fields), "end", less)
