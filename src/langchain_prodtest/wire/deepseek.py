"""DeepSeek's dialect of OpenAI's API. Source: its API reference."""

from typing import Any

from langchain_prodtest.script import Usage
from langchain_prodtest.wire.dialect import Dialect

__all__ = ["DeepSeek"]


class DeepSeek(Dialect):
    """Codec of DeepSeek, led to by `DEEPSEEK_API_BASE`."""

    usage_in = "finish"

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Return the token counts, and the input's parts that hit and missed the cache."""
        cached = {
            "prompt_cache_hit_tokens": usage.cached,
            "prompt_cache_miss_tokens": usage.input - usage.cached,
        }
        return super().usage(usage) | cached
