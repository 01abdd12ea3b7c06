"""Ollama's codec: what it reads from a request, and exactly what it sends."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ollama import ChatResponse, EmbedResponse, GenerateResponse, ListResponse, ShowResponse
from pydantic import BaseModel

from langchain_prodtest.script import Reply, Request, ToolCall, Usage
from langchain_prodtest.vectors import embed
from langchain_prodtest.wire.codec import Head, Rejected
from langchain_prodtest.wire.ollama import Ollama

NONCE = "pt-00000000000000aa"
USER = {"role": "user", "content": f"Say it. {NONCE}"}
BODY: dict[str, Any] = {"model": "llama3.1", "messages": [USER]}
PROMPT = {"model": "llama3.1", "system": "Be brief.", "prompt": f"Say it. {NONCE}"}
TEXTS = {"model": "nomic-embed-text", "input": ["a red car", "red cars", "tax law"]}

UNKNOWN_TO_THE_CLIENT = {"name", "id", "index"}
"""Fields of models and tool calls that the server sends and the types of its Python client leave out."""

REPLIES = [
    Reply("Grüße, 世界 \U0001f600!"),
    Reply(""),
    Reply("cut", finish="length"),
    Reply(tool_calls=[ToolCall("book", {"seat": "12Ä", "n": 1}), ToolCall("pay")]),
    Reply("I book.", tool_calls=[ToolCall("book", {}, id="call_mine")]),
    Reply("thought", reasoning="because " * 8),
    Reply("counted", usage=Usage(input=10, output=5, cached=4, reasoning=2)),
]


def decode(body: object = BODY, path: str = "/api/chat", method: str = "POST") -> Request:
    head = Head("ollama", method, path, {}, 1_800_000_000.5)
    return Ollama().decode(head, b"" if body is None else json.dumps(body).encode())


def lines(reply: Reply, request: Request | None = None) -> list[dict[str, Any]]:
    """Return the streamed lines, each held to its framing."""
    sent = [event.data for event in Ollama().events(reply, request or decode())]
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in sent)
    return [json.loads(line) for line in sent]


def whole(reply: Reply, request: Request | None = None) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(Ollama().whole(reply, request or decode()))
    return fields


def lost_fields(sent: object, kept: object) -> set[str]:
    """Names that the client's types dropped, at any depth: misspelt ones show here."""
    if isinstance(sent, dict) and isinstance(kept, dict):
        inner = [lost_fields(value, kept[name]) for name, value in sent.items() if name in kept]
        return (sent.keys() - kept.keys()).union(*inner)
    if isinstance(sent, list) and isinstance(kept, list):
        return set[str]().union(*[lost_fields(*pair) for pair in zip(sent, kept, strict=True)])
    return set()


def unknown_fields(kind: type[BaseModel], fields: dict[str, Any]) -> set[str]:
    kept = kind.model_validate(fields).model_dump(mode="json", by_alias=True, exclude_unset=True)
    return lost_fields(fields, kept) - UNKNOWN_TO_THE_CLIENT


# -- requests ---------------------------------------------------------------------------------------------


def test_a_chat_is_read_into_its_fields_and_streamed_unless_refused() -> None:
    tools = [{"type": "function", "function": {"name": "book"}}]
    request = decode({**BODY, "tools": tools})
    assert (request.provider, request.operation, request.model) == ("ollama", "chat", "llama3.1")
    assert (request.messages, request.tools, request.stream) == ([USER], tools, True)
    assert (request.nonce, request.received) == (NONCE, 1_800_000_000.5)
    assert decode({**BODY, "stream": None}).stream
    assert not decode({**BODY, "stream": False}).stream


def test_a_prompt_is_read_into_messages() -> None:
    request = decode(PROMPT, "/api/generate")
    assert (request.operation, request.stream, request.nonce) == ("generate", True, NONCE)
    assert request.messages == [{"role": "system", "content": "Be brief."}, USER]


@pytest.mark.parametrize(("given", "texts"), [("one", ["one"]), (["a", "b"], ["a", "b"]), ("", []), ([], [])])
def test_texts_to_embed_are_read_into_messages(given: object, texts: list[str]) -> None:
    request = decode({"model": "m", "input": given}, "/api/embed")
    assert (request.operation, request.stream) == ("embeddings", False)
    assert [message["content"] for message in request.messages] == texts


def test_the_attempt_is_told_by_the_digest_of_operation_and_messages() -> None:
    request = decode()
    assert (request.attempt, request.attempt_source) == (1, "digest")
    same = decode({"messages": [dict(reversed(USER.items()))], "model": "other", "stream": False})
    assert request.digest == same.digest
    others = [
        decode({**BODY, "messages": [USER, USER]}),
        decode({"model": "m", "input": USER["content"]}, "/api/embed"),
    ]
    assert len({request.digest, *(other.digest for other in others)}) == 3


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/chat"), ("POST", "/v1/chat"), ("POST", "/api/tags"), ("GET", "/")]
)
def test_an_unknown_route_is_404(method: str, path: str) -> None:
    with pytest.raises(Rejected, match="404 page not found") as caught:
        decode(method=method, path=path)
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/api/chat", b"", 400, "missing request body"),
        ("/api/chat", b"{", 400, "invalid JSON: "),
        ("/api/chat", b"\xff", 400, "invalid JSON: "),
        ("/api/chat", b"[" * 100_000, 400, "invalid JSON: "),
        ("/api/chat", b"[]", 400, "invalid JSON: "),
        ("/api/chat", b"{}", 400, "model is required"),
        ("/api/show", b"{}", 400, "model is required"),
        ("/api/generate", b"{}", 404, "model '' not found"),
        ("/api/embed", b'{"model": ""}', 404, "model '' not found"),
        (
            "/api/chat",
            b'{"model": 4}',
            400,
            "json: cannot unmarshal field model into Go value of type string",
        ),
        ("/api/chat", b'{"model": "m", "messages": "hi"}', 400, "json: cannot unmarshal field messages"),
        ("/api/chat", b'{"model": "m", "messages": ["hi"]}', 400, "json: cannot unmarshal field messages"),
        ("/api/chat", b'{"model": "m", "tools": {"a": 1}}', 400, "json: cannot unmarshal field tools"),
        ("/api/generate", b'{"model": "m", "prompt": 4}', 400, "json: cannot unmarshal field prompt"),
        ("/api/embed", b'{"model": "m", "dimensions": "4"}', 400, "json: cannot unmarshal field dimensions"),
        ("/api/embed", b'{"model": "m", "input": [4]}', 400, "invalid input type"),
        ("/api/embed", b'{"model": "m", "input": {"a": 4}}', 400, "invalid input type"),
    ],
)
def test_a_wrong_body_is_refused_in_ollama_s_words(path: str, body: bytes, status: int, message: str) -> None:
    with pytest.raises(Rejected) as caught:
        Ollama().decode(Head("ollama", "POST", path, {}, 0.0), body)
    assert caught.value.status == status
    assert str(caught.value).startswith(message)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3),
    max_leaves=8,
)
MESSAGE = st.fixed_dictionaries({}, optional={"role": ANYTHING, "content": ANYTHING, "tool_calls": ANYTHING})
FIELDS = st.dictionaries(
    st.sampled_from(["prompt", "system", "input", "tools", "stream", "dimensions", "model", "format"]),
    ANYTHING,
)


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/api/embed", "/api/show"])
@given(messages=st.just([USER]) | st.lists(MESSAGE, max_size=3) | ANYTHING, fields=FIELDS)
@settings(max_examples=60, deadline=None)
def test_any_body_is_answered_or_refused(path: str, messages: object, fields: dict[str, object]) -> None:
    try:
        request = decode({**BODY, "messages": messages, **fields}, path)
    except Rejected as rejected:
        status = rejected.status
    else:
        status = 200 if Ollama().whole(Reply("a"), request) and Ollama().events(Reply("a"), request) else 500
    assert status in (200, 400, 404)


# -- answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", REPLIES)
def test_a_chat_is_what_the_client_s_types_describe_whole_and_in_every_line(reply: Reply) -> None:
    for fields in [whole(reply), *lines(reply)]:
        assert unknown_fields(ChatResponse, fields) == set()


@pytest.mark.parametrize("reply", [reply for reply in REPLIES if not reply.tool_calls])
def test_an_answer_to_a_prompt_is_what_the_client_s_types_describe(reply: Reply) -> None:
    request = decode(PROMPT, "/api/generate")
    streamed = lines(reply, request)
    for fields in [whole(reply, request), *streamed]:
        assert unknown_fields(GenerateResponse, fields) == set()
    assert "".join(line["response"] for line in streamed) == whole(reply, request)["response"] == reply.text


@pytest.mark.parametrize("reply", REPLIES)
def test_a_stream_put_together_is_the_whole_answer(reply: Reply) -> None:
    *pieces, last = lines(reply)
    answer = whole(reply)
    message = {"role": "assistant", "content": "", "thinking": "", "tool_calls": []}
    for piece in [*pieces, last]:
        assert (piece["model"], piece["created_at"]) == (answer["model"], answer["created_at"])
        for name, value in piece["message"].items():
            message[name] = value if name == "role" else message[name] + value
    for call in [*message["tool_calls"], *answer["message"].get("tool_calls", [])]:
        assert call.pop("id").startswith("call_")
    assert {name: value for name, value in message.items() if value or name == "content"} == answer["message"]
    assert {**last, "message": answer["message"]} == answer
    assert [piece["done"] for piece in pieces] == [False] * len(pieces)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply("a"), "stop"),
        (Reply("a", finish="length"), "length"),
        (Reply(tool_calls=[ToolCall("a")]), "stop"),
        (Reply("a", finish="content_filter"), "stop"),
        (Reply("I will not.", finish="refusal"), "stop"),
        (Reply("", finish="load"), "load"),
    ],
)
def test_finish_reasons_are_in_ollama_s_words(reply: Reply, reason: str) -> None:
    assert whole(reply)["done_reason"] == lines(reply)[-1]["done_reason"] == reason


@pytest.mark.parametrize("pace", [{"first_token": 0.5, "per_chunk": 0.25}, {"gaps": [0.5, 0.25]}])
def test_counts_and_durations_are_in_the_last_line_and_durations_are_the_reply_s(
    pace: dict[str, Any],
) -> None:
    usage = Usage(input=10, output=5, cached=4, reasoning=2)
    answer = lines(Reply("three words come", usage=usage, **pace))[-1]
    assert (answer["prompt_eval_count"], answer["eval_count"]) == (10, 5)
    assert (answer["prompt_eval_duration"], answer["eval_duration"]) == (500_000_000, 500_000_000)
    assert answer["total_duration"] == answer["load_duration"] + 1_000_000_000
    assert whole(Reply("counted", usage=usage))["eval_duration"] > 0


def test_a_stream_is_exactly_these_bytes() -> None:
    said_by = '{"model":"llama3.1","created_at":"2027-01-15T08:00:00.500000Z","message":'
    start = f'{said_by}{{"role":"assistant","content":'
    assert [event.data.decode() for event in Ollama().events(Reply("é b"), decode())] == [
        f'{start}"é"}},"done":false}}\n',
        f'{start}" b"}},"done":false}}\n',
        (
            f'{start}""}},"done":true,"done_reason":"stop","total_duration":1008000,"load_duration":1000000,'
            '"prompt_eval_count":7,"prompt_eval_duration":7000,"eval_count":1,"eval_duration":1000}\n'
        ),
    ]


def test_the_lines_of_an_answer_say_what_they_carry() -> None:
    sent = Ollama().events(Reply("two words", reasoning="why", tool_calls=[ToolCall("a")]), decode())
    assert [(event.kind, len(event.without)) for event in sent] == [*[("piece", 0)] * 4, ("end", 3)]


def test_each_tool_call_is_a_line_with_its_arguments_as_an_object() -> None:
    calls = [ToolCall("book", {"seat": "12A"}, id="call_1"), ToolCall("pay", {"n": 1}, id="call_2")]
    first, second, _ = lines(Reply(tool_calls=calls))
    assert first["message"] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": "call_1", "function": {"index": 0, "name": "book", "arguments": {"seat": "12A"}}}
        ],
    }
    assert second["message"]["tool_calls"] == [
        {"id": "call_2", "function": {"index": 1, "name": "pay", "arguments": {"n": 1}}}
    ]


def test_thinking_comes_before_the_text_and_beside_it() -> None:
    streamed = lines(Reply("yes", reasoning="it is"))
    assert [line["message"].get("thinking") for line in streamed] == ["it", " is", None, None]
    assert whole(Reply("yes", reasoning="it is"))["message"]["thinking"] == "it is"


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("/api/chat", {"model": "m", "messages": []}, {"message": {"role": "assistant", "content": ""}}),
        ("/api/generate", {"model": "m", "keep_alive": -1}, {"response": ""}),
    ],
)
def test_a_request_that_asks_nothing_loads_the_model(path: str, body: object, answer: dict[str, Any]) -> None:
    request = decode(body, path)
    assert (request.operation in Ollama.unscripted, request.stream) == (True, False)
    expected = {**answer, "model": "m", "done": True, "done_reason": "load"}
    assert whole(Reply("unused"), request).items() >= expected.items()


def test_embeddings_are_unit_vectors_in_order_and_what_the_client_s_types_describe() -> None:
    request = decode(TEXTS, "/api/embed")
    answer = whole(Reply(), request)
    assert unknown_fields(EmbedResponse, answer) == set()
    assert answer["embeddings"] == [embed(text, 768) for text in TEXTS["input"]]
    assert [math.hypot(*vector) for vector in answer["embeddings"]] == pytest.approx([1.0] * 3)
    assert answer["prompt_eval_count"] > 0


@pytest.mark.parametrize(("asked", "given"), [(64, 64), (768, 768), (4096, 768), (0, 768), (None, 768)])
def test_dimensions_can_only_be_cut(asked: int | None, given: int) -> None:
    answer = whole(Reply(), decode({**TEXTS, "dimensions": asked}, "/api/embed"))
    assert [len(vector) for vector in answer["embeddings"]] == [given] * 3


def test_embeddings_can_be_paced() -> None:
    request = decode(TEXTS, "/api/embed")
    (event,) = Ollama().events(Reply(), request)
    assert event.kind == "piece"
    assert json.loads(event.data) == whole(Reply(), request)


def test_models_are_listed_and_shown() -> None:
    listed = whole(Reply(), decode(None, "/api/tags", "GET"))
    assert unknown_fields(ListResponse, listed) == set()
    assert {"prodtest:latest", "llama3.1:latest"} <= {model["model"] for model in listed["models"]}
    shown = whole(Reply(), decode({"model": "llama3.1"}, "/api/show"))
    assert unknown_fields(ShowResponse, shown) == set()
    assert "tools" in shown["capabilities"]


def test_the_version_is_told() -> None:
    assert whole(Reply(), decode(None, "/api/version", "GET")).keys() == {"version"}


@pytest.mark.parametrize("status", [400, 404, 429, 503])
def test_an_error_is_exactly_these_bytes(status: int) -> None:
    assert Ollama().error(status, "no", {}) == b'{"error":"no"}'
    assert Ollama().error_event(status, "no", decode(), 0) == b'{"error":"no"}\n'


def test_there_are_no_headers_of_its_own() -> None:
    codec = Ollama()
    assert codec.headers() == codec.error_headers(503) == codec.answer_headers(Reply(), decode()) == {}


def test_the_garbage_event_is_a_line_and_is_not_json() -> None:
    assert Ollama.garbage.endswith(b"\n")
    with pytest.raises(json.JSONDecodeError):
        json.loads(Ollama.garbage)
