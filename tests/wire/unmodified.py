"""Ask the providers named on the command line as an app in production does: no base URL, no option for us.

Prints one JSON object: per provider, what `invoke`, `stream`, `ainvoke` and `astream` said, and the usage.
"""

import asyncio
import importlib
import json
import sys
from typing import Any

from langchain_core.language_models import BaseChatModel

QUESTION = "Say it. pt-0000000000000007"


# Each is what an app writes: a class and a model.
CLIENTS = {
    "openai": ("langchain_openai", "ChatOpenAI", {"model": "gpt-5-mini"}),
    "azure": (
        "langchain_openai",
        "AzureChatOpenAI",
        {
            "azure_endpoint": "https://acme.openai.azure.com",
            "api_version": "2025-01-01",
            "model": "gpt-5-mini",
        },
    ),
    "anthropic": ("langchain_anthropic", "ChatAnthropic", {"model": "claude-opus-4-7"}),
    "groq": ("langchain_groq", "ChatGroq", {"model": "llama-3.3-70b-versatile"}),
    "perplexity": ("langchain_perplexity", "ChatPerplexity", {"model": "sonar"}),
    "bedrock": (
        "langchain_aws",
        "ChatBedrockConverse",
        {"model": "amazon.nova-lite-v1:0", "region_name": "eu-central-1"},
    ),
    "gemini": ("langchain_google_genai", "ChatGoogleGenerativeAI", {"model": "gemini-3-flash"}),
    "cohere": ("langchain_cohere", "ChatCohere", {"model": "command-a-03-2025"}),
    "deepseek": ("langchain_deepseek", "ChatDeepSeek", {"model": "deepseek-chat"}),
    "fireworks": ("langchain_fireworks", "ChatFireworks", {"model": "accounts/fireworks/models/glm-5"}),
    "nvidia": ("langchain_nvidia_ai_endpoints", "ChatNVIDIA", {"model": "meta/llama-3.3-70b-instruct"}),
    "openrouter": ("langchain_openrouter", "ChatOpenRouter", {"model": "openai/gpt-5-mini"}),
    "together": ("langchain_together", "ChatTogether", {"model": "openai/gpt-oss-20b"}),
    "xai": ("langchain_xai", "ChatXAI", {"model": "grok-4"}),
}


def client(name: str) -> BaseChatModel:
    module, kind, options = CLIENTS[name]
    model: BaseChatModel = getattr(importlib.import_module(module), kind)(**options)
    return model


def said(chunks: list[Any]) -> dict[str, Any]:
    """Return text and usage of a message, or of the chunks of one."""
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    return {"text": total.text, "usage": total.usage_metadata}


async def asked(model: BaseChatModel) -> dict[str, Any]:
    """Ask sync, then async in the one event loop that an app has; an error is its own name."""
    answers = {
        "invoke": said([await asyncio.to_thread(model.invoke, QUESTION)]),
        "stream": said(await asyncio.to_thread(lambda: list(model.stream(QUESTION)))),
    }
    try:
        answers["ainvoke"] = said([await model.ainvoke(QUESTION)])
        answers["astream"] = said([chunk async for chunk in model.astream(QUESTION)])
    except Exception as error:
        answers["async"] = {"error": type(error).__name__}
    return answers


if __name__ == "__main__":
    print(json.dumps({name: asyncio.run(asked(client(name))) for name in sys.argv[1:]}))
