"""Declared keys are taken, others refused in each provider's words; real-looking ones noticed, not kept."""

import json
import random
import string
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_aws import ChatBedrockConverse
from langchain_core.language_models import BaseChatModel
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_mistralai import ChatMistralAI
from langchain_ollama import ChatOllama
from pydantic import SecretStr

from langchain_prodtest.errors import UsageError
from langchain_prodtest.script import Reply, Script
from langchain_prodtest.wire import FakeServer
from langchain_prodtest.wire.arrival import Arrival
from langchain_prodtest.wire.keys import Keys, real_owner
from langchain_prodtest.wire.providers import PROVIDERS
from langchain_prodtest.wire.router import Router
from tests.wire.clients import CLIENTS

CHAT = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9, "stream": false}'
CONVERSE = b'{"messages": [{"role": "user", "content": [{"text": "hi"}]}]}'
CONTENTS = b'{"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}'
ASKED = {
    "anthropic": ("/v1/messages", CHAT),
    "azure": ("/openai/deployments/m/chat/completions?api-version=2025-04-01", CHAT),
    "bedrock": ("/model/m/converse", CONVERSE),
    "cohere": ("/v2/chat", CHAT),
    "fireworks": ("/inference/v1/chat/completions", CHAT),
    "gemini": ("/v1beta/models/m:generateContent", CONTENTS),
    "ollama": ("/api/chat", CHAT),
    "openrouter": ("/api/v1/chat/completions", CHAT),
    "perplexity": ("/chat/completions", CHAT),
}
SIGNED = (
    "AWS4-HMAC-SHA256 Credential={}/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=0"
)
HEADERS = [
    *(pytest.param(name, "authorization", "Bearer {}", id=f"{name}-bearer") for name in PROVIDERS),
    pytest.param("anthropic", "x-api-key", "{}", id="anthropic-x-api-key"),
    pytest.param("azure", "api-key", "{}", id="azure-api-key"),
    pytest.param("gemini", "x-goog-api-key", "{}", id="gemini-x-goog-api-key"),
    pytest.param("gemini", "?key", "{}", id="gemini-query"),
    pytest.param("bedrock", "authorization", SIGNED, id="bedrock-signature"),
]
WORDS = {
    "anthropic": (401, "authentication_error"),
    "azure": (401, "Access denied due to invalid subscription key"),
    "bedrock": (403, "make sure your API Key is valid"),
    "cohere": (401, "invalid api token"),
    "deepseek": (401, "Authentication Fails"),
    "fireworks": (401, "The API key you provided is invalid"),
    "gemini": (400, "API_KEY_INVALID"),
    "groq": (401, "Invalid API Key"),
    "mistral": (401, '{"detail":"Unauthorized"}'),
    "nvidia": (403, "Authorization failed"),
    "ollama": (401, '{"error":"unauthorized"}'),
    "openai": (401, "Incorrect API key provided"),
    "openrouter": (401, '"code":401'),
    "perplexity": (401, "Invalid API key provided"),
    "together": (401, "Invalid API key provided"),
    "xai": (400, "Incorrect API key provided"),
}


def ask(keys: list[str], provider: str, where: str = "", value: str = "") -> tuple[int, str, bool]:
    """Status and body of the answer, and whether it was unexpected."""
    target, body = ASKED.get(provider, ("/v1/chat/completions", CHAT))
    if where == "?key":
        target = f"{target}?alt=json&key={value}"
    headers = [(where.encode(), value.encode())] if where and where != "?key" else []
    headers.append((b"Anthropic-Version", b"2023-06-01"))
    router = Router(Script(), {"here": provider}, Keys(keys))
    decision = router.decide(Arrival("POST", f"/here{target}", headers, body, 5.0))
    return decision.response.status, decision.response.parts[0][1].decode(), decision.unexpected


@pytest.mark.parametrize(("provider", "where", "form"), HEADERS)
def test_a_declared_key_is_taken_where_the_provider_looks_for_one(
    provider: str, where: str, form: str
) -> None:
    for key in ("mine", "other"):
        assert ask(["mine", "other"], provider, where, form.format(key))[0] == 200
    if "Signature" not in form:
        assert ask(["mine"], provider, where, form.format("mine@scope-1"))[0] == 200


@pytest.mark.parametrize(("provider", "where", "form"), HEADERS)
def test_another_key_is_refused_as_the_provider_does(provider: str, where: str, form: str) -> None:
    status, body, unexpected = ask(["mine"], provider, where, form.format("foreign-key"))
    wanted, words = WORDS[provider] if form != SIGNED else (403, "security token included in the request")
    assert (status, unexpected) == (wanted, True)
    assert words in body
    assert "foreign-key" not in body
    json.loads(body)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_no_key_is_a_wrong_key_but_for_ollama(provider: str) -> None:
    assert ask(["mine"], provider)[0] == (200 if provider == "ollama" else WORDS[provider][0])


@pytest.mark.parametrize("provider", PROVIDERS)
def test_without_declared_keys_any_key_and_none_is_taken(provider: str) -> None:
    assert ask([], provider)[0] == ask([], provider, "authorization", "Bearer whatever")[0] == 200


def test_a_key_in_the_place_of_another_provider_is_none() -> None:
    assert ask(["mine"], "openai", "x-api-key", "mine")[0] == 401
    assert ask(["mine"], "anthropic", "api-key", "mine")[0] == 401
    assert ask(["mine"], "azure", "?key", "mine")[0] == 401


@pytest.mark.parametrize("key", ["", "two words", "a@b", "ключ"])
def test_a_key_that_cannot_be_sent_is_refused_at_the_start(key: str) -> None:
    with pytest.raises(UsageError, match="a key has at least one character"):
        Keys([key])


# -- real clients ---------------------------------------------------------------------------------------


def anthropic(url: str) -> BaseChatModel:
    return ChatAnthropic(model="claude", api_key=SecretStr("sk-fake"), base_url=url, max_retries=0)  # type: ignore[call-arg]


def bedrock(url: str) -> BaseChatModel:
    secret = SecretStr("sk-fake")
    return ChatBedrockConverse(
        model="m",
        base_url=url,
        region_name="us-east-1",
        aws_access_key_id=secret,
        aws_secret_access_key=secret,
    )


def gemini(url: str) -> BaseChatModel:
    return ChatGoogleGenerativeAI(model="gemini", api_key=SecretStr("sk-fake"), base_url=url, max_retries=1)


def mistral(url: str) -> BaseChatModel:
    return ChatMistralAI(api_key=SecretStr("sk-fake"), endpoint=url)  # type: ignore[call-arg]


def ollama(url: str) -> BaseChatModel:
    return ChatOllama(model="m", base_url=url, client_kwargs={"headers": {"Authorization": "Bearer sk-fake"}})


BUILT: dict[str, tuple[str, Any, str]] = {
    **{
        name: (one.provider, one.build, one.errors[WORDS[one.provider][0]][0])
        for name, one in CLIENTS.items()
    },
    "anthropic": ("anthropic", anthropic, "langchain_anthropic.AnthropicAuthenticationError"),
    "bedrock": ("bedrock", bedrock, "botocore.ClientError"),
    "gemini": ("gemini", gemini, "langchain_google_genai.GoogleInvalidRequestError"),
    "mistral": ("mistral", mistral, "httpx.HTTPStatusError"),
    "ollama": ("ollama", ollama, "ollama.ResponseError"),
}


@pytest.mark.parametrize("name", BUILT)
def test_the_real_client_is_answered_with_its_key_and_raises_its_own_error_with_another(name: str) -> None:
    provider, build, error = BUILT[name]
    with FakeServer(Script(lambda request: Reply("yes")), {provider: provider}, keys=["sk-fake"]) as server:
        assert build(server.url(provider)).invoke("hi").text == "yes"
    server = FakeServer(script := Script(), {provider: provider}, keys=["declared"])
    with server, pytest.raises(Exception) as caught:  # noqa: PT011 - its name is what counts
        build(server.url(provider)).invoke("hi")
    assert type(caught.value).__name__ == error.rpartition(".")[2]
    assert ("UnrecognizedClientException" in str(caught.value)) == (provider == "bedrock")
    assert [call.status for call in script.calls] == [WORDS[provider][0]]


# -- keys that look real ----------------------------------------------------------------------------------

CHANCE = random.Random(7)


def of(alphabet: str, count: int) -> str:
    return "".join(CHANCE.choices(alphabet, k=count))


WORD = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
REAL = {
    "Anthropic": f"sk-ant-api03-{of(WORD + '-_', 93)}AA",
    "OpenRouter": f"sk-or-v1-{of(HEX, 64)}",
    "OpenAI": f"sk-proj-{of(WORD + '-_', 120)}",
    "DeepSeek": f"sk-{of(HEX, 32)}",
    "Google": f"AIza{of(WORD + '-_', 35)}",
    "AWS": f"AKIA{of('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', 16)}",
    "AWS Bedrock": f"ABSK{of(WORD, 120)}=",
    "Azure": f"{of(WORD, 52)}JQQJ99{of(WORD, 26)}",
    "Fireworks": f"fw_{of(WORD, 24)}",
    "Groq": f"gsk_{of(WORD, 52)}",
    "NVIDIA": f"nvapi-{of(WORD + '-_', 64)}",
    "Perplexity": f"pplx-{of(WORD, 48)}",
    "Together": f"tgp_v1_{of(WORD + '-_', 43)}",
    "xAI": f"xai-{of(WORD, 80)}",
}


@pytest.mark.parametrize("owner", REAL)
def test_a_key_that_looks_real_is_known_wherever_it_is_sent(owner: str) -> None:
    key = REAL[owner]
    assert real_owner({"authorization": f"Bearer {key}"}, "") == owner
    assert real_owner({"x-api-key": key}, "") == owner
    assert real_owner({"api-key": f"{key}@scope"}, "") == owner
    assert real_owner({}, f"alt=sse&key={key}") == owner
    assert real_owner({"authorization": SIGNED.format(key)}, "") == owner


@pytest.mark.parametrize(
    "key",
    [
        *("", "any-key", "sk-fake", "EMPTY", "prodtest-fixture-key-not-a-secret", "AKIAIOSFODNN7EXAMPLE"),
        *(f"sk-proj-{'x' * 60}", f"sk-ant-api03-{'0' * 95}", f"gsk_{'test' * 13}", "sk-1234567890abcdef"),
        *(f"sk-proj-your-api-key-{'-goes-here' * 5}", "AIzaSyExampleExampleExampleExampleExamp", of(HEX, 32)),
    ],
)
def test_a_key_that_only_stands_for_one_is_not_taken_for_real(key: str) -> None:
    assert real_owner({"authorization": f"Bearer {key}", "x-api-key": key}, f"key={key}") == ""


@pytest.mark.parametrize("keys", [[], ["declared"]])
@pytest.mark.parametrize("target", ["/openai/v1/chat/completions", "/openai/v1/nowhere", "/nobody", "/"])
def test_a_real_key_is_marked_in_the_journal_in_any_case_and_kept_nowhere(
    keys: list[str], target: str
) -> None:
    key = REAL["OpenAI"]
    router = Router(Script(), {"openai": "openai"}, Keys(keys))
    headers = [(b"Authorization", f"Bearer {key}".encode())]
    decision = router.decide(Arrival("POST", f"{target}?key={key}", headers, CHAT, 5.0))
    assert decision.request.real_key == "OpenAI"
    assert key not in repr(decision)
    assert router.decide(Arrival("POST", target, [], CHAT, 5.0)).request.real_key == ""
