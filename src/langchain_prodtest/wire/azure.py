"""Azure OpenAI: OpenAI's API by deployment, with the verdicts of its content filter.

Source: "Azure OpenAI REST API reference" and "Content filtering", Microsoft Learn.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from langchain_prodtest.script import Reply, Request
from langchain_prodtest.wire.codec import Event, Head, Rejected
from langchain_prodtest.wire.completions import FINGERPRINT
from langchain_prodtest.wire.openai import OpenAI

__all__ = ["Azure"]

_Fields = dict[str, Any]

_encode = msgspec.json.encode
_V1 = "/openai/v1/"
_CATEGORIES = ("hate", "self_harm", "sexual", "violence")


class Azure(OpenAI):
    """Codec of Azure OpenAI. A client is led to it by `AZURE_OPENAI_ENDPOINT`, the host alone."""

    base = ""
    operations = frozenset({"chat", "responses", "embeddings"})
    of_a_model = frozenset({"responses"})
    routes = (
        "POST /openai/deployments/{deployment}/chat/completions?api-version={version}",
        "POST /openai/deployments/{deployment}/embeddings?api-version={version}",
        "POST /openai/responses?api-version={version}",
        "POST /openai/v1/chat/completions",
        "POST /openai/v1/embeddings",
        "POST /openai/v1/responses",
    )
    about = FINGERPRINT

    def decode(self, head: Head, body: bytes) -> Request:
        """Return the Request, its model the deployment unless the body names one; Rejected (404, 400).

        Outside of `/openai/v1/` a request without `api-version` in its query is a 404 too.
        """
        is_versioned = head.path.startswith(_V1) or dict(parse_qsl(head.query)).get("api-version")
        if not head.path.startswith("/openai/") or not is_versioned:
            raise Rejected(404, "Resource not found")
        request = super().decode(head, body)
        _, found, rest = head.path.partition("/deployments/")
        if request.model or not found:
            return request
        return msgspec.structs.replace(request, model=rest.partition("/")[0])

    def events(self, reply: Reply, request: Request) -> list[Event]:
        """Return, before the events of OpenAI's chat, one with the filter's verdict on the prompt."""
        events = super().events(reply, request)
        if request.operation != "chat":
            return events
        kind = "chat.completion.chunk"
        first = {"id": "", "object": kind, "created": 0, "model": "", "choices": [], **_PROMPT}
        return [Event(b"data: %b\n\n" % _encode(first), "open"), *events]

    def envelope(self, kind: str, request: Request) -> _Fields:
        """Return also the filter's verdict on the prompt, unless the answer is streamed."""
        return super().envelope(kind, request) | ({} if request.stream else _PROMPT)

    def with_choice(self, reply: Reply) -> _Fields:
        """Return the filter's verdict on the answer: violence if it finishes with `content_filter`."""
        return {"content_filter_results": _verdict(filtered=reply.finish == "content_filter")}

    def error(self, status: int, message: str, headers: Mapping[str, str]) -> bytes:
        """Return `{"error": {...}}` with the status as its code; a 400 is the model's, in OpenAI's shape."""
        if status == 400:
            return super().error(status, message, headers)
        return _encode({"error": {"code": str(status), "message": message}})

    def headers(self) -> dict[str, str]:
        """Return the request ids, the region, and what is left of the rate limits."""
        identity = self.new_id()
        return {
            "x-request-id": identity,
            "apim-request-id": identity,
            "x-ms-region": "prodtest",
            "x-ratelimit-remaining-requests": "9999",
            "x-ratelimit-remaining-tokens": "1999999",
        }


def _verdict(*, filtered: bool) -> _Fields:
    clean = {"filtered": False, "severity": "safe"}
    violence = {"filtered": True, "severity": "medium"} if filtered else clean
    return {**dict.fromkeys(_CATEGORIES, clean), "violence": violence}


_PROMPT = {"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": _verdict(filtered=False)}]}
