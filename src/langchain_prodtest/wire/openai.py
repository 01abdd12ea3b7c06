"""OpenAI's API: chat completions, responses, embeddings, moderations and the list of models.

Source: OpenAI's API reference and the types of the `openai` package.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import msgspec

from langchain_prodtest.script import Reply, Request
from langchain_prodtest.wire.codec import Event, Head, Rejected, asked, read_object
from langchain_prodtest.wire.completions import Completions, is_objects, read_chat
from langchain_prodtest.wire.embeddings import embeddings, read_embeddings
from langchain_prodtest.wire.moderations import moderations, read_moderations
from langchain_prodtest.wire.responses import Responses, error_event, read_responses

__all__ = ["RATE_LIMITS", "OpenAI"]

_Fields = dict[str, Any]

_encode = msgspec.json.encode
_READ: dict[str, Callable[[_Fields], list[_Fields]]] = {
    "chat": read_chat,
    "responses": read_responses,
    "embeddings": read_embeddings,
    "moderations": read_moderations,
}
"""By operation: what reads the messages from a request's body."""
_ROUTES = {
    "/chat/completions": "chat",
    "/responses": "responses",
    "/embeddings": "embeddings",
    "/moderations": "moderations",
}
_KINDS: dict[int, tuple[str, str | None]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", None),
    429: ("requests", "rate_limit_exceeded"),
}
_WRONG = (
    (re.compile("Missing required parameter: '([^']+)'"), "missing_required_parameter"),
    (re.compile("Invalid type for '([^']+)'"), "invalid_type"),
    (re.compile("Invalid '([^']+)': empty array"), "empty_array"),
    (re.compile("Invalid (?:value for )?'([^']+)'"), "invalid_value"),
)
"""What a message says that names a parameter, and the code that goes with it."""
RATE_LIMITS = {
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-limit-tokens": "2000000",
    "x-ratelimit-remaining-requests": "9999",
    "x-ratelimit-remaining-tokens": "1999999",
    "x-ratelimit-reset-requests": "6ms",
    "x-ratelimit-reset-tokens": "0s",
}
"""The headers that tell the rate limits, as if hardly anything of them were used."""


class OpenAI(Completions):
    """Codec of OpenAI. A client is led to it by `OPENAI_BASE_URL`.

    A dialect has its own `base`, the `operations` that it offers beside the list of models, and those that
    need a model (`of_a_model`).
    """

    base = "/v1"
    operations: ClassVar[frozenset[str]] = frozenset(_READ)
    of_a_model: ClassVar[frozenset[str]] = frozenset({"chat", "responses", "embeddings"})
    unscripted = frozenset({"models"})
    stream_type = "text/event-stream; charset=utf-8"
    garbage = b'data: {"choices": [{not json\n\n'

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes of the operations, and that of the models."""
        offered = [route for route, operation in _ROUTES.items() if operation in self.operations]
        return (*(f"POST {self.base}{route}" for route in offered), f"GET {self.base}/models")

    def decode(self, head: Head, body: bytes) -> Request:
        """Return the Request; Rejected (404, 400) as OpenAI does it."""
        if head.method == "GET" and head.path.endswith("/models"):
            return Request(
                provider=head.provider, operation="models", headers=head.headers, received=head.received
            )
        route = next((route for route in _ROUTES if head.path.endswith(route)), "")
        operation = _ROUTES.get(route, "")
        if head.method != "POST" or operation not in self.operations:
            raise Rejected(404, f"Invalid URL ({head.method} {head.path})")
        fields = read_object(body)
        if not isinstance(fields.get("model"), str | None):
            raise Rejected(400, "Invalid type for 'model': expected a string.")
        if operation in self.of_a_model and not fields.get("model"):
            raise Rejected(400, "you must provide a model parameter")
        if fields.get("tools") is not None and not is_objects(fields["tools"]):
            raise Rejected(400, "Invalid type for 'tools': expected an array of objects.")
        messages = _READ[operation](fields)
        return asked(
            head,
            operation,
            fields,
            messages,
            model=fields.get("model") or "",
            tools=fields.get("tools") or [],
            stream=operation in ("chat", "responses") and bool(fields.get("stream")),
        )

    def events(self, reply: Reply, request: Request) -> list[Event]:
        """Return the events of a chat completion or a response."""
        if request.operation == "responses":
            return Responses(reply, request, self.new_id).events()
        return self.chat_events(reply, request)

    def whole(self, reply: Reply, request: Request) -> bytes:
        """Return the body of the operation that was asked for."""
        match request.operation:
            case "models":
                model = {"id": "prodtest", "object": "model", "created": 0, "owned_by": "prodtest"}
                return _encode({"object": "list", "data": [model]})
            case "responses":
                return Responses(reply, request, self.new_id).whole()
            case "embeddings":
                return embeddings(request)
            case "moderations":
                return moderations(reply, request, f"modr-{self.new_id()}")
            case _:
                return self.chat_whole(reply, request)

    def error(self, status: int, message: str, headers: Mapping[str, str]) -> bytes:
        """Return `{"error": {...}}` with the type, parameter and code that OpenAI uses for it."""
        kind, code = _KINDS.get(status, ("invalid_request_error" if status < 500 else "server_error", None))
        param = None
        if status == 400:
            found = ((pattern.match(message), code) for pattern, code in _WRONG)
            param, code = next(((one[1], code) for one, code in found if one), (None, None))
        return _encode({"error": {"message": message, "type": kind, "param": param, "code": code}})

    def error_event(self, status: int, message: str, request: Request, number: int) -> bytes:
        """Return the error's body as an event, in a stream of responses its fields."""
        body = self.error(status, message, {})
        if request.operation == "responses":
            return error_event(msgspec.json.decode(body)["error"], number)
        return b"data: %b\n\n" % body

    def headers(self) -> dict[str, str]:
        """Return the request id, the API's version, and the rate limits as if hardly anything were used."""
        return {"x-request-id": f"req_{self.new_id()}", "openai-version": "2020-10-01", **RATE_LIMITS}

    def answer_headers(self, reply: Reply, request: Request) -> dict[str, str]:
        """Return none: the body says it all."""
        return {}

    def error_headers(self, status: int) -> dict[str, str]:
        """Return, for a 429, that no request is left."""
        return {"x-ratelimit-remaining-requests": "0"} if status == 429 else {}
