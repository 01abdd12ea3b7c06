"""The environment that leads clients to the fake providers, and nowhere else.

Source of the names: the partner packages, as installed; where a client reads several variables, the others
are in REMOVED.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

__all__ = ["KEY", "directed", "redirected"]

KEY = "prodtest-fixture-key-not-a-secret"
LOOPBACK = "127.0.0.1,localhost"

BASE_URLS = {
    "anthropic": ("ANTHROPIC_BASE_URL",),
    "azure": ("AZURE_OPENAI_ENDPOINT",),
    "bedrock": ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL_BEDROCK"),
    "cohere": ("CO_API_URL",),
    "deepseek": ("DEEPSEEK_API_BASE",),
    "fireworks": ("FIREWORKS_API_BASE", "FIREWORKS_BASE_URL"),
    "gemini": ("GOOGLE_GEMINI_BASE_URL",),
    "groq": ("GROQ_BASE_URL",),
    "mistral": ("MISTRAL_BASE_URL",),
    "nvidia": ("NVIDIA_BASE_URL",),
    "ollama": ("OLLAMA_HOST",),
    "openai": ("OPENAI_BASE_URL",),
    "openrouter": ("OPENROUTER_API_BASE",),
    "perplexity": ("PERPLEXITY_BASE_URL",),
    "together": ("TOGETHER_API_BASE",),
    "xai": ("XAI_API_BASE",),
}
"""By provider, the variables that hold its base URL. ChatCohere reads none: give it `base_url`."""

KEYS = (
    "ANTHROPIC_API_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AZURE_OPENAI_API_KEY",
    "COHERE_API_KEY",
    "CO_API_KEY",
    "DEEPSEEK_API_KEY",
    "FIREWORKS_API_KEY",
    "GOOGLE_API_KEY",
    "GROQ_API_KEY",
    "MISTRAL_API_KEY",
    "NVIDIA_API_KEY",
    "OPENAI_API_KEY",
    "OPENROUTER_API_KEY",
    "PERPLEXITY_API_KEY",
    "PPLX_API_KEY",
    "TOGETHER_API_KEY",
    "XAI_API_KEY",
)

# What must be gone, because it would win over the base URL or change what is sent.
REMOVED = (
    "ANTHROPIC_API_URL",
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_PROXY",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_ENDPOINT_URL",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "AZURE_OPENAI_AD_TOKEN",
    "GEMINI_API_KEY",
    "GOOGLE_GENAI_USE_VERTEXAI",
    "GROQ_API_BASE",
    "GROQ_PROXY",
    "LC_OUTPUT_VERSION",
    "OPENAI_API_BASE",
    "OPENAI_CUSTOM_HEADERS",
    "OPENAI_ORGANIZATION",
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT_ID",
    "OPENAI_PROXY",
)
REMOVED_PREFIX = "LANGSMITH_GATEWAY"

# Quiet what else would use the network beside the provider: tracers, telemetry, tokenizers, cost maps.
QUIET = {
    "NO_PROXY": LOOPBACK,
    "no_proxy": LOOPBACK,
    "AWS_EC2_METADATA_DISABLED": "true",
    "HF_HUB_OFFLINE": "1",
    "LANGSMITH_TRACING": "false",
    "LANGSMITH_TRACING_V2": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "NVIDIA_USAGE_TELEMETRY_ENABLED": "0",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}

# Needed by clients, and harmless where they are set already.
NEEDED = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1", "OPENAI_API_VERSION": "2025-04-01"}

# Functions that keep a client, or a variable, for the life of the process.
CACHES = {
    "langchain_openai.chat_models._client_utils": ("_cached_sync_httpx_client", "_cached_async_httpx_client"),
    "langchain_anthropic._client_utils": ("_get_default_httpx_client", "_get_default_async_httpx_client"),
    "langsmith.utils": ("get_env_var",),
}


@contextmanager
def redirected(urls: Mapping[str, str]) -> Iterator[None]:
    """Lead every client that is built in this block to the base URL of its provider in `urls`."""
    found = {variable: urls[name] for name in urls for variable in BASE_URLS.get(name, ())}
    with _changed({**QUIET, **found}):
        yield


@contextmanager
def directed(variables: Mapping[str, str], urls: Mapping[str, str]) -> Iterator[None]:
    """Leave clients their production URLs, and lead their connections by `variables` (proxy and trust).

    Those that have no such URL (Ollama), or trust no authority but their own (Mistral), are led by `urls`.
    """
    kept = {name: urls[name] if name in ("mistral", "ollama") else None for name in BASE_URLS}
    own = {variable: kept[name] for name, variables_ in BASE_URLS.items() for variable in variables_}
    with _changed({**QUIET, **own, **variables}):
        yield


@contextmanager
def _changed(wanted: Mapping[str, str | None]) -> Iterator[None]:
    gone = dict.fromkeys((*REMOVED, *(n for n in os.environ if n.startswith(REMOVED_PREFIX))))
    needed = {name: os.environ.get(name, value) for name, value in NEEDED.items()}
    variables: dict[str, str | None] = {**gone, **needed, **dict.fromkeys(KEYS, KEY), **wanted}
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    _clear_caches()
    try:
        yield
    finally:
        _set(before)
        _clear_caches()


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _clear_caches() -> None:
    """Forget cached clients, so that neither proxy settings nor event loops of another test survive."""
    for module, names in CACHES.items():
        for name in names:
            cached = getattr(sys.modules.get(module), name, None)
            if cached is not None:
                cached.cache_clear()
