"""Azure OpenAI's codec: routes by deployment, the content filter, its errors."""

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from langchain_prodtest.script import Reply, Request, ToolCall
from langchain_prodtest.wire.azure import Azure
from langchain_prodtest.wire.codec import Head, Rejected
from tests.wire.walk import unknown_fields

CHAT = "/openai/deployments/my-gpt/chat/completions"
FILTER = {"prompt_filter_results", "content_filter_results"}
REPLIES = [
    Reply("Grüße, 世界 \U0001f600!"),
    Reply("filtered", finish="content_filter"),
    Reply(tool_calls=[ToolCall("book", {"seat": "12Ä"})]),
]


def decode(path: str = CHAT, query: str = "api-version=2025-04-01", **changes: Any) -> Request:
    body = {"model": None, "messages": [{"role": "user", "content": "Say it."}], **changes}
    head = Head("azure", "POST", path, {}, 1_800_000_000.5, query)
    return Azure().decode(head, json.dumps(body).encode())


def chunks(reply: Reply) -> list[dict[str, Any]]:
    events = Azure().events(reply, decode(stream=True))
    return [json.loads(event.data.removeprefix(b"data: ")) for event in events[:-1]]


def test_the_model_is_the_deployment_unless_the_body_names_one() -> None:
    assert decode().model == "my-gpt"
    assert decode(model="gpt-4o").model == "gpt-4o"


@pytest.mark.parametrize(
    ("path", "operation", "model"),
    [
        (CHAT, "chat", "my-gpt"),
        ("/openai/deployments/my-ada/embeddings", "embeddings", "my-ada"),
        ("/openai/responses", "responses", "m"),
        ("/openai/v1/responses", "responses", "m"),
        ("/openai/v1/chat/completions", "chat", ""),
    ],
)
def test_the_routes_lead_to_their_operations(path: str, operation: str, model: str) -> None:
    request = decode(path, input="text", model="m" if model == "m" else None)
    assert (request.operation, request.model) == (operation, model)


def test_responses_have_no_deployment_that_could_name_the_model() -> None:
    with pytest.raises(Rejected, match="you must provide a model parameter"):
        decode("/openai/responses", input="text")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/deployments/my-gpt/completions", "/"])
def test_an_unknown_route_is_404(path: str) -> None:
    with pytest.raises(Rejected) as caught:
        decode(path)
    assert caught.value.status == 404


@pytest.mark.parametrize("query", ["", "api-version=", "api_version=2025-04-01", "x=api-version%3D1"])
def test_without_an_api_version_only_v1_is_found(query: str) -> None:
    for path in (CHAT, "/openai/responses"):
        with pytest.raises(Rejected, match="Resource not found") as caught:
            decode(path, query, input="text")
        assert caught.value.status == 404
    assert decode("/openai/v1/chat/completions", query).operation == "chat"
    assert decode(CHAT, f"x=1&{query}&api-version=2025-04-01").operation == "chat"


@pytest.mark.parametrize("reply", REPLIES)
def test_a_whole_answer_is_what_the_sdk_s_types_describe_with_the_filter_s_verdicts(reply: Reply) -> None:
    completion = ChatCompletion.model_validate_json(Azure().whole(reply, decode()), strict=True)
    assert set(unknown_fields(completion)) == FILTER
    assert (completion.model, completion.service_tier) == ("my-gpt", None)


@pytest.mark.parametrize("reply", REPLIES)
def test_every_event_is_what_the_sdk_s_types_describe_with_the_filter_s_verdicts(reply: Reply) -> None:
    for fields in chunks(reply):
        assert set(unknown_fields(ChatCompletionChunk.model_validate(fields))) <= FILTER


def test_the_first_event_has_no_choice_but_the_verdict_on_the_prompt() -> None:
    first, second, *rest = chunks(Reply("hi"))
    assert first["choices"] == []
    verdict = first["prompt_filter_results"][0]["content_filter_results"]
    assert [result["filtered"] for result in verdict.values()] == [False] * 4
    assert second["choices"][0]["delta"]["role"] == "assistant"
    assert not any("prompt_filter_results" in chunk for chunk in [second, *rest])


def test_a_filtered_answer_says_for_what() -> None:
    choice = json.loads(Azure().whole(REPLIES[1], decode()))["choices"][0]
    assert choice["finish_reason"] == "content_filter"
    assert choice["content_filter_results"]["violence"] == {"filtered": True, "severity": "medium"}


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_an_error_has_its_status_as_code(status: int) -> None:
    assert json.loads(Azure().error(status, "no", {})) == {"error": {"code": str(status), "message": "no"}}


def test_a_400_is_the_model_s_own() -> None:
    assert json.loads(Azure().error(400, "no", {}))["error"]["type"] == "invalid_request_error"


def test_headers_name_the_request_twice() -> None:
    headers = Azure().headers()
    assert headers["x-request-id"] == headers["apim-request-id"]
    assert "openai-version" not in headers
