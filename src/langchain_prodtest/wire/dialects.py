"""Providers that speak OpenAI's dialect, each by what it does differently.

Sources: the providers' API references, and the types of `groq`, `fireworks-ai` and `openrouter`.
"""

from typing import Any

import msgspec

from langchain_prodtest.script import Usage
from langchain_prodtest.wire.completions import FINGERPRINT
from langchain_prodtest.wire.openai import RATE_LIMITS, OpenAI

__all__ = ["NVIDIA", "XAI", "DeepSeek", "Fireworks", "Groq", "OpenRouter", "Together"]

_CHAT = frozenset({"chat"})
_CHAT_AND_EMBEDDINGS = frozenset({"chat", "embeddings"})
_NOTHING: dict[str, Any] = {}


class _Dialect(OpenAI):
    """Chat alone, with few fields; the reasoning stands in the field that `reasoning` names."""

    operations = _CHAT
    about = FINGERPRINT
    refusals = False
    reasoning = "reasoning_content"

    def thought(self, reasoning: str) -> dict[str, Any]:
        """Return the field that tells reasoning."""
        return {self.reasoning: reasoning}

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Return the token counts with the details that all have."""
        return {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
            "prompt_tokens_details": {"cached_tokens": usage.cached},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        }

    def headers(self) -> dict[str, str]:
        """Return the request id."""
        return {"x-request-id": f"req_{self.new_id()}"}

    def error_headers(self, status: int) -> dict[str, str]:
        """Return none."""
        return {}


class Groq(_Dialect):
    """Codec of Groq, led to by `GROQ_API_BASE`: a bare host, to which the client adds `/openai/v1`."""

    base = ""
    reasoning = "reasoning"
    whole_calls = True
    usage_in = "finish"

    def headers(self) -> dict[str, str]:
        """Return the request id and the rate limits."""
        return super().headers() | RATE_LIMITS

    def error_headers(self, status: int) -> dict[str, str]:
        """Return, for a 429, that no request is left."""
        return OpenAI.error_headers(self, status)

    def with_finish(self, usage: dict[str, Any]) -> dict[str, Any]:
        """Return the usage in the place of Groq's own."""
        return {"x_groq": {"id": f"req_{self.new_id()}", "usage": usage}}


class Fireworks(_Dialect):
    """Codec of Fireworks, led to by `FIREWORKS_API_BASE`, to which the client adds `/v1`."""

    base = "/inference"
    operations = _CHAT_AND_EMBEDDINGS
    about = _NOTHING

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Return the token counts; reasoning is not told apart."""
        return {
            name: count for name, count in super().usage(usage).items() if "completion_tokens_" not in name
        }


class Together(_Dialect):
    """Codec of Together, led to by `TOGETHER_API_BASE`."""

    operations = _CHAT_AND_EMBEDDINGS
    about = _NOTHING
    reasoning = "reasoning"
    usage_in = "finish"


class DeepSeek(_Dialect):
    """Codec of DeepSeek, led to by `DEEPSEEK_API_BASE`."""

    usage_in = "finish"

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Return the token counts, and the input's parts that hit and missed the cache."""
        cached = {
            "prompt_cache_hit_tokens": usage.cached,
            "prompt_cache_miss_tokens": usage.input - usage.cached,
        }
        return super().usage(usage) | cached


class XAI(_Dialect):
    """Codec of xAI, led to by `XAI_API_BASE`."""

    operations = frozenset({"chat", "responses"})
    whole_calls = True

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Return the token counts; tokens of reasoning are not a part of the completion's here."""
        counts = super().usage(usage)
        return counts | {"completion_tokens": usage.output - usage.reasoning, "num_sources_used": 0}


class OpenRouter(_Dialect):
    """Codec of OpenRouter, led to by `OPENROUTER_API_BASE`. Its error codes are numbers."""

    base = "/api/v1"
    reasoning = "reasoning"
    usage_in = "always"

    def thought(self, reasoning: str) -> dict[str, Any]:
        """Return reasoning as text and as a detail."""
        detail = {"type": "reasoning.text", "text": reasoning, "format": "unknown", "index": 0}
        return {"reasoning": reasoning, "reasoning_details": [detail]}

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Return the token counts and what they cost: nothing."""
        return super().usage(usage) | {"cost": 0.0, "is_byok": False}

    def error(self, status: int, message: str) -> bytes:
        """Return `{"error": {...}}` with the status as its code."""
        return msgspec.json.encode({"error": {"code": status, "message": message}})

    def error_event(self, status: int, message: str) -> bytes:
        """Return the error inside a chunk."""
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": "error"}
        chunk = {
            "id": f"gen-{self.new_id()}",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": "",
            "error": {"code": status, "message": message},
            "choices": [choice],
        }
        return b"data: %b\n\n" % msgspec.json.encode(chunk)


class NVIDIA(_Dialect):
    """Codec of NVIDIA's NIM, led to by `NVIDIA_BASE_URL`."""

    operations = _CHAT_AND_EMBEDDINGS
