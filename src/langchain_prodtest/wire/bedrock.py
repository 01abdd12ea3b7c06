"""AWS Bedrock's runtime API: Converse, models invoked in their own JSON, and token counts.

Source: AWS's service model `bedrock-runtime`, as botocore ships it.
"""

import itertools
import re
import secrets
import uuid
from base64 import b64decode
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from langchain_prodtest.script import Reply, Request
from langchain_prodtest.wire import bedrock_converse, bedrock_invoke, eventstream
from langchain_prodtest.wire.codec import Event, Head, Rejected, asked, read_object
from langchain_prodtest.wire.tokens import count_usage

__all__ = ["Bedrock"]

_Fields = dict[str, Any]
_encode = msgspec.json.encode
_ACTIONS = ("converse", "converse-stream", "invoke", "invoke-with-response-stream", "count-tokens")
_ROUTE = re.compile(rf"/model/([^/]+)/({'|'.join(_ACTIONS)})")
_ERRORS = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_STREAM_ERRORS = {
    400: "validationException",
    424: "modelStreamErrorException",
    429: "throttlingException",
    500: "internalServerException",
    503: "serviceUnavailableException",
}


class Bedrock:
    """Codec of the Bedrock runtime. Signatures and bearer tokens are accepted as they are."""

    base = ""
    routes = tuple(f"POST /model/{{model}}/{action}" for action in _ACTIONS)
    unscripted = frozenset({"count_tokens"})
    stream_type = eventstream.CONTENT_TYPE
    garbage = eventstream.with_wrong_checksum(eventstream.event("chunk", b'{"bytes":"e30="}'))

    def __init__(self) -> None:
        self._run = secrets.randbits(96) << 32
        self._numbers = itertools.count(1)

    def decode(self, head: Head, body: bytes) -> Request:
        """Return the Request; Rejected (404, 400) as Bedrock or the invoked model does it."""
        route = _ROUTE.fullmatch(head.path)
        if route is None or head.method != "POST":
            raise Rejected(404, f"bedrock-runtime has no operation {head.method} {head.path}")
        model, action = unquote(route[1]), route[2]
        fields = read_object(body)
        read = _read(head, model, action, fields)
        return asked(
            head,
            "count_tokens" if action == "count-tokens" else read.operation,
            fields,
            read.messages,
            model=model,
            tools=read.tools,
            stream=action.endswith("-stream"),
        )

    def events(self, reply: Reply, request: Request) -> list[Event]:
        """Return the events of ConverseStream, or the chunks of the model that is invoked."""
        if bedrock_invoke.key_of(request.body):
            return bedrock_invoke.events(reply, request)
        return bedrock_converse.events(reply, request, self._new_id)

    def whole(self, reply: Reply, request: Request) -> bytes:
        """Return a `ConverseResponse`, the body of the model that is invoked, or a count of tokens."""
        if request.operation == "count_tokens":
            return _encode({"inputTokens": count_usage(Reply(), request).input})
        if bedrock_invoke.key_of(request.body):
            return bedrock_invoke.whole(reply, request, self._new_id())
        return bedrock_converse.whole(reply, request, self._new_id)

    def error(self, status: int, message: str, headers: Mapping[str, str]) -> bytes:
        """Return `{"message": ...}`; a header names the error."""
        return _encode({"message": message})

    def error_event(self, status: int, message: str, request: Request, number: int) -> bytes:
        """Return the exception that both kinds of streams know for this status, else an error frame."""
        kind = _STREAM_ERRORS.get(status)
        if kind is None:
            return eventstream.error(_ERRORS.get(status, "InternalFailure"), message)
        return eventstream.exception(kind, self.error(status, message, {}))

    def headers(self) -> dict[str, str]:
        """Return the request id."""
        return {"x-amzn-requestid": self._new_id()}

    def answer_headers(self, reply: Reply, request: Request) -> dict[str, str]:
        """Return, for a model that is invoked, the counts of tokens, which clients read from nowhere else."""
        return bedrock_invoke.headers(reply, request) if bedrock_invoke.key_of(request.body) else {}

    def error_headers(self, status: int) -> dict[str, str]:
        """Return the name of the error, if the service has one for this status."""
        return {"x-amzn-errortype": _ERRORS[status]} if status in _ERRORS else {}

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._run + next(self._numbers)))


def _read(head: Head, model: str, action: str, fields: _Fields) -> Request:
    """Return operation, messages and tools of what is asked; Rejected (400) says what is wrong."""
    if action == "invoke":
        return bedrock_invoke.read(head, model, fields)
    if action == "invoke-with-response-stream":
        asked = bedrock_invoke.read(head, model, fields)
        if asked.operation != "chat":
            raise Rejected(400, "The model is unsupported for streaming.")
        return asked
    if action == "count-tokens":
        return _read_counted(head, model, fields)
    if key := bedrock_invoke.key_of(fields):
        raise Rejected(400, f"Converse has no field {key}.")
    messages, tools = bedrock_converse.read(fields)
    return Request(provider=head.provider, messages=messages, tools=tools)


def _read_counted(head: Head, model: str, fields: _Fields) -> Request:
    match fields.get("input"):
        case {"converse": dict() as asked}:
            return _read(head, model, "converse", asked)
        case {"invokeModel": {"body": str() as body}}:
            try:
                return _read(head, model, "invoke", read_object(b64decode(body, validate=True)))
            except ValueError:
                raise Rejected(400, "input.invokeModel.body must be base64.") from None
    raise Rejected(400, "input must be one of converse and invokeModel.")
