"""Claims that hold for the streams of every provider's API alike."""

import base64
import json
import re
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer  # type: ignore[import-untyped]
from msgspec.structs import replace

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.script import Fault, Reply, Request, ToolCall, Usage
from langchain_prodtest.steps import What
from langchain_prodtest.wire.codec import Codec, Event, Head, Rejected, cut_arguments, nearest_route
from langchain_prodtest.wire.faults import faulty
from langchain_prodtest.wire.providers import PROVIDERS
from langchain_prodtest.wire.response import refuse

REPLY = Reply(
    "two words",
    reasoning="why not",
    tool_calls=[ToolCall("book", {"seat": "12A"}, id="abcdefgh1")],
    usage=Usage(input=11, output=7, cached=2, reasoning=3),
)
SAID = [{"role": "user", "content": "Hello"}]
CHAT: dict[str, Any] = {"model": "m", "messages": SAID, "stream": True}
USAGE = {**CHAT, "stream_options": {"include_usage": True}}
CONVERSE = {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
CLAUDE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": SAID}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}

STREAMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "openai": ("openai", "/v1/chat/completions", USAGE),
    "responses": ("openai", "/v1/responses", {"model": "m", "input": "Hello", "stream": True}),
    "azure": ("azure", "/openai/deployments/m/chat/completions", USAGE),
    "xai": ("xai", "/v1/chat/completions", USAGE),
    "groq": ("groq", "/openai/v1/chat/completions", CHAT),
    "openrouter": ("openrouter", "/api/v1/chat/completions", CHAT),
    "mistral": ("mistral", "/v1/chat/completions", CHAT),
    "perplexity": ("perplexity", "/chat/completions", CHAT),
    "agent": ("perplexity", "/v1/responses", {"model": "m", "input": "Hello", "stream": True}),
    "anthropic": ("anthropic", "/v1/messages", {**CHAT, "max_tokens": 9}),
    "ollama": ("ollama", "/api/chat", CHAT),
    "generate": ("ollama", "/api/generate", {"model": "m", "prompt": "Hello"}),
    "converse": ("bedrock", "/model/m/converse-stream", CONVERSE),
    "invoke": ("bedrock", "/model/m/invoke-with-response-stream", CLAUDE),
    "gemini": ("gemini", "/v1beta/models/m:streamGenerateContent", GEMINI),
    "cohere": ("cohere", "/v2/chat", CHAT),
}
CARRIERS = {
    "finish": re.compile(
        r"(^|\.)(finish_?[rR]eason|stop_?[rR]eason|stop_sequence|stop_details|done_reason)(\.|$)"
        r"|^response\.(status|incomplete_details)"
    ),
    "usage": re.compile(
        r"(^|\.)(usage|usageMetadata|x_groq|metrics|(prompt_)?eval_count|amazon-bedrock-invocationMetrics)(\.|$)"
    ),
}
"""The paths of the fields that tell the finish reason and the usage, in every provider's words."""
every_stream = pytest.mark.parametrize("name", STREAMS)


def stream(name: str) -> tuple[Request, Codec]:
    provider, path, body = STREAMS[name]
    head = Head(provider, "POST", path, {"anthropic-version": "2023-06-01"}, 1.5, "api-version=1")
    return PROVIDERS[provider].decode(head, json.dumps(body).encode()), PROVIDERS[provider]


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Return every value that is not null, by its path."""
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    else:
        return {} if value is None else {path.removeprefix("."): value}
    return {leaf: found for key, part in pairs for leaf, found in leaves(part, f"{path}.{key}").items()}


def told(event: bytes) -> dict[str, Any]:
    """Return what an event tells, whatever frames it."""
    if event.startswith(b"\0"):
        buffer = EventStreamBuffer()
        buffer.add_data(event)
        fields = json.loads(next(buffer).payload)
        return leaves(json.loads(base64.b64decode(fields["bytes"])) if "bytes" in fields else fields)
    data = event.partition(b"data: ")[2] or event
    return {"": data} if data.startswith(b"[DONE]") else leaves(json.loads(data))


def carried(events: list[Event], what: str) -> list[dict[str, Any]]:
    carrier = CARRIERS[what]
    found = [{path: v for path, v in told(event.data).items() if carrier.search(path)} for event in events]
    return [one for one, event in zip(found, events, strict=True) if one and event.kind != "open"]


def rest(events: list[Event], what: str) -> list[dict[str, Any]]:
    return [{p: v for p, v in told(e.data).items() if not CARRIERS[what].search(p)} for e in events]


def lacking(events: list[Event], what: What) -> list[Event]:
    left = [replace(event, data=event.without.get(what, event.data)) for event in events]
    return [event for event in left if event.data]


@every_stream
@pytest.mark.parametrize(("what", "other"), [("finish", "usage"), ("usage", "finish")])
def test_a_stream_without_one_thing_is_changed_in_just_that(name: str, what: What, other: What) -> None:
    request, codec = stream(name)
    healthy = codec.events(REPLY, request)
    less = lacking(healthy, what)
    assert carried(healthy, what)
    assert carried(less, what) == []
    assert carried(less, other) == carried(healthy, other)
    gone = [event for event in healthy if event.without.get(what) == b""]
    assert rest(less, what) == rest([event for event in healthy if event not in gone], what)
    assert len(gone) <= 1


@every_stream
def test_the_terminal_marker_is_one_event_that_can_be_missing(name: str) -> None:
    request, codec = stream(name)
    healthy = codec.events(REPLY, request)
    if name == "gemini":
        with pytest.raises(ScriptError, match="no terminal that could be missing"):
            faulty(codec, Fault(how="missing", what="terminal"), REPLY, request)
    else:
        less = lacking(healthy, "terminal")
        (marker,) = [event for event in healthy if event not in less]
        assert marker.kind == "end"


@every_stream
@pytest.mark.parametrize("what", ["finish", "usage"])
def test_a_fault_leaves_out_what_it_names(name: str, what: What) -> None:
    request, codec = stream(name)
    parts = faulty(codec, Fault(how="missing", what=what), REPLY, request).parts
    expected = lacking(codec.events(REPLY, request), what)
    assert [told(data).keys() for _, data in parts] == [told(event.data).keys() for event in expected]


@every_stream
def test_an_error_event_is_framed_as_the_stream_is(name: str) -> None:
    request, codec = stream(name)
    event = codec.error_event(500, "it broke", request, 3)
    assert "it broke" in told(event).values()


def status(codec: Codec, head: Head) -> int:
    try:
        codec.decode(head, b'{"model": "m"}')
    except Rejected as rejected:
        return rejected.status
    return 200


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_every_route_that_is_named_exists(name: str) -> None:
    for route in PROVIDERS[name].routes:
        method, _, target = route.replace("{", "").replace("}", "").partition(" ")
        path, _, query = target.partition("?")
        assert status(PROVIDERS[name], Head(name, method, path, {}, 1.5, query)) in (200, 400, 422)


@pytest.mark.parametrize(
    ("name", "asked", "nearest"),
    [
        ("openai", "POST /v1/chat/completion", "POST /v1/chat/completions"),
        ("openai", "GET /v1/embeddings", "POST /v1/embeddings"),
        ("azure", "POST /openai/deployments/m/embed", "POST /openai/deployments/{deployment}/embeddings?api"),
        (
            "azure",
            "POST /openai/deployments/m/chat/completions",
            "POST /openai/deployments/{deployment}/chat",
        ),
        ("anthropic", "POST /v1/message", "POST /v1/messages"),
        ("ollama", "POST /chat", "POST /api/chat"),
        ("bedrock", "POST /model/m/converse_stream", "POST /model/{model}/converse-stream"),
        ("gemini", "POST /v1beta/models/m:generate", "POST /v1beta/models/{model}:generateContent"),
        ("cohere", "POST /v1/chat", "POST /v2/chat"),
        ("xai", "POST /v1/embeddings", "POST /v1/"),
    ],
)
def test_the_nearest_route_is_told(name: str, asked: str, nearest: str) -> None:
    method, path = asked.split()
    hint = nearest_route(Head(name, method, path, {}, 1.5), PROVIDERS[name])
    assert hint.startswith(f"no route {asked}; the nearest is {nearest}")


def test_a_route_that_exists_has_no_nearest() -> None:
    assert nearest_route(Head("ollama", "POST", "/api/generate", {}, 1.5), PROVIDERS["ollama"]) == ""


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_an_error_has_the_same_request_id_in_its_body_as_in_its_headers(name: str) -> None:
    response = refuse(PROVIDERS[name], 400, "no")
    body = json.loads(response.parts[0][1])
    assert body.get("request_id") == (response.headers["request-id"] if name == "anthropic" else None)


def test_pieces_of_arguments_put_together_are_the_arguments() -> None:
    arguments = '{"seat": "12Ä", "n": 1}'
    pieces = cut_arguments(arguments)
    assert "".join(pieces) == arguments
    assert len(pieces) > 1
