"""xAI's dialect of OpenAI's API. Source: its API reference."""

from typing import Any

from langchain_prodtest.script import Usage
from langchain_prodtest.wire.dialect import Dialect

__all__ = ["XAI"]


class XAI(Dialect):
    """Codec of xAI, led to by `XAI_API_BASE`."""

    operations = frozenset({"chat", "responses"})
    whole_calls = True

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Return the token counts; tokens of reasoning are not a part of the completion's here."""
        counts = super().usage(usage)
        return counts | {"completion_tokens": usage.output - usage.reasoning, "num_sources_used": 0}
