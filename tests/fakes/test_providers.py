"""Handles on the fake providers, and the environment that leads clients to them."""

import os
import threading
import time

import pytest

from langchain_prodtest.fakes.providers import KEY, SETTLE, FakeProviders, redirected
from langchain_prodtest.script import Call, Match, Reply, Request, Script

URL = "http://127.0.0.1:1/openai/v1"


def _providers(script: Script, open_requests: list[Request] | None = None) -> FakeProviders:
    return FakeProviders(script, {"openai": URL}, lambda: list(open_requests or ()))


def _call(provider: str = "openai", unexpected: bool = False) -> Call:
    return Call(id=0, provider=provider, unexpected=unexpected)


def test_variables_that_would_win_over_the_base_url_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_BASE", "LANGSMITH_GATEWAY", "LANGSMITH_GATEWAY_API_KEY", "OPENAI_PROXY"):
        monkeypatch.setenv(name, "http://elsewhere.invalid")
    with redirected(URL):
        assert os.environ["OPENAI_BASE_URL"] == URL
        assert os.environ["OPENAI_API_KEY"] == KEY
        assert os.environ["LANGSMITH_TRACING"] == "false"
        assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == "127.0.0.1,localhost"
        assert not {"OPENAI_API_BASE", "LANGSMITH_GATEWAY", "OPENAI_PROXY"} & os.environ.keys()
        assert "LANGSMITH_GATEWAY_API_KEY" not in os.environ


def test_the_environment_is_as_it_was_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_BASE", "http://elsewhere.invalid")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    before = dict(os.environ)
    with redirected(URL):
        os.environ["SET_BY_A_FIXTURE_THAT_LIVES_LONGER"] = "1"
    assert os.environ.pop("SET_BY_A_FIXTURE_THAT_LIVES_LONGER") == "1"
    assert dict(os.environ) == before


def test_cached_clients_of_langchain_openai_do_not_outlive_the_block() -> None:
    from langchain_openai import ChatOpenAI
    from langchain_openai.chat_models import _client_utils

    cache = _client_utils._cached_async_httpx_client
    with redirected(URL):
        ChatOpenAI(model="gpt-x")
        assert cache.cache_info().currsize > 0
    assert cache.cache_info().currsize == 0


def test_a_step_for_a_provider_is_not_given_to_another() -> None:
    script = Script()
    _providers(script).openai.script(Reply("for openai"))
    assert script.leftover == [(Match(provider="openai"), Reply("for openai"))]


def test_calls_are_told_apart_by_provider() -> None:
    script = Script()
    providers = _providers(script)
    script.record(_call("openai"))
    script.record(_call("anthropic", unexpected=True))
    assert [call.provider for call in providers.calls] == ["openai", "anthropic"]
    assert [call.provider for call in providers.openai.calls] == ["openai"]
    assert [call.provider for call in providers.unexpected] == ["anthropic"]


def test_a_call_that_is_just_being_written_down_is_waited_for() -> None:
    script = Script()
    open_requests = [Request(provider="openai")]

    def finish() -> None:
        script.record(_call())
        open_requests.clear()

    timer = threading.Timer(SETTLE / 10, finish)
    timer.start()
    assert len(_providers(script, open_requests).calls) == 1
    timer.join()


def test_a_request_that_hangs_does_not_hang_the_test() -> None:
    started = time.monotonic()
    assert _providers(Script(), [Request(provider="openai")]).calls == []
    assert time.monotonic() - started < 20 * SETTLE
