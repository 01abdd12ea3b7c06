"""The healthy service over HTTP, in a process of its own, against fake providers on the wire."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from langchain_prodtest.demo.service import main
from langchain_prodtest.script import Fault, Match, Reply, ToolCall, answer_for

if TYPE_CHECKING:
    from tests.demo.conftest import Event, Fakes, Service

Text = Callable[["list[Event]"], str]
FIRST = Match(provider="openai")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@contextmanager
def _faulty(fakes: "Fakes", fault: Fault) -> Iterator[None]:
    with fakes.script.always(fault, match=FIRST):
        yield


# -- answers -----------------------------------------------------------------------------------------


def test_an_answer_comes_token_by_token_and_ends_with_done_and_its_usage(
    service: "Service", fakes: "Fakes", nonce: str, text: Text
) -> None:
    events = service.ask(f"hello {nonce}")
    assert text(events) == answer_for(nonce)
    assert [name for name, _ in events] == ["token"] * 26 + ["done"]
    assert events[-1][1]["finish"] == "stop"
    assert events[-1][1]["usage"]["output_tokens"] > 0
    assert fakes.providers(1) == ["openai"]


def test_the_message_reaches_the_model_unchanged(service: "Service", fakes: "Fakes") -> None:
    message = "  ünï\n“quoted” {braces} </s> 🚀 "
    service.ask(message)
    (call,) = fakes.script.wait_for(1)
    assert call.messages[-1] == {"role": "user", "content": message}
    assert call.stream


def test_a_tool_is_run_and_only_the_final_answer_reaches_the_client(
    service: "Service", fakes: "Fakes", nonce: str, text: Text
) -> None:
    events = service.ask(f"book 12A {nonce}")
    assert text(events) == answer_for(nonce)
    assert events[-1][0] == "done"
    first, second = fakes.script.wait_for(2)
    assert second.messages[-1]["role"] == "tool"
    assert "Seat 12A is booked" in second.messages[-1]["content"]
    assert [tool["function"]["name"] for tool in first.tools] == ["book_seat"]


def test_a_request_that_is_repeated_books_once(service: "Service", fakes: "Fakes", nonce: str) -> None:
    header = f"00-{nonce.removeprefix('pt-'):0>32}-00f067aa0ba902b7-01"
    for _ in range(2):
        service.ask(f"book 12A {nonce}", traceparent=header)
    said = [call.messages[-1]["content"] for call in fakes.script.wait_for(4) if len(call.messages) > 2]
    assert len(said) == 2
    assert said[0] == said[1]


@pytest.mark.parametrize(
    "body", ["", "{}", '{"message": ""}', '{"message": 1}', '{"message": "a", "x": 1}', "["]
)
def test_a_body_that_is_no_question_is_refused_with_422(
    service: "Service", fakes: "Fakes", body: str
) -> None:
    status, _ = service.post("/chat", body)
    assert status == 422
    assert fakes.script.calls == []


def test_a_service_that_is_not_configured_says_what_is_missing_and_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert main() == 2
    assert "environment variable OPENAI_API_KEY is not set" in capsys.readouterr().err


# -- faults of the first provider ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "asked"),
    [
        (Fault(status=503), ["openai", "openai", "backup"]),
        (Fault(status=429), ["openai", "openai", "backup"]),
        (Fault(status=429, retry_after=0.05), ["openai", "openai", "backup"]),
        (Fault(status=429, retry_after=3600), ["openai", "backup"]),
        (Fault(status=401), ["openai", "backup"]),
        (Fault(how="reset"), ["openai", "openai", "backup"]),
        (Fault(how="clean_end", after=1), ["openai", "openai", "backup"]),
    ],
    ids=["503", "429", "short Retry-After", "long Retry-After", "401", "reset", "only the role"],
)
def test_a_failure_before_the_first_token_is_hidden_by_one_retry_and_the_fallback(
    fault: Fault, asked: list[str], service: "Service", fakes: "Fakes", nonce: str, text: Text
) -> None:
    with _faulty(fakes, fault):
        events = service.ask(f"hello {nonce}")
    assert (text(events), events[-1][0]) == (answer_for(nonce), "done")
    assert fakes.providers(len(asked)) == asked


@pytest.mark.parametrize("how", ["clean_end", "reset", "eof", "garbage"])
def test_an_answer_that_breaks_after_its_first_token_ends_in_an_error_and_no_text_comes_twice(
    how: Any, service: "Service", fakes: "Fakes", nonce: str, text: Text
) -> None:
    with _faulty(fakes, Fault(how=how, after=5)):
        events = service.ask(f"hello {nonce}")
    assert text(events)
    assert answer_for(nonce).startswith(text(events))
    assert [name for name, _ in events if name != "token"] == ["error"]
    assert events[-1] == ("error", {"code": "incomplete", "message": events[-1][1]["message"]})
    assert fakes.providers(1) == ["openai"]


def test_a_tool_call_that_is_cut_is_not_run_but_asked_for_again(
    service: "Service", fakes: "Fakes", nonce: str, text: Text
) -> None:
    seat = Reply(tool_calls=[ToolCall("book_seat", {"seat": "12A"})])
    fakes.script.add(Fault(how="clean_end", after=2), seat, Reply(answer_for(nonce)))
    events = service.ask(f"book 12A {nonce}")
    assert (text(events), events[-1][0]) == (answer_for(nonce), "done")
    calls = fakes.script.wait_for(3)
    assert [len(call.messages) for call in calls] == [2, 2, 4]


# -- time ----------------------------------------------------------------------------------------------


def test_a_first_provider_that_hangs_is_given_up_for_the_fallback(
    service: "Service", fakes: "Fakes", nonce: str, text: Text
) -> None:
    with _faulty(fakes, Fault(how="hang")):
        events = service.ask(f"hello {nonce}")
    assert (text(events), events[-1][0]) == (answer_for(nonce), "done")


@pytest.mark.parametrize("fault", [Fault(how="hang"), Fault(how="drip", delay=0.2)], ids=["hang", "drip"])
def test_when_no_provider_answers_in_time_the_request_ends_with_an_error_at_its_deadline(
    fault: Fault, service: "Service", fakes: "Fakes"
) -> None:
    started = time.monotonic()
    with fakes.script.always(fault):
        events = service.ask("hello")
    assert [name for name, _ in events] == ["error"]
    assert events[0][1]["code"] == "deadline"
    assert time.monotonic() - started < 30  # the deadline is 4 s


# -- clients that leave -------------------------------------------------------------------------------


@pytest.mark.parametrize("silent", [False, True], ids=["while it streams", "while the provider is silent"])
def test_the_provider_call_ends_when_the_client_leaves(
    silent: bool, service: "Service", fakes: "Fakes"
) -> None:
    before = service.metric('demo_requests_total{outcome="cancelled"}')
    fakes.script.add(Reply("one " * 60, first_token=30.0 * silent, per_chunk=0.5))
    stream = service.open("hello")
    fakes.wait_until_open(1)
    if not silent:
        assert stream.next() == ("token", {"text": "one"})
    left = time.monotonic()
    stream.close()
    (call,) = fakes.script.wait_for(1, 20)
    assert call.closed_by == "client"
    assert time.monotonic() - left < 15  # the answer goes on for 30 s
    assert service.wait_for_metric('demo_requests_total{outcome="cancelled"}', before + 1)
    assert service.wait_for_metric("demo_in_flight", 0)


# -- what it tells -------------------------------------------------------------------------------------


def test_liveness_and_readiness_do_not_depend_on_the_providers(service: "Service", fakes: "Fakes") -> None:
    with fakes.script.always(Fault(how="hang")):
        assert service.get("/livez") == (200, '{"status":"alive"}')
        assert service.get("/readyz") == (200, '{"status":"ready"}')
    assert fakes.script.calls == []


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_the_description_of_the_api_is_not_served(path: str, service: "Service") -> None:
    assert service.get(path)[0] == 404


def test_the_metrics_count_what_the_clients_and_providers_saw(
    service: "Service", fakes: "Fakes", nonce: str
) -> None:
    series = [
        'demo_requests_total{outcome="ok"}',
        'demo_requests_total{outcome="incomplete"}',
        'demo_provider_calls_total{provider="openai"}',
        'demo_provider_calls_total{provider="fallback"}',
        "demo_ttft_seconds_count",
    ]
    before = [service.metric(name) for name in series]
    with _faulty(fakes, Fault(status=503)):
        service.ask(f"hello {nonce}")
    with _faulty(fakes, Fault(how="clean_end", after=5)):
        service.ask(f"hello {nonce}")
    after = [service.metric(name) for name in series]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 3, 1, 2]


def test_log_lines_carry_the_trace_that_was_sent_and_so_do_the_provider_calls(
    service: "Service", fakes: "Fakes", nonce: str
) -> None:
    service.ask(f"hello {nonce}", traceparent=f"00-{TRACE}-00f067aa0ba902b7-01")
    (call,) = fakes.script.wait_for(1)
    assert call.headers["traceparent"].split("-")[1] == TRACE
    lines = [line for line in service.lines("chat.ended") if line["trace_id"] == TRACE]
    assert [line["outcome"] for line in lines] == ["ok"]
    assert [line["trace_id"] for line in service.lines("chat.received")].count(TRACE) == 1


def test_neither_keys_nor_prompts_nor_the_provider_s_words_are_told_to_anyone(
    service: "Service", fakes: "Fakes"
) -> None:
    body = json.dumps({"error": {"message": "canary-upstream sk-canary-first", "type": "server_error"}})
    with fakes.script.always(Fault(status=500, body=body)):
        events = service.ask("canary-prompt")
    assert events[-1][1]["code"] == "unavailable"
    told = json.dumps(events) + service.log.read_text() + service.get("/metrics")[1]
    assert "canary" not in told
