"""The providers that can be mounted. A new provider is one codec file and one line here."""

from langchain_prodtest.wire.anthropic import Anthropic
from langchain_prodtest.wire.azure import Azure
from langchain_prodtest.wire.bedrock import Bedrock
from langchain_prodtest.wire.codec import Codec
from langchain_prodtest.wire.cohere import Cohere
from langchain_prodtest.wire.deepseek import DeepSeek
from langchain_prodtest.wire.fireworks import Fireworks
from langchain_prodtest.wire.gemini import Gemini
from langchain_prodtest.wire.groq import Groq
from langchain_prodtest.wire.mistral import Mistral
from langchain_prodtest.wire.nvidia import NVIDIA
from langchain_prodtest.wire.ollama import Ollama
from langchain_prodtest.wire.openai import OpenAI
from langchain_prodtest.wire.openrouter import OpenRouter
from langchain_prodtest.wire.perplexity import Perplexity
from langchain_prodtest.wire.together import Together
from langchain_prodtest.wire.xai import XAI

__all__ = ["PROVIDERS"]

PROVIDERS: dict[str, Codec] = {
    "openai": OpenAI(),
    "azure": Azure(),
    "groq": Groq(),
    "fireworks": Fireworks(),
    "together": Together(),
    "deepseek": DeepSeek(),
    "xai": XAI(),
    "openrouter": OpenRouter(),
    "nvidia": NVIDIA(),
    "anthropic": Anthropic(),
    "ollama": Ollama(),
    "bedrock": Bedrock(),
    "mistral": Mistral(),
    "perplexity": Perplexity(),
    "cohere": Cohere(),
    "gemini": Gemini(),
}
