"""Handles on the fake providers: what they are to answer, and what they were asked."""

import threading
import time

import pytest

from langchain_prodtest.fakes.providers import SETTLE, FakeProviders
from langchain_prodtest.script import Call, Match, Reply, Request, Script

URL = "http://127.0.0.1:1/openai/v1"


def _providers(script: Script, open_requests: list[Request] | None = None) -> FakeProviders:
    return FakeProviders(script, {"openai": URL, "groq": URL}, lambda: list(open_requests or ()))


def _call(provider: str = "openai", unexpected: bool = False) -> Call:
    return Call(id=0, provider=provider, unexpected=unexpected)


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


def test_an_unknown_provider_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(AttributeError, match=r'unknown provider "opnai"[.] Did you mean "openai"'):
        _ = _providers(Script()).opnai


def test_a_request_that_hangs_does_not_hang_the_test() -> None:
    started = time.monotonic()
    assert _providers(Script(), [Request(provider="openai")]).calls == []
    assert time.monotonic() - started < 20 * SETTLE
