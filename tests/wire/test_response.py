"""When each part of a healthy answer is due, and what a scripted error carries."""

import json

import pytest

from langchain_prodtest.script import Fault, Reply, Request, ToolCall
from langchain_prodtest.wire.openai import OpenAI
from langchain_prodtest.wire.response import Response, answer, refuse, scripted_error

CODEC = OpenAI()


def request(stream: bool) -> Request:
    return Request(provider="openai", model="m", messages=[{"role": "user", "content": "hi"}], stream=stream)


def times(response: Response) -> list[float]:
    return [at for at, _ in response.parts]


def test_a_stream_opens_at_once_and_its_pieces_are_paced() -> None:
    reply = Reply("one two three", first_token=1.0, per_chunk=0.25)
    response = answer(CODEC, reply, request(stream=True))
    assert times(response) == [0.0, 1.0, 1.25, 1.5, 1.5, 1.5]  # role, three pieces, finish, [DONE]
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"


def test_pieces_of_tool_calls_are_paced_like_text() -> None:
    reply = Reply(tool_calls=[ToolCall("book", {"seat": "12A"})], per_chunk=0.5)
    assert times(answer(CODEC, reply, request(stream=True))) == [0.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def test_a_whole_answer_comes_when_its_last_piece_would_have_come() -> None:
    reply = Reply("one two three", first_token=1.0, per_chunk=0.25)
    response = answer(CODEC, reply, request(stream=False))
    assert times(response) == [1.5]
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("stream", [True, False])
def test_without_a_pace_everything_is_due_at_once(stream: bool) -> None:
    assert set(times(answer(CODEC, Reply("one two three"), request(stream)))) == {0.0}


@pytest.mark.parametrize("include_usage", [True, False])
def test_closing_is_the_first_event_that_says_complete(include_usage: bool) -> None:
    asked = Request(provider="openai", stream=True, body={"stream_options": {"include_usage": include_usage}})
    response = answer(CODEC, Reply("one two", per_chunk=0.1), asked)
    assert b'"finish_reason":"stop"' in response.parts[response.closing][1]
    assert not any(b'"finish_reason":"stop"' in data for _, data in response.parts[: response.closing])


@pytest.mark.parametrize(
    ("given", "sent"),
    [(30.0, "30"), (1, "1"), (0.2, "0.2"), (3600.0, "3600"), (1234567.5, "1234567.5"), ("soon", "soon")],
)
def test_retry_after_is_sent_as_given(given: float | str, sent: str) -> None:
    assert scripted_error(CODEC, Fault(status=429, retry_after=given)).headers["retry-after"] == sent


def test_an_error_without_retry_after_has_none() -> None:
    assert "retry-after" not in scripted_error(CODEC, Fault(status=429)).headers


def test_headers_and_body_of_a_fault_win_over_the_provider_s() -> None:
    fault = Fault(
        status=503, body="<h1>é</h1>", headers={"Content-Type": "text/html", "X-Should-Retry": "false"}
    )
    response = scripted_error(CODEC, fault)
    assert response.parts == [(0.0, "<h1>é</h1>".encode())]
    assert response.headers["content-type"] == "text/html"
    assert response.headers["x-should-retry"] == "false"
    assert response.headers["x-request-id"].startswith("req_")


def test_a_delayed_error_is_due_after_the_delay() -> None:
    assert times(scripted_error(CODEC, Fault(status=500, delay=2.5))) == [2.5]


@pytest.mark.parametrize(
    ("status", "phrase"), [(503, "Service Unavailable"), (529, "Overloaded"), (599, "Error 599")]
)
def test_an_error_says_what_its_status_means(status: int, phrase: str) -> None:
    ((_, body),) = scripted_error(CODEC, Fault(status=status)).parts
    assert json.loads(body)["error"]["message"] == phrase


def test_a_refusal_has_the_provider_s_shape() -> None:
    response = refuse(CODEC, 404, "no such thing")
    assert (response.status, response.headers["content-type"]) == (404, "application/json")
    assert json.loads(response.parts[0][1])["error"]["message"] == "no such thing"


class Named(OpenAI):
    def answer_headers(self, reply: Reply, request: Request) -> dict[str, str]:
        return {"x-answer": reply.text}

    def error_headers(self, status: int) -> dict[str, str]:
        return {"x-error": f"name-of-{status}", "x-request-id": "mine"}


def test_an_error_also_has_the_headers_that_name_it() -> None:
    for response in (refuse(Named(), 404, "no"), scripted_error(Named(), Fault(status=404))):
        assert (response.headers["x-error"], response.headers["x-request-id"]) == ("name-of-404", "mine")
        assert "x-answer" not in response.headers


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_also_has_the_headers_that_describe_it(stream: bool) -> None:
    headers = answer(Named(), Reply("yes"), request(stream)).headers
    assert headers["x-answer"] == "yes"
    assert headers["x-request-id"].startswith("req_")
    assert "x-error" not in headers
