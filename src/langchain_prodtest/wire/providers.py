"""The providers that can be mounted. A new provider is one codec file and one line here."""

from langchain_prodtest.wire.anthropic import Anthropic
from langchain_prodtest.wire.codec import Codec
from langchain_prodtest.wire.cohere import Cohere
from langchain_prodtest.wire.gemini import Gemini
from langchain_prodtest.wire.ollama import Ollama
from langchain_prodtest.wire.openai import OpenAI

__all__ = ["PROVIDERS"]

PROVIDERS: dict[str, Codec] = {
    "openai": OpenAI(),
    "anthropic": Anthropic(),
    "ollama": Ollama(),
    "cohere": Cohere(),
    "gemini": Gemini(),
}
