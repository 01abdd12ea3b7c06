"""The environment that leads clients to the fake providers."""

import os

import pytest

from langchain_prodtest.fakes.environment import BASE_URLS, KEY, directed, redirected
from langchain_prodtest.wire.providers import PROVIDERS

URL = "http://127.0.0.1:1/openai/v1"


def test_every_provider_has_a_variable() -> None:
    assert BASE_URLS.keys() == PROVIDERS.keys()


def test_variables_that_would_win_over_the_base_url_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_BASE", "LANGSMITH_GATEWAY", "LANGSMITH_GATEWAY_API_KEY", "OPENAI_PROXY"):
        monkeypatch.setenv(name, "http://elsewhere.invalid")
    with redirected({"openai": URL, "groq": URL}):
        assert os.environ["OPENAI_BASE_URL"] == URL
        assert os.environ["GROQ_BASE_URL"] == URL
        assert os.environ["OPENAI_API_KEY"] == os.environ["GROQ_API_KEY"] == KEY
        assert os.environ["LANGSMITH_TRACING"] == "false"
        assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == "127.0.0.1,localhost"
        assert not {"OPENAI_API_BASE", "LANGSMITH_GATEWAY", "OPENAI_PROXY"} & os.environ.keys()
        assert "LANGSMITH_GATEWAY_API_KEY" not in os.environ


def test_the_environment_is_as_it_was_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_BASE", "http://elsewhere.invalid")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    before = dict(os.environ)
    with redirected({"openai": URL, "groq": URL}):
        os.environ["SET_BY_A_FIXTURE_THAT_LIVES_LONGER"] = "1"
    assert os.environ.pop("SET_BY_A_FIXTURE_THAT_LIVES_LONGER") == "1"
    assert dict(os.environ) == before


def test_cached_clients_of_langchain_openai_do_not_outlive_the_block() -> None:
    from langchain_openai import ChatOpenAI
    from langchain_openai.chat_models import _client_utils

    cache = _client_utils._cached_async_httpx_client
    with redirected({"openai": URL, "groq": URL}):
        ChatOpenAI(model="gpt-x")
        assert cache.cache_info().currsize > 0
    assert cache.cache_info().currsize == 0


def test_transparently_led_clients_keep_their_own_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.invalid")
    with directed({"HTTPS_PROXY": "http://127.0.0.1:2"}, dict.fromkeys(BASE_URLS, URL)):
        assert "OPENAI_BASE_URL" not in os.environ
        assert os.environ["HTTPS_PROXY"] == "http://127.0.0.1:2"
        assert os.environ["OLLAMA_HOST"] == os.environ["MISTRAL_BASE_URL"] == URL
    assert os.environ["OPENAI_BASE_URL"] == "http://elsewhere.invalid"
