"""Token buckets of requests and tokens: they run dry, refill, and say so in the provider's headers."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.script import Fault, Match, Request, Script
from langchain_prodtest.wire import FakeServer
from langchain_prodtest.wire.quota import Quota


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def request(text: str = "", provider: str = "openai", **body: Any) -> Request:
    return Request(provider=provider, messages=[{"role": "user", "content": text}], body=body)


def fault(answer: Fault | None) -> Fault:
    assert answer is not None
    return answer


def test_requests_pass_until_the_bucket_is_dry_and_again_as_it_refills() -> None:
    clock = Clock()
    quota = Quota(requests=60, clock=clock)
    assert [quota(request()) for _ in range(60)] == [None] * 60
    refused = fault(quota(request()))
    assert (refused.status, refused.retry_after) == (429, 1)
    clock.now += 2.0
    assert [quota(request()) is None for _ in range(3)] == [True, True, False]
    clock.now += 3600
    assert [quota(request()) for _ in range(60)] == [None] * 60


def test_who_waits_as_told_passes() -> None:
    clock = Clock()
    quota = Quota(requests=7, tokens=50, clock=clock)
    for _ in range(200):
        refused = quota(request("x" * 40))
        if refused is not None:
            clock.now += float(refused.retry_after or 0)
            assert quota(request("x" * 40)) is None


def test_prompt_and_allowed_answer_cost_tokens_and_a_refused_request_nothing() -> None:
    quota = Quota(tokens=100, clock=Clock())
    assert quota(request("x" * 40, max_tokens=50)) is None
    assert fault(quota(request("x" * 40, max_tokens=50))).retry_after == 12
    assert quota(request("x" * 160)) is None


def test_a_request_larger_than_the_bucket_passes_when_it_is_full() -> None:
    quota = Quota(tokens=10, clock=Clock())
    assert quota(request("x" * 400)) is None
    assert fault(quota(request("x" * 400))).retry_after == 60


def test_openai_s_headers() -> None:
    quota = Quota(requests=1, tokens=120, clock=Clock())
    quota(request("x" * 40))
    assert fault(quota(request())).headers == {
        "x-ratelimit-limit-requests": "1",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "60.000s",
        "x-ratelimit-limit-tokens": "120",
        "x-ratelimit-remaining-tokens": "110",
        "x-ratelimit-reset-tokens": "5.000s",
    }


def test_anthropic_s_headers_by_provider_or_dialect() -> None:
    for quota, provider in (
        (Quota(requests=1), "anthropic"),
        (Quota(requests=1, dialect="anthropic"), "backup"),
    ):
        quota(request())
        headers = fault(quota(request(provider=provider))).headers
        assert set(headers) == {
            f"anthropic-ratelimit-requests-{what}" for what in ("limit", "remaining", "reset")
        }
        assert headers["anthropic-ratelimit-requests-reset"].endswith("Z")


def test_a_provider_that_tells_nothing_has_no_headers() -> None:
    quota = Quota(requests=1)
    quota(request())
    assert fault(quota(request(provider="bedrock"))).headers == {}


@pytest.mark.parametrize("wrong", [{}, {"requests": 0}, {"tokens": -1}])
def test_a_quota_that_makes_no_sense_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ScriptError, match="Quota: "):
        Quota(**wrong)  # type: ignore[arg-type]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def model(script: Script) -> Iterator[ChatOpenAI]:
    with FakeServer(script) as server:
        yield ChatOpenAI(
            model="gpt-4o", api_key=SecretStr("sk-fake"), base_url=server.url("openai"), max_retries=0
        )


def test_the_real_client_gets_the_error_with_its_headers(model: ChatOpenAI, script: Script) -> None:
    script.rule(Quota(requests=2), Match(provider="openai"))
    assert [model.invoke("hi").text != "" for _ in range(2)] == [True, True]
    with pytest.raises(openai.RateLimitError) as caught:
        model.invoke("hi")
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 30
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert [call.status for call in script.calls] == [200, 200, 429]
