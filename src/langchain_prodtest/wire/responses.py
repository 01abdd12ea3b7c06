"""OpenAI's Responses API, streamed and whole.

Source: the API reference of `POST /v1/responses` and the types of the `openai` package.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from langchain_prodtest.script import Reply, Request
from langchain_prodtest.steps import What
from langchain_prodtest.wire.codec import Event, Rejected, cut_arguments
from langchain_prodtest.wire.completions import is_objects, token_logprobs
from langchain_prodtest.wire.tokens import count_usage

__all__ = ["Responses", "error_event", "numbered", "read_responses"]

_Fields = dict[str, Any]

_encode = msgspec.json.encode
_ECHOED: _Fields = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "temperature": 1.0,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
}
"""The parameters that a response repeats, with what stands for those that were not given."""
_BEGUN: dict[str, _Fields] = {
    "reasoning": {"summary": []},
    "message": {"content": [], "status": "in_progress"},
    "function_call": {"arguments": "", "status": "in_progress"},
}
"""By type: what is not there yet of an item that begins."""
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def read_responses(fields: _Fields) -> list[_Fields]:
    """Return instructions and input as chat messages; Rejected (400) says what is wrong with the body.

    A function call becomes a message of the assistant, its output one of the role `tool`.
    """
    given = fields.get("input")
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not is_objects(given) or not given:
        raise Rejected(400, "Missing or invalid 'input': expected text, or an array with at least one item.")
    for name, kind in (("text", dict), ("reasoning", dict), ("include", list)):
        if not isinstance(fields.get(name), kind | None):
            raise Rejected(400, f"Invalid type for '{name}'.")
    if not isinstance((fields.get("text") or {}).get("format"), dict | None):
        raise Rejected(400, "Invalid type for 'text.format': expected an object.")
    instructions = fields.get("instructions")
    system = [{"role": "system", "content": instructions}] if instructions else []
    return [*system, *map(_message, given)]


def _message(item: _Fields) -> _Fields:
    match item.get("type"):
        case "function_call":
            called = {"name": item.get("name"), "arguments": item.get("arguments")}
            call = {"id": item.get("call_id"), "type": "function", "function": called}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        case "function_call_output":
            return {"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")}
        case _:
            return item


class Responses:
    """One answer: its output items are made once, and told whole or piece by piece."""

    def __init__(self, reply: Reply, request: Request, new_id: Callable[[], str]) -> None:
        self._reply, self._request, self._new_id = reply, request, new_id
        self._status = "incomplete" if reply.finish in _INCOMPLETE else "completed"
        self._failed = reply.finish == "error"
        self._include = request.body.get("include") or []
        self._id = f"resp_{new_id()}"
        self._output = [] if self._failed else list(self._items())

    def whole(self) -> bytes:
        """Return the `response` object."""
        return _encode(self._ended())

    def events(self) -> list[Event]:
        """Return the numbered events; all after the last piece tell that the answer is complete.

        The last one is the terminal marker; its response has the usage, and its status is the reason.
        """
        told = list(self._told())
        last = max((at for at, (kind, _) in enumerate(told) if kind.endswith(".delta")), default=1)
        events = []
        for at, (kind, fields) in enumerate(told):
            framed = numbered(f"response.{kind}", at, fields)
            if at > last:
                events.append(Event(framed, "end"))
            else:
                events.append(Event(framed, "piece" if kind.endswith(".delta") else "open"))
        return [*events[:-1], self._last(len(told) - 1, *told[-1])]

    def _last(self, number: int, kind: str, fields: _Fields) -> Event:
        response, kind = fields["response"], f"response.{kind}"
        unfinished = {"response": {**response, "status": None, "incomplete_details": None}}
        uncounted = {"response": {**response, "usage": None}}
        less: dict[What, bytes] = {
            "terminal": b"",
            "finish": numbered(kind, number, unfinished),
            "usage": numbered(kind, number, uncounted),
        }
        return Event(numbered(kind, number, fields), "end", less)

    # -- the response object -------------------------------------------------------------------------------

    def _response(self, status: str, output: list[_Fields]) -> _Fields:
        body = self._request.body
        return {
            "id": self._id,
            "object": "response",
            "created_at": int(self._request.received),
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": self._request.model,
            "output": output,
            **{name: default if body.get(name) is None else body[name] for name, default in _ECHOED.items()},
            "reasoning": {"effort": None, "summary": None, **(body.get("reasoning") or {})},
            "text": {"format": {"type": "text"}, **(body.get("text") or {})},
            "tools": [_echoed_tool(tool) for tool in self._request.tools],
            "service_tier": "default",
            "usage": None,
        }

    def _ended(self) -> _Fields:
        response = self._response("failed" if self._failed else self._status, self._output)
        if self._failed:
            message = self._reply.text or "The model failed to generate a response."
            return {**response, "error": {"code": "server_error", "message": message}}
        if self._status == "incomplete":
            response["incomplete_details"] = {"reason": _INCOMPLETE[self._reply.finish]}
        usage = count_usage(self._reply, self._request)
        response["usage"] = {
            "input_tokens": usage.input,
            "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.input + usage.output,
        }
        return response

    def _items(self) -> Iterator[_Fields]:
        """Yield reasoning, its summary only if that was asked for; then the message, then function calls."""
        reply = self._reply
        if reply.reasoning:
            asked = (self._request.body.get("reasoning") or {}).get("summary")
            summary = [{"type": "summary_text", "text": reply.reasoning}] if asked else []
            item: _Fields = {"id": f"rs_{self._new_id()}", "type": "reasoning", "summary": summary}
            if "reasoning.encrypted_content" in self._include:
                item["encrypted_content"] = b64encode(reply.reasoning.encode()).decode()
            yield item
        if reply.text or not reply.tool_calls:
            content = self._content(reply.text, reply.pieces())
            about = {"id": f"msg_{self._new_id()}", "type": "message", "role": "assistant"}
            yield {**about, "status": self._status, "content": [content]}
        for call in reply.tool_calls:
            yield {
                "id": f"fc_{self._new_id()}",
                "type": "function_call",
                "status": self._status,
                "call_id": call.id or f"call_{self._new_id()}",
                "name": call.name,
                "arguments": _encode(call.args).decode(),
            }

    def _content(self, text: str, pieces: list[str]) -> _Fields:
        if self._reply.finish == "refusal":
            return {"type": "refusal", "refusal": text}
        logprobs = token_logprobs(pieces) if "message.output_text.logprobs" in self._include else []
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}

    # -- the stream ----------------------------------------------------------------------------------------

    def _told(self) -> Iterator[tuple[str, _Fields]]:
        """Yield kind and fields of every event."""
        for kind in ("created", "in_progress"):
            yield kind, {"response": self._response("in_progress", [])}
        for index, item in enumerate(self._output):
            place = {"output_index": index, "item_id": item["id"]}
            yield "output_item.added", {"output_index": index, "item": item | _BEGUN[item["type"]]}
            match item["type"]:
                case "reasoning":
                    yield from self._reasoning_told(item, place)
                case "message":
                    yield from self._message_told(item, place)
                case _:
                    arguments = item["arguments"]
                    for piece in cut_arguments(arguments):
                        yield "function_call_arguments.delta", {**place, "delta": piece}
                    yield "function_call_arguments.done", {**place, "arguments": arguments}
            yield "output_item.done", {"output_index": index, "item": item}
        ended = self._ended()
        yield ended["status"], {"response": ended}

    def _reasoning_told(self, item: _Fields, place: _Fields) -> Iterator[tuple[str, _Fields]]:
        for index, part in enumerate(item["summary"]):
            where = {**place, "summary_index": index}
            yield "reasoning_summary_part.added", {**where, "part": {**part, "text": ""}}
            for piece in Reply(part["text"]).pieces():
                yield "reasoning_summary_text.delta", {**where, "delta": piece}
            yield "reasoning_summary_text.done", {**where, "text": part["text"]}
            yield "reasoning_summary_part.done", {**where, "part": part}

    def _message_told(self, item: _Fields, place: _Fields) -> Iterator[tuple[str, _Fields]]:
        where, (part,) = {**place, "content_index": 0}, item["content"]
        yield "content_part.added", {**where, "part": self._content("", [])}
        if part["type"] == "refusal":
            for piece in self._reply.pieces():
                yield "refusal.delta", {**where, "delta": piece}
            yield "refusal.done", {**where, "refusal": part["refusal"]}
        else:
            likely = [_without_bytes(token) for token in part["logprobs"]]
            for at, piece in enumerate(self._reply.pieces()):
                yield "output_text.delta", {**where, "delta": piece, "logprobs": likely[at : at + 1]}
            yield "output_text.done", {**where, "text": part["text"], "logprobs": likely}
        yield "content_part.done", {**where, "part": part}


def error_event(error: _Fields, number: int) -> bytes:
    """Return the event that ends a stream of which `number` events have been sent, with an `error` object."""
    code = error.get("code") or error.get("type")
    told = {"code": code, "message": error["message"], "param": error.get("param")}
    return numbered("error", number, told)


def numbered(kind: str, number: int, fields: _Fields) -> bytes:
    """Return event number `number` of a stream, framed."""
    data = _encode({"type": kind, "sequence_number": number, **fields})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


def _echoed_tool(tool: _Fields) -> _Fields:
    if tool.get("type") == "function":
        return {"description": None, "parameters": None, "strict": True, **tool}
    return tool


def _without_bytes(token: _Fields) -> _Fields:
    top = [{name: value for name, value in one.items() if name != "bytes"} for one in token["top_logprobs"]]
    return {"token": token["token"], "logprob": token["logprob"], "top_logprobs": top}
