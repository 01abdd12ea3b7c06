"""Groq's dialect of OpenAI's API. Source: its API reference and the types of the `groq` package."""

from typing import Any

from langchain_prodtest.wire.dialect import Dialect
from langchain_prodtest.wire.openai import RATE_LIMITS

__all__ = ["Groq"]


class Groq(Dialect):
    """Codec of Groq, led to by `GROQ_API_BASE`: a bare host, to which the client adds `/openai/v1`."""

    base = ""
    reasoning = "reasoning"
    limits = RATE_LIMITS
    whole_calls = True
    usage_in = "finish"

    def with_finish(self, usage: dict[str, Any]) -> dict[str, Any]:
        """Return the usage in the place of Groq's own."""
        return {"x_groq": {"id": f"req_{self.new_id()}", "usage": usage}}
