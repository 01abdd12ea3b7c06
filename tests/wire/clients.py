"""How the real LangChain client of each provider is built: one row for each way to reach one."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from langchain_core.language_models import BaseChatModel
from langchain_deepseek import ChatDeepSeek
from langchain_fireworks import ChatFireworks
from langchain_groq import ChatGroq
from langchain_nvidia_ai_endpoints import ChatNVIDIA
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from langchain_openrouter import ChatOpenRouter
from langchain_together import ChatTogether
from langchain_xai import ChatXAI
from pydantic import SecretStr

from langchain_prodtest.script import Fault
from tests.wire.generation import OPENAI_2

__all__ = ["CLIENTS", "DAMAGES", "Client"]

KEY = SecretStr("sk-fake")


Errors = dict[int, tuple[str, int]]

TRIED_AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504, 529})


class Client(NamedTuple):
    """The provider to mount, what builds its client from a base URL and options, and what is special of it.

    `details`: the usage details that it passes on; `structured`: the options by which it asks for JSON as
    text; `reasoning`: whether it passes reasoning on. By status: the `errors` that it raises, and after how
    many attempts; so many `attempts` it makes when a connection is closed before the answer is whole, and
    then raises one of `cut`, or of `cut_stream` if the stream had begun. By DAMAGES: what comes of each, an
    error or "ok" and how the answer ended by its own word.
    """

    provider: str
    build: Callable[..., BaseChatModel]
    errors: Errors
    cut: tuple[str, ...]
    cut_stream: tuple[str, ...]
    damage: Mapping[str, str]
    attempts: int = 3
    details: frozenset[str] = frozenset({"cached", "reasoning"})
    structured: Mapping[str, Any] = MappingProxyType({"method": "json_schema"})
    reasoning: bool = False


def _errors(names: dict[int, str], tried_again: frozenset[int] = TRIED_AGAIN) -> Errors:
    return {status: (name, 3 if status in tried_again else 1) for status, name in names.items()}


DAMAGES: dict[str, tuple[Fault, bool]] = {
    "error event": (Fault(how="error_event", after=5), True),
    "no finish": (Fault(how="missing", what="finish"), True),
    "no terminal": (Fault(how="missing", what="terminal"), True),
    "closed early": (Fault(how="clean_end", after=7, framing="close"), True),
    "HTML for a stream": (Fault(how="html"), True),
    "HTML": (Fault(how="html"), False),
    "{}": (Fault(how="empty"), False),
    "error as 200": (Fault(how="error_body"), False),
}
"""By name: a Fault with status 200, and whether it is put to a stream."""
SERVER_ERRORS = (500, 502, 503, 504, 529)
OPENAI = _errors(
    {
        400: "langchain_openai.OpenAIInvalidRequestError",
        401: "langchain_openai.OpenAIAuthenticationError",
        403: "langchain_openai.OpenAIPermissionDeniedError",
        404: "langchain_openai.OpenAIModelNotFoundError",
        408: "openai.APIStatusError",
        409: "openai.ConflictError",
        413: "openai.APIStatusError",
        422: "openai.UnprocessableEntityError",
        424: "openai.APIStatusError",
        429: "langchain_openai.OpenAIRateLimitError",
        **dict.fromkeys(SERVER_ERRORS, "langchain_openai.OpenAIAPIError"),
    }
)
GROQ = _errors(
    {
        400: "groq.BadRequestError",
        401: "groq.AuthenticationError",
        403: "groq.PermissionDeniedError",
        404: "groq.NotFoundError",
        408: "groq.APIStatusError",
        409: "groq.ConflictError",
        413: "groq.APIStatusError",
        422: "groq.UnprocessableEntityError",
        424: "groq.APIStatusError",
        429: "groq.RateLimitError",
        **dict.fromkeys(SERVER_ERRORS, "groq.InternalServerError"),
    }
)
FIREWORKS = _errors(
    {
        400: "langchain_fireworks.FireworksInvalidRequestError",
        401: "langchain_fireworks.FireworksAuthenticationError",
        403: "langchain_fireworks.FireworksPermissionDeniedError",
        404: "langchain_fireworks.FireworksModelNotFoundError",
        408: "fireworks.APIStatusError",
        409: "fireworks.ConflictError",
        413: "fireworks.APIStatusError",
        422: "fireworks.UnprocessableEntityError",
        424: "fireworks.APIStatusError",
        429: "langchain_fireworks.FireworksRateLimitError",
        **dict.fromkeys(SERVER_ERRORS, "langchain_fireworks.FireworksAPIError"),
    },
    tried_again=TRIED_AGAIN - {408, 409},
)
OPENROUTER = _errors(  # those of the server are tried for an hour: a test of their own
    {
        400: "openrouter.BadRequestResponseError",
        401: "openrouter.UnauthorizedResponseError",
        403: "openrouter.ForbiddenResponseError",
        404: "openrouter.NotFoundResponseError",
        408: "openrouter.RequestTimeoutResponseError",
        409: "openrouter.OpenRouterDefaultError",
        413: "openrouter.PayloadTooLargeResponseError",
        422: "openrouter.UnprocessableEntityResponseError",
        424: "openrouter.OpenRouterDefaultError",
        429: "openrouter.TooManyRequestsResponseError",
    },
    tried_again=frozenset(),
)
NVIDIA = _errors(dict.fromkeys(OPENAI, "builtins.Exception"), tried_again=frozenset())

SILENT = {"no finish": "ok, no end", "no terminal": "ok, stop", "closed early": "ok, no end"}
"""What nearly all clients make of a stream that ends too early: an answer."""
OPENAI_DAMAGE = {
    **SILENT,
    "error event": "openai.APIError",
    "HTML": "builtins.ValueError",
    "{}": "builtins.TypeError",
    "error as 200": "builtins.ValueError",
    "HTML for a stream": "builtins.ValueError",
}
RESPONSES_DAMAGE = {
    **OPENAI_DAMAGE,
    "error event": "builtins.ValueError",
    "no terminal": "ok, no end",
    "HTML": "builtins.AttributeError",
}
GROQ_DAMAGE = {
    **SILENT,
    "error event": "groq.APIError",
    "HTML": "builtins.AttributeError",
    "{}": "builtins.TypeError",
    "error as 200": "builtins.TypeError",
    "HTML for a stream": "builtins.ValueError",
}
FIREWORKS_DAMAGE = {
    **GROQ_DAMAGE,
    "error event": "ok, no end",
    "HTML for a stream": "fireworks.FireworksError",
}
OPENROUTER_DAMAGE = {
    **SILENT,
    "error event": "ok, error",
    "HTML": "openrouter.OpenRouterDefaultError",
    "{}": "openrouter.ResponseValidationError",
    "error as 200": "openrouter.ResponseValidationError",
    "HTML for a stream": "openrouter.OpenRouterDefaultError",
}
NVIDIA_DAMAGE = {
    **SILENT,
    **dict.fromkeys(("error event", "{}", "error as 200", "HTML for a stream"), "ok, no end"),
    "HTML": "json.JSONDecodeError",
}

OPENAI_CUT = ("OpenAIConnectionError",)
HTTPX_CUT = ("ReadError", "RemoteProtocolError")
OPENAI_CUT_STREAM = HTTPX_CUT if OPENAI_2 else OPENAI_CUT


def _openai(url: str, **options: Any) -> BaseChatModel:
    return ChatOpenAI(model="gpt-4o", api_key=KEY, base_url=url, **{"stream_usage": True, **options})


def _responses(url: str, **options: Any) -> BaseChatModel:
    return ChatOpenAI(model="gpt-5", api_key=KEY, base_url=url, use_responses_api=True, **options)


def _azure(url: str, **options: Any) -> BaseChatModel:
    return AzureChatOpenAI(
        azure_deployment="my-gpt", azure_endpoint=url, api_key=KEY, api_version="2025-04-01", **options
    )


def _groq(url: str, **options: Any) -> BaseChatModel:
    return ChatGroq(model="llama-3.3-70b-versatile", api_key=KEY, base_url=url, **options)


def _fireworks(url: str, **options: Any) -> BaseChatModel:
    return ChatFireworks(model="accounts/fireworks/models/kimi", api_key=KEY, base_url=url, **options)


def _together(url: str, **options: Any) -> BaseChatModel:
    return ChatTogether(model="openai/gpt-oss-20b", api_key=KEY, base_url=url, **options)


def _deepseek(url: str, **options: Any) -> BaseChatModel:
    return ChatDeepSeek(model="deepseek-chat", api_key=KEY, base_url=url, **options)


def _xai(url: str, **options: Any) -> BaseChatModel:
    return ChatXAI(model="grok-4", api_key=KEY, base_url=url, **options)


def _openrouter(url: str, **options: Any) -> BaseChatModel:
    return ChatOpenRouter(model="openai/gpt-4o", api_key=KEY, base_url=url, **options)


def _nvidia(url: str, **options: Any) -> BaseChatModel:
    return ChatNVIDIA(
        model="meta/llama-3.3-70b-instruct",
        api_key=KEY.get_secret_value(),
        base_url=url,
        usage_telemetry_enabled=False,
        **options,
    )


def _by_openai(provider: str, build: Callable[..., BaseChatModel], **special: Any) -> Client:
    """Return the row of a client that is built on OpenAI's SDK."""
    return Client(
        provider, build, OPENAI, OPENAI_CUT, OPENAI_CUT_STREAM, **{"damage": OPENAI_DAMAGE, **special}
    )


CLIENTS: dict[str, Client] = {
    "openai": _by_openai("openai", _openai),
    "openai-responses": _by_openai("openai", _responses, damage=RESPONSES_DAMAGE),
    "azure": _by_openai("azure", _azure),
    "azure-responses": _by_openai(
        "azure",
        lambda url, **options: _azure(url, use_responses_api=True, **options),
        damage=RESPONSES_DAMAGE,
    ),
    "together": _by_openai("together", _together),
    "deepseek": _by_openai("deepseek", _deepseek, structured={"method": "json_mode"}, reasoning=True),
    "xai": _by_openai("xai", _xai, reasoning=True),
    "groq": Client("groq", _groq, GROQ, ("APIConnectionError",), HTTPX_CUT, GROQ_DAMAGE, reasoning=True),
    "fireworks": Client(
        "fireworks",
        _fireworks,
        FIREWORKS,
        ("FireworksConnectionError",),
        HTTPX_CUT,
        FIREWORKS_DAMAGE,
        details=frozenset({"cached"}),
        reasoning=True,
    ),
    "openrouter": Client(
        "openrouter",
        _openrouter,
        OPENROUTER,
        HTTPX_CUT,
        HTTPX_CUT,
        OPENROUTER_DAMAGE,
        attempts=1,
        reasoning=True,
    ),
    "nvidia": Client(
        "nvidia",
        _nvidia,
        NVIDIA,
        ("ConnectionError", "ChunkedEncodingError"),
        ("ChunkedEncodingError",),
        NVIDIA_DAMAGE,
        attempts=1,
        details=frozenset(),
        structured={},
        reasoning=True,
    ),
}
