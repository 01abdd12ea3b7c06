"""What answers an arrived request: mounts, script, attempts, and every kind of refusal."""

import json
from typing import Any

import pytest

from langchain_prodtest.errors import UsageError
from langchain_prodtest.script import Fault, Match, Reply, Request, Script
from langchain_prodtest.wire.arrival import Arrival
from langchain_prodtest.wire.codec import Rejected
from langchain_prodtest.wire.router import Decision, Router

BODY = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
CHAT = Arrival("POST", "/openai/v1/chat/completions?x=1", [], BODY, 5.0)
TWO = {"openai": "openai", "backup": "openai"}


def decide(arrival: Arrival = CHAT, script: Script | None = None, mounts: dict[str, str] = TWO) -> Decision:
    return Router(script or Script(), mounts).decide(arrival)


def said(decision: Decision) -> Any:
    return json.loads(decision.response.parts[0][1])


def error(decision: Decision) -> str:
    assert decision.response.headers["content-type"] == "application/json"
    return str(said(decision)["error"]["message"])


def test_a_fault_that_a_request_cannot_have_is_a_400_that_says_so() -> None:
    script = Script()
    script.add(Fault(how="duplicate", after=1))
    decision = decide(script=script)
    assert (decision.response.status, decision.unexpected) == (400, True)
    assert "about streams" in error(decision)


@pytest.mark.parametrize("mount", TWO)
def test_the_first_segment_of_the_path_is_the_provider(mount: str) -> None:
    script = Script()
    script.add(Reply(f"from {mount}"), match=Match(provider=mount))
    decision = decide(CHAT._replace(target=f"/{mount}/v1/chat/completions"), script)
    assert decision.request.provider == mount
    assert said(decision)["choices"][0]["message"]["content"] == f"from {mount}"
    assert not decision.unexpected


@pytest.mark.parametrize(
    "target", ["/", "", "*", "/gemini/v1/chat/completions", "/v1/chat/completions", "//"]
)
def test_an_unknown_mount_is_404_names_the_known_ones_and_is_unexpected(target: str) -> None:
    decision = decide(CHAT._replace(target=target))
    assert decision.response.status == 404
    assert "openai, backup" in error(decision)
    assert (decision.request.provider, decision.request.operation, decision.unexpected) == ("", "", True)


def test_an_unknown_route_is_the_provider_s_404_and_unexpected() -> None:
    decision = decide(CHAT._replace(target="/openai/v1/engines"))
    assert (decision.response.status, error(decision)) == (404, "Invalid URL (POST /v1/engines)")
    assert (decision.request.provider, decision.unexpected) == ("openai", True)


def test_a_body_the_provider_refuses_uses_no_step_up() -> None:
    script = Script()
    script.add(Reply("later"))
    decision = decide(CHAT._replace(body=b"{}"), script)
    assert (decision.response.status, decision.unexpected) == (400, True)
    assert len(script.leftover) == 1


def test_what_the_reader_rejected_is_answered_in_the_provider_s_shape() -> None:
    decision = decide(CHAT._replace(rejected=Rejected(413, "too large")))
    assert (decision.response.status, error(decision), decision.unexpected) == (413, "too large", True)


def test_a_script_that_is_used_up_is_a_400_that_says_so() -> None:
    script = Script()
    script.add(Reply("only"))
    router = Router(script, TWO)
    first, second = router.decide(CHAT), router.decide(CHAT)
    assert (first.response.status, first.unexpected) == (200, False)
    assert (second.response.status, second.unexpected) == (400, True)
    assert "used up" in error(second)


def test_a_list_of_models_asks_no_script() -> None:
    script = Script()
    script.add(Reply("for a chat"))
    decision = decide(Arrival("GET", "/openai/v1/models", [], b"", 5.0), script)
    assert (decision.response.status, said(decision)["object"], decision.unexpected) == (200, "list", False)
    assert len(script.leftover) == 1


def test_an_unknown_route_is_unexpected_and_has_a_hint() -> None:
    decision = decide(Arrival("POST", "/openai/v1/chat/completion?a=b", [], b"{}", 5.0))
    assert (decision.response.status, decision.unexpected) == (404, True)
    hint = "no route POST /v1/chat/completion; the nearest is POST /v1/chat/completions"
    assert decision.request.hint == hint
    assert decide(Arrival("POST", "/openai/v1/chat/completions", [], b"{}", 5.0)).request.hint == ""


def test_attempts_without_a_retry_mark_are_counted_by_digest() -> None:
    router = Router(Script(), TWO)
    attempts = [router.decide(CHAT).request.attempt for _ in range(3)]
    assert attempts == [1, 2, 3]


def test_attempts_with_a_retry_mark_are_not_counted() -> None:
    router = Router(Script(), TWO)
    marked = CHAT._replace(headers=[(b"X-Stainless-Retry-Count", b"0")])
    assert [router.decide(marked).request.attempt for _ in range(3)] == [1, 1, 1]


def test_credentials_are_not_kept() -> None:
    secrets = [b"Authorization", b"api-key", b"X-API-Key", b"Cookie", b"Proxy-Authorization"]
    request = decide(CHAT._replace(headers=[(name, b"sk-secret") for name in secrets])).request
    assert request.headers == {name.decode().lower(): "present" for name in secrets}
    assert "sk-secret" not in repr(request)


def test_repeated_headers_are_joined() -> None:
    request = decide(CHAT._replace(headers=[(b"X", b"1"), (b"x", b"\xe9")])).request
    assert request.headers == {"x": "1, é"}


def test_a_status_fault_answers_with_the_provider_s_error() -> None:
    script = Script()
    script.add(Fault(status=429, retry_after=2))
    decision = decide(script=script)
    assert (decision.response.status, decision.response.headers["retry-after"]) == (429, "2")
    assert said(decision)["error"]["code"] == "rate_limit_exceeded"
    assert not decision.unexpected


def test_a_fault_spoils_the_default_answer() -> None:
    script = Script(default=lambda request: Reply("the default"))
    script.add(Fault(how="stall", after=40))
    response = decide(script=script).response
    assert (response.ending, len(response.parts[0][1]), response.spoiled) == ("hang", 40, True)


def test_a_callback_that_raises_is_a_500_and_unexpected(caplog: pytest.LogCaptureFixture) -> None:
    def broken(request: Request) -> Reply:
        raise KeyError(request.model)

    decision = decide(script=Script(default=broken))
    assert (decision.response.status, decision.unexpected) == (500, True)
    assert error(decision) == "The fake provider failed: KeyError: 'm'"
    assert "could not answer POST /openai/v1/chat/completions" in caplog.text


@pytest.mark.parametrize("mount", TWO)
def test_a_refusal_for_any_mount_strikes_the_next_connection(mount: str) -> None:
    script = Script()
    script.add(Fault(how="refuse"), match=Match(provider=mount))
    router = Router(script, TWO)
    assert [router.refused(), router.refused()] == [mount, None]


def test_an_unknown_provider_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r'unknown provider "opanai". Did you mean "openai"'):
        Router(Script(), {"x": "opanai"})


def test_a_server_without_providers_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one"):
        Router(Script(), {})
