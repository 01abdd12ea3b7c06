"""Mistral's dialect of OpenAI's API: chat completions, embeddings and the list of models.

Source: the API reference of `POST /v1/chat/completions` and `POST /v1/embeddings`.
"""

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace

from langchain_prodtest.script import Reply, Request, ToolCall, Usage
from langchain_prodtest.wire.codec import Event, Head, Rejected
from langchain_prodtest.wire.openai import OpenAI

__all__ = ["Mistral"]

_encode = msgspec.json.encode
_CALL_ID = re.compile(r"[A-Za-z0-9]{9}")
_FINISH = {"content_filter": "error", "refusal": "stop"}
_KINDS = {
    400: ("invalid_request_error", "3051"),
    401: ("invalid_request_error", "1401"),
    404: ("invalid_model", "1500"),
    429: ("rate_limited", "1300"),
}
_Fields = dict[str, Any]


class Mistral(OpenAI):
    """Codec of Mistral. Its clients send no retry mark, and take exactly this type for an event stream."""

    operations = frozenset({"chat", "embeddings"})
    stream_type = "text/event-stream"
    about: ClassVar[_Fields] = {}
    refusals = False
    whole_calls = True
    usage_in = "finish"

    def decode(self, head: Head, body: bytes) -> Request:
        """Return the Request; what a body has wrong is 422, also that it is not JSON."""
        try:
            return super().decode(head, body)
        except Rejected as rejected:
            raise Rejected(422 if rejected.status == 400 else rejected.status, str(rejected)) from None

    def events(self, reply: Reply, request: Request) -> list[Event]:
        """Return the stream of a chat, a tool call whole in one chunk, the usage in the last."""
        return super().events(_in_own_words(reply), request)

    def whole(self, reply: Reply, request: Request) -> bytes:
        """Return a chat completion, embeddings (with an id, as Mistral's have), or the models."""
        body = super().whole(_in_own_words(reply), request)
        if request.operation != "embeddings":
            return body
        return _encode({"id": self.new_id(), **msgspec.json.decode(body)})

    def usage(self, usage: Usage) -> _Fields:
        """Return the token counts; Mistral tells no details."""
        total = usage.input + usage.output
        return {"prompt_tokens": usage.input, "total_tokens": total, "completion_tokens": usage.output}

    def thought(self, reasoning: str) -> _Fields:
        """Return content that is a list of chunks, of which one tells the reasoning."""
        return {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": reasoning}]}]}

    def _message(self, reply: Reply) -> _Fields:
        message = super()._message(reply)
        if reply.reasoning and reply.text:
            message["content"].append({"type": "text", "text": reply.text})
        return message

    def tool_call(self, call: ToolCall, arguments: str) -> _Fields:
        """Return a tool call; an id that is not nine letters and digits becomes one that is."""
        given = call.id or self.new_id()
        if not _CALL_ID.fullmatch(given):
            given = blake2b(given.encode("utf-8", "surrogatepass")).hexdigest()[:9]
        return super().tool_call(replace(call, id=given), arguments)

    def error(self, status: int, message: str, headers: Mapping[str, str]) -> bytes:
        """Return an error object; for 422 what is wrong with the request, as its framework lists it."""
        if status == 422:
            return _encode({"detail": [{"type": "value_error", "loc": ["body"], "msg": message}]})
        kind, code = _KINDS.get(status, ("internal_server_error", "1000"))
        fields = {"object": "error", "message": message, "type": kind, "param": None, "code": code}
        return _encode(fields)

    def headers(self) -> dict[str, str]:
        """Return the id by which Mistral finds a request again."""
        return {"mistral-correlation-id": self.new_id()}

    def error_headers(self, status: int) -> dict[str, str]:
        """Return none: the body says it all."""
        return {}


def _in_own_words(reply: Reply) -> Reply:
    return replace(reply, finish=_FINISH.get(reply.finish, reply.finish))
