"""Together's dialect of OpenAI's API. Source: its API reference."""

from typing import Any, ClassVar

from langchain_prodtest.wire.dialect import Dialect

__all__ = ["Together"]


class Together(Dialect):
    """Codec of Together, led to by `TOGETHER_API_BASE`."""

    operations = frozenset({"chat", "embeddings"})
    about: ClassVar[dict[str, Any]] = {}
    reasoning = "reasoning"
    usage_in = "finish"
