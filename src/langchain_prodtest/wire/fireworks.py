"""Fireworks' dialect of OpenAI's API. Source: its API reference and the types of `fireworks-ai`."""

from typing import Any, ClassVar

from langchain_prodtest.script import Usage
from langchain_prodtest.wire.codec import lacking
from langchain_prodtest.wire.dialect import Dialect

__all__ = ["Fireworks"]


class Fireworks(Dialect):
    """Codec of Fireworks, led to by `FIREWORKS_API_BASE`, to which the client adds `/v1`."""

    base = "/inference"
    operations = frozenset({"chat", "embeddings"})
    about: ClassVar[dict[str, Any]] = {}

    def usage(self, usage: Usage) -> dict[str, Any]:
        """Return the token counts; reasoning is not told apart."""
        return lacking(super().usage(usage), "completion_tokens_details")
