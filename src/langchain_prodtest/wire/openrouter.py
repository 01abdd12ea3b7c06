"""OpenRouter's dialect of OpenAI's API. Source: its API reference and the types of `openrouter`."""

from collections.abc import Mapping
from typing import Any

import msgspec

from langchain_prodtest.script import Request, Usage
from langchain_prodtest.wire.dialect import Dialect

__all__ = ["OpenRouter"]


class OpenRouter(Dialect):
    """Codec of OpenRouter, led to by `OPENROUTER_API_BASE`. Its error codes are numbers."""

    base = "/api/v1"
    usage_in = "always"

    def thought(self, reasoning: str) -> dict[str, Any]:
        """Return reasoning as text and as a detail."""
        detail = {"type": "reasoning.text", "text": reasoning, "format": "unknown", "index": 0}
        return {"reasoning": reasoning, "reasoning_details": [detail]}

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Return the token counts and what they cost: nothing."""
        return super().usage(usage) | {"cost": 0.0, "is_byok": False}

    def error(self, status: int, message: str, headers: Mapping[str, str]) -> bytes:
        """Return `{"error": {...}}` with the status as its code."""
        return msgspec.json.encode({"error": {"code": status, "message": message}})

    def error_event(self, status: int, message: str, request: Request, number: int) -> bytes:
        """Return the error inside a chunk."""
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": "error"}
        told = {"error": {"code": status, "message": message}, "choices": [choice]}
        chunk = self.envelope("chat.completion.chunk", request) | told
        return b"data: %b\n\n" % msgspec.json.encode(chunk)
