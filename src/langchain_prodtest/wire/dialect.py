"""What providers that speak OpenAI's dialect have in common; the file of each tells how it differs."""

from collections.abc import Mapping
from typing import Any, ClassVar

from langchain_prodtest.script import Usage
from langchain_prodtest.wire.completions import FINGERPRINT
from langchain_prodtest.wire.openai import OpenAI

__all__ = ["Dialect"]


class Dialect(OpenAI):
    """Chat alone, with few fields; the reasoning stands in the field that `reasoning` names.

    `limits` are headers of every answer that tell the rate limits.
    """

    operations = frozenset({"chat"})
    about = FINGERPRINT
    refusals = False
    reasoning = "reasoning_content"
    limits: ClassVar[Mapping[str, str]] = {}

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
        """Return the request id, and the rate limits if there are any."""
        return {"x-request-id": f"req_{self.new_id()}", **self.limits}

    def error_headers(self, status: int) -> dict[str, str]:
        """Return, for a 429 where there are limits, that no request is left."""
        return super().error_headers(status) if self.limits else {}
