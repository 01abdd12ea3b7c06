"""Cassettes of vcrpy: both forms, hidden URLs and headers, compression; what is no cassette is named."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from langchain_anthropic import ChatAnthropic

from langchain_prodtest.errors import UsageError
from langchain_prodtest.script import Script
from langchain_prodtest.wire import FakeServer
from langchain_prodtest.wire.cassette import Answered, Asked, Chunk, Recording, read_cassette
from langchain_prodtest.wire.replay import Replay
from langchain_prodtest.wire.vcr import decode_vcr

PLAIN = """
interactions:
- request:
    body: '{"model": "m", "input": ["a"]}'
    headers: {authorization: [DUMMY], content-type: [application/json]}
    method: POST
    uri: https://api.openai.com/v1/embeddings?a=b
  response:
    body: {string: '{"object": "list"}'}
    headers:
      Content-Type: [application/json]
      Content-Length: ['18']
      Set-Cookie: [a=b, c=d]
      x-request-id: req_1
    status: {code: 200, message: OK}
- request: {body: null, headers: {}, method: GET, uri: 'https://elsewhere.example/v1/models'}
  response: {body: {string: ''}, headers: {}, status: {code: 404, message: Not Found}}
version: 1
"""
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_sequence": None,
    "content": [{"type": "text", "text": "Within 30 days."}], "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 5},
}  # fmt: skip
HIDDEN = "**REDACTED**"
STREAM = b"event: ping\ndata: {}\n\nevent: end\ndata: {}\n\n"


def hidden(*pairs: tuple[Any, bytes]) -> bytes:
    """Return a cassette as LangChain's packages have them."""
    table = {
        "requests": [
            {"method": "POST", "uri": HIDDEN, "body": body, "headers": {"x-api-key": [HIDDEN]}}
            for body, _ in pairs
        ],
        "responses": [
            {"status": {"code": 200, "message": "OK"}, "headers": {"A": [HIDDEN]}, "body": {"string": said}}
            for _, said in pairs
        ],
    }  # fmt: skip
    return gzip.compress(yaml.safe_dump(table).encode())


def test_interactions_are_read() -> None:
    assert decode_vcr(PLAIN, "x.yaml") == [
        Recording(
            request=Asked(
                provider="openai", path="/v1/embeddings?a=b", body={"model": "m", "input": ["a"]}
            ),
            response=Answered(
                headers={
                    "content-type": "application/json", "set-cookie": "[redacted]", "x-request-id": "req_1",
                },
                body={"object": "list"},
            ),
        ),
        Recording(request=Asked(method="GET", path="/v1/models"), response=Answered(status=404)),
    ]  # fmt: skip


def test_hidden_ones_fit_any_url_and_are_known_by_how_they_begin(tmp_path: Path) -> None:
    """JSON, a stream, which comes event by event, and a body that was compressed."""
    path = tmp_path / "cassette.yaml.gz"
    path.write_bytes(
        hidden((b'{"a": 1}', b'{"b": 2}'), (b"x", STREAM), (None, gzip.compress(b"[1]")), ("", b"a,b"))
    )
    first, second, third, fourth = read_cassette(path, ["anthropic"])
    assert (first.request, first.response.body) == (Asked(body={"a": 1}), {"b": 2})
    assert first.response.headers == {"content-type": "application/json"}
    assert second.response == Answered(
        headers={"content-type": "text/event-stream"},
        chunks=(Chunk(text="event: ping\ndata: {}\n\n"), Chunk(text="event: end\ndata: {}\n\n")),
    )
    assert third.response.body == [1]
    assert fourth.response == Answered(chunks=(Chunk(text="a,b"),), framing="length")


def test_a_real_client_is_answered_by_one(tmp_path: Path) -> None:
    """Its request in the cassette has another order of keys."""
    asked = (
        b'{"messages": [{"content": "Refund?", "role": "user"}], "model": "claude-opus-4-7", "max_tokens": 9}'
    )
    path = tmp_path / "cassette.yaml.gz"
    path.write_bytes(hidden((asked, json.dumps(MESSAGE).encode())))
    options: dict[str, Any] = {
        "model": "claude-opus-4-7",
        "max_tokens": 9,
        "api_key": "any",
        "max_retries": 0,
    }
    script = Script(default=Replay(read_cassette(path)))
    with FakeServer(script, {"anthropic": "anthropic"}) as server:
        model = ChatAnthropic(base_url=server.url("anthropic"), **options)
        assert model.invoke("Refund?").text == "Within 30 days."


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("just text", "is no cassette: a JSON object with recordings, or what vcrpy writes"),
        ("requests: [1]\nresponses: []", "is no cassette"),
        ("interactions: [", "line 2, column 1"),
        ("a: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("interactions: [1]", "[interaction 1]: Expected `object`"),
        (PLAIN.replace("code: 404", "code: four"), "[interaction 2]: Expected `int`, got `str`"),
        (PLAIN.replace("code: 404", "code: 99"), "[interaction 2]: Expected `int` >= 200"),
        (PLAIN.replace("body: null", "body: [1]"), "[interaction 2]: a body is text or binary, not list"),
        (
            PLAIN.replace("method: GET", "verb: GET"),
            "[interaction 2]: Object missing required field `method`",
        ),
    ],
)
def test_what_is_none_is_named_with_its_place(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        decode_vcr(text, "x.yaml")
    assert str(caught.value).startswith("x.yaml")
    assert says in str(caught.value)
