"""The real clients of Bedrock against the fake provider: what their users get from each answer and fault.

ChatBedrockConverse speaks Converse, ChatBedrock invokes Claude in its own JSON; both sit on botocore.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import botocore.exceptions  # type: ignore[import-untyped]
import pytest
import urllib3.exceptions
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.eventstream import ChecksumMismatch  # type: ignore[import-untyped]
from botocore.retries.standard import ExponentialBackoff  # type: ignore[import-untyped]
from langchain_aws import BedrockEmbeddings, ChatBedrock, ChatBedrockConverse
from langchain_core.exceptions import ContextOverflowError, ModelError
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from msgspec.structs import replace
from pydantic import BaseModel

from langchain_prodtest.script import (
    Call,
    Fault,
    Match,
    Reply,
    Request,
    Script,
    ToolCall,
    Usage,
    answer_for,
    new_nonce,
)
from langchain_prodtest.vectors import embed
from langchain_prodtest.wire import FakeServer, eventstream
from langchain_prodtest.wire.bedrock import Bedrock
from langchain_prodtest.wire.codec import Event
from langchain_prodtest.wire.providers import PROVIDERS

NONCE = new_nonce(7)
QUESTION = f"Say it. {NONCE}"
ANSWER = answer_for(NONCE)
CLASSES: dict[str, Any] = {"converse": ChatBedrockConverse, "invoke": ChatBedrock}
CLAUDE = "us.anthropic.claude-sonnet-4-20250514-v1:0"

Chat = Callable[..., Any]


class Verdict(BaseModel):
    """Whether to approve."""

    approve: bool
    reason: str


def book(seat: str) -> str:
    """Book a seat."""
    return seat


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials that are worth nothing, and no file or service that could tell others."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAFAKE",
        "AWS_SECRET_ACCESS_KEY": "fake-secret",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Script, FakeServer]]:
    script = Script()
    with FakeServer(script, {"bedrock": "bedrock"}) as server:
        yield script, server


@pytest.fixture
def script(running: tuple[Script, FakeServer]) -> Script:
    running[0].reset()
    return running[0]


@pytest.fixture
def url(running: tuple[Script, FakeServer]) -> str:
    return running[1].url("bedrock")


@pytest.fixture(scope="module")
def make(running: tuple[Script, FakeServer]) -> Chat:
    """Make a client of a kind, or give the one made before: making one is slow. One with a Config is new."""
    known: dict[str, Any] = {}

    def make(kind: str, **options: Any) -> Any:
        key = f"{kind} {sorted(options.items())}"
        if key not in known or "config" in options:
            known[key] = CLASSES[kind](model=CLAUDE, endpoint_url=running[1].url("bedrock"), **options)
        return known[key]

    return make


@pytest.fixture(params=list(CLASSES))
def chat(request: pytest.FixtureRequest, make: Chat) -> Chat:
    return partial(make, request.param)


@pytest.fixture
def converse(make: Chat) -> Chat:
    return partial(make, "converse")


@pytest.fixture
def invoke(make: Chat) -> Chat:
    return partial(make, "invoke")


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExponentialBackoff, "_get_base_scale", lambda self, context: 0.0)


def collect(model: Any, question: Any = QUESTION) -> AIMessageChunk:
    return total(list(model.stream(question)))


async def acollect(model: Any) -> AIMessageChunk:
    return total([chunk async for chunk in model.astream(QUESTION)])


def total(chunks: list[Any]) -> AIMessageChunk:
    added = chunks[0]
    for chunk in chunks[1:]:
        added += chunk
    assert isinstance(added, AIMessageChunk)
    return added


def attempts(script: Script) -> list[int]:
    return [call.attempt for call in script.calls]


# -- healthy answers --------------------------------------------------------------------------------------


def test_every_way_to_ask_gives_the_answer_to_the_nonce(chat: Chat, script: Script) -> None:
    model = chat()
    assert model.invoke(QUESTION).text == ANSWER
    assert collect(model).text == ANSWER
    for _ in range(2):  # a new event loop each
        assert asyncio.run(model.ainvoke(QUESTION)).text == ANSWER
        assert asyncio.run(acollect(model)).text == ANSWER
    assert [(call.nonce, call.model, call.attempt, call.attempt_source) for call in script.calls] == [
        (NONCE, CLAUDE, 1, "header")
    ] * 6
    assert [call.stream for call in script.calls] == [False, True] * 3


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL"])
@pytest.mark.parametrize("kind", list(CLASSES))
def test_the_environment_alone_leads_the_client_here(
    kind: str, variable: str, url: str, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, url)
    assert CLASSES[kind](model=CLAUDE).invoke(QUESTION).text == ANSWER
    assert len(script.calls) == 1


def test_the_model_of_an_inference_profile_is_not_told_by_its_id(url: str, script: Script) -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/mine"
    for kind in CLASSES:
        model = CLASSES[kind](model=arn, provider="anthropic", base_model=CLAUDE, endpoint_url=url)
        assert collect(model).text == ANSWER
    assert [call.model for call in script.calls] == [arn, arn]


def test_a_signature_is_accepted_and_not_stored(chat: Chat, script: Script) -> None:
    chat().invoke(QUESTION)
    (call,) = script.calls
    assert call.headers["authorization"] == "present"
    assert "AKIAFAKE" not in repr(call)


def test_usage_is_the_same_whole_and_streamed(chat: Chat, script: Script) -> None:
    script.add(*[Reply("five words are said here", usage=Usage(input=9, output=5, cached=4))] * 2)
    whole = chat().invoke(QUESTION)
    assert whole.usage_metadata == collect(chat()).usage_metadata
    assert whole.usage_metadata == {
        "input_tokens": 9,
        "output_tokens": 5,
        "total_tokens": 14,
        "input_token_details": {"cache_creation": 0, "cache_read": 4},
    }


def test_converse_tells_thinking_tokens_when_asked(converse: Chat, script: Script) -> None:
    script.add(*[Reply("so", reasoning="hm " * 4, usage=Usage(input=9, output=5, reasoning=3))] * 2)
    model = converse(additional_model_response_field_paths=["/usage"])
    for message in (model.invoke(QUESTION), collect(model)):
        assert message.usage_metadata is not None
        assert message.usage_metadata["output_token_details"] == {"reasoning": 3}


@pytest.mark.parametrize(("kind", "name"), [("converse", "stopReason"), ("invoke", "stop_reason")])
def test_the_stop_reason_arrives(kind: str, name: str, make: Chat, script: Script) -> None:
    script.add(*[Reply("cut", finish="length")] * 2, Reply("held", finish="content_filter"))
    model = make(kind)
    for message in (model.invoke(QUESTION), collect(model)):
        assert message.response_metadata[name] == "max_tokens"
    held = {"converse": "content_filtered", "invoke": "refusal"}
    assert model.invoke(QUESTION).response_metadata[name] == held[kind]


def test_reasoning_arrives_whole_and_streamed(converse: Chat, script: Script) -> None:
    script.add(*[Reply("42", reasoning="six times seven")] * 2)
    for message in (converse().invoke(QUESTION), collect(converse())):
        block: Any = message.content_blocks[0]
        assert (block["type"], block["reasoning"], message.text) == ("reasoning", "six times seven", "42")


def test_tool_calls_arrive_whole_and_in_a_stream(chat: Chat, script: Script) -> None:
    reply = Reply(
        "I book.", [ToolCall("book", {"seat": "12Ä"}, id="tooluse_1"), ToolCall("book", {"seat": "3"})]
    )
    script.add(reply, reply)
    model = chat().bind_tools([book])
    for message in (model.invoke(QUESTION), collect(model)):
        assert message.text == "I book."
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [
            ("book", {"seat": "12Ä"}),
            ("book", {"seat": "3"}),
        ]
        assert message.tool_calls[0]["id"] == "tooluse_1"
        assert message.tool_calls[1]["id"] not in (None, "", "tooluse_1")
    assert [len(call.tools) for call in script.calls] == [1, 1]


def test_a_conversation_with_a_tool_goes_round(chat: Chat, script: Script) -> None:
    call = {"name": "book", "args": {"seat": "3"}, "id": "tooluse_1", "type": "tool_call"}
    history = [
        SystemMessage("Be brief."),
        HumanMessage(QUESTION),
        AIMessage("", tool_calls=[call]),
        ToolMessage("seat 3 is yours", tool_call_id="tooluse_1"),
    ]
    assert chat().bind_tools([book]).invoke(history).text == ANSWER
    (seen,) = script.calls
    assert [message["role"] for message in seen.messages] == ["system", "user", "assistant", "tool"]
    assert Match(contains="seat 3 is yours").accepts(seen)


def test_structured_output_by_a_forced_tool(chat: Chat, script: Script) -> None:
    script.add(Reply(tool_calls=[ToolCall("Verdict", {"approve": True, "reason": "fine"})]))
    assert chat().with_structured_output(Verdict).invoke(QUESTION) == Verdict(approve=True, reason="fine")


def test_structured_output_by_schema(converse: Chat, script: Script) -> None:
    script.add(*[Reply('{"approve": false, "reason": "too late"}')] * 2)
    model = converse().with_structured_output(Verdict, method="json_schema")
    assert model.invoke(QUESTION) == Verdict(approve=False, reason="too late")
    assert list(model.stream(QUESTION))[-1] == Verdict(approve=False, reason="too late")
    assert script.calls[0].body["outputConfig"]["textFormat"]["type"] == "json_schema"


def test_tokens_are_counted_as_the_answer_counts_them(converse: Chat, script: Script) -> None:
    script.add(Reply("one"))
    model = converse()
    counted = model.get_num_tokens_from_messages([HumanMessage(QUESTION)])
    assert counted == model.invoke(QUESTION).usage_metadata["input_tokens"]
    assert [(call.operation, call.unexpected) for call in script.calls] == [
        ("count_tokens", False),
        ("chat", False),
    ]


@pytest.mark.parametrize(
    ("model_id", "size", "requests"),
    [
        ("amazon.titan-embed-text-v1", 1536, 3),
        ("amazon.titan-embed-text-v2:0", 1024, 3),
        ("cohere.embed-english-v3", 1024, 2),
        ("us.cohere.embed-v4:0", 1536, 2),
    ],
)
def test_embeddings_are_the_vectors_of_the_texts(
    url: str, script: Script, model_id: str, size: int, requests: int
) -> None:
    model = BedrockEmbeddings(
        model_id=model_id, provider=model_id.removeprefix("us.").split(".")[0], endpoint_url=url
    )
    documents = model.embed_documents(["near", "far"])
    assert documents == [embed("near", size), embed("far", size)]
    assert asyncio.run(model.aembed_query("near")) == documents[0]
    assert [call.operation for call in script.calls] == ["embeddings"] * requests


def test_fewer_dimensions_are_given_when_asked_for(url: str, script: Script) -> None:
    model = BedrockEmbeddings(model_id="amazon.titan-embed-text-v2:0", dimensions=256, endpoint_url=url)
    assert len(model.embed_query("near")) == 256


def test_embeddings_fail_as_scripted(url: str, script: Script) -> None:
    script.add(Fault(status=400), match=Match(operation="embeddings"))
    with pytest.raises(botocore.exceptions.ClientError, match="ValidationException"):
        BedrockEmbeddings(model_id="amazon.titan-embed-text-v2:0", endpoint_url=url).embed_query("near")


# -- errors -----------------------------------------------------------------------------------------------

ERRORS = {
    400: "ValidationException",
    401: "ClientError",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    409: "ClientError",
    413: "ClientError",
    422: "ClientError",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    502: "ClientError",
    503: "ServiceUnavailableException",
    504: "ClientError",
    529: "ClientError",
}
RETRIED = (429, 500, 502, 503, 504)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_error_status_raises_botocore_s_error_and_some_are_tried_three_times(
    chat: Chat, script: Script, no_backoff: None, stream: bool
) -> None:
    model = chat(config=Config())
    for status, name in ERRORS.items():
        script.reset()
        with script.always(Fault(status=status)), pytest.raises(botocore.exceptions.ClientError) as caught:
            collect(model) if stream else model.invoke(QUESTION)
        assert (status, type(caught.value).__name__) == (status, name)
        assert not isinstance(caught.value, ModelError)
        told = caught.value.response["ResponseMetadata"]
        assert told["HTTPStatusCode"] == status
        assert told["RequestId"] == told["HTTPHeaders"]["x-amzn-requestid"]
        assert (status, attempts(script)) == (status, [1, 2, 3] if status in RETRIED else [1])


def test_converse_alone_has_an_error_for_a_context_that_is_too_long(
    converse: Chat, invoke: Chat, script: Script
) -> None:
    script.add(*[Fault(status=400, body='{"message": "Input is too long for requested model."}')] * 2)
    with pytest.raises(ContextOverflowError):
        converse().invoke(QUESTION)
    with pytest.raises(botocore.exceptions.ClientError, match="too long") as caught:
        invoke().invoke(QUESTION)
    assert not isinstance(caught.value, ContextOverflowError)


def test_retry_after_is_ignored_and_amazon_s_own_is_heeded(
    chat: Chat, script: Script, no_backoff: None
) -> None:
    script.add(
        Fault(status=503, retry_after=30),
        Fault(status=503, headers={"x-amz-retry-after": "300"}),
        Reply("at last"),
    )
    assert chat().invoke(QUESTION).text == "at last"
    first, second, third = script.calls
    assert second.received - first.received < 30
    assert third.received - second.received >= 0.3


@pytest.mark.parametrize("fault", [Fault(how="refuse"), Fault(how="reset"), Fault(how="eof")])
def test_a_connection_that_breaks_before_the_head_is_tried_three_times(
    chat: Chat, script: Script, no_backoff: None, fault: Fault
) -> None:
    script.add(fault, fault, Reply("at last"))
    assert chat().invoke(QUESTION).text == "at last"
    assert [call.closed_by for call in script.calls] == ["fault", "fault", "server"]
    assert script.calls[-1].attempt == 3


def test_no_server_raises_endpoint_connection_error(no_backoff: None) -> None:
    with FakeServer(Script(), {"bedrock": "bedrock"}) as server:
        url = server.url("bedrock")
    for kind in CLASSES:
        with pytest.raises(botocore.exceptions.EndpointConnectionError):
            CLASSES[kind](model=CLAUDE, endpoint_url=url).invoke(QUESTION)


def test_no_answer_in_time_is_tried_three_times(chat: Chat, script: Script, no_backoff: None) -> None:
    with script.always(Fault(how="hang")), pytest.raises(botocore.exceptions.ReadTimeoutError):
        chat(config=Config(read_timeout=0.2)).invoke(QUESTION)
    assert [(call.attempt, call.closed_by) for call in script.wait_for(3)] == [
        (1, "client"),
        (2, "client"),
        (3, "client"),
    ]


def test_a_body_cut_short_of_its_length_is_not_tried_again(
    converse: Chat, invoke: Chat, script: Script
) -> None:
    script.add(*[Fault(how="eof", after=20)] * 2)
    with pytest.raises(ValueError, match="No 'output' key"):
        converse().invoke(QUESTION)
    with pytest.raises(botocore.exceptions.ResponseStreamingError):
        invoke().invoke(QUESTION)
    assert attempts(script) == [1, 1]


def test_an_outage_spends_the_retries_of_a_client(converse: Chat, script: Script, no_backoff: None) -> None:
    model = converse(config=Config())
    with script.always(Fault(status=503)):
        for _ in range(20):
            with pytest.raises(botocore.exceptions.ClientError):
                model.invoke(QUESTION)
    per_call = [len(list(group)) for _, group in groupby(script.calls, key=invocation)]
    assert per_call == [3] * 17 + [2, 1, 1]


def invocation(call: Call) -> str:
    return call.headers["amz-sdk-invocation-id"]


def test_a_script_that_is_used_up_is_not_retried(chat: Chat, script: Script) -> None:
    script.add(Reply("only one"))
    model = chat()
    model.invoke(QUESTION)
    with pytest.raises(botocore.exceptions.ClientError, match="used up"):
        model.invoke(QUESTION)
    assert [call.unexpected for call in script.calls] == [False, True]


# -- damaged streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset", "eof"])
@pytest.mark.parametrize("after", [1, 5, 27])
def test_a_cut_stream_raises_and_is_not_retried(chat: Chat, script: Script, how: Any, after: int) -> None:
    script.add(Fault(how=how, after=after))
    with pytest.raises(urllib3.exceptions.ProtocolError):
        collect(chat())
    assert attempts(script) == [1]


def test_a_stalled_stream_times_out_and_is_not_retried(chat: Chat, script: Script) -> None:
    script.add(Fault(how="stall", after=5))
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        collect(chat(config=Config(read_timeout=0.3)))
    assert [(call.attempt, call.closed_by) for call in script.wait_for(1)] == [(1, "client")]


def test_a_frame_with_a_wrong_checksum_raises(chat: Chat, script: Script) -> None:
    script.add(Fault(how="garbage", after=5))
    with pytest.raises(ChecksumMismatch):
        collect(chat())
    assert attempts(script) == [1]


def test_frames_may_be_torn_at_every_byte(chat: Chat, script: Script) -> None:
    script.add(Fault(how="drip", delay=0.0001))
    assert collect(chat()).text == ANSWER


def test_converse_alone_sees_a_clean_early_end(converse: Chat, script: Script) -> None:
    script.add(Fault(how="clean_end", after=13))
    with pytest.raises(ConnectionError, match="missing messageStop"):
        collect(converse())
    assert attempts(script) == [1]


def test_a_clean_early_end_of_claude_s_chunks_is_presented_as_a_success(invoke: Chat, script: Script) -> None:
    script.add(Fault(how="clean_end", after=13))
    answer = collect(invoke())
    assert 0 < len(answer.text) < len(ANSWER)
    assert ANSWER.startswith(answer.text)
    assert "stop_reason" not in answer.response_metadata
    assert attempts(script) == [1]


def test_a_tool_call_of_claude_cut_by_a_clean_end_becomes_a_valid_tool_call(
    invoke: Chat, script: Script
) -> None:
    call = ToolCall("remove", {"path": "/data/tenant42/tmp", "recursive": False})
    script.default = lambda request: Reply(tool_calls=[call])
    try:
        script.add(Fault(how="clean_end", after=9))
        answer = collect(invoke())
    finally:
        script.default = Script().default
    assert answer.invalid_tool_calls == []
    assert [call["args"] for call in answer.tool_calls] == [{"path": "/data/tenant42/"}]


# -- answers that only a broken provider gives ------------------------------------------------------------


class Damaged(Bedrock):
    """Bedrock, except for what `damage` does to the events, or `body` in place of a whole answer."""

    body = b"{}"

    def damage(self, events: list[Event]) -> list[Event]:
        return events

    def events(self, reply: Reply, request: Request) -> list[Event]:
        return self.damage(super().events(reply, request))

    def whole(self, reply: Reply, request: Request) -> bytes:
        return self.body


@pytest.fixture(scope="module")
def damaged() -> Iterator[tuple[Damaged, Chat]]:
    codec = Damaged()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROVIDERS, "damaged", codec)
        with FakeServer(Script(), {"damaged": "damaged"}) as server:
            yield codec, cache(lambda kind: CLASSES[kind](model=CLAUDE, endpoint_url=server.url("damaged")))


def without_end(events: list[Event]) -> list[Event]:
    return [event for event in events if "terminal" not in event.without]


def torn(events: list[Event]) -> list[Event]:
    return [*events[:-1], replace(events[-1], data=events[-1].data[:20])]


def unknown(events: list[Event]) -> list[Event]:
    return [*events[:3], replace(events[0], data=eventstream.event("newEvent", b"{}")), *events[3:]]


def not_json(events: list[Event]) -> list[Event]:
    chunk = eventstream.event("chunk", b'{"bytes":"e25vdA=="}')
    delta = eventstream.event("contentBlockDelta", b"{not json")
    return [*events[:3], replace(events[0], data=delta), replace(events[0], data=chunk), *events[3:]]


def failing(events: list[Event]) -> list[Event]:
    failure = Bedrock().error_event(503, "too many", Request(provider="bedrock"), 9)
    return [*events[:9], replace(events[0], data=failure)]


@pytest.mark.parametrize(
    ("kind", "damage", "raised"),
    [
        ("converse", without_end, ConnectionError),
        ("converse", not_json, KeyError),
        ("invoke", not_json, json.JSONDecodeError),
        ("converse", failing, botocore.exceptions.EventStreamError),
        ("invoke", failing, botocore.exceptions.EventStreamError),
        ("converse", lambda events: [], ConnectionError),
        ("invoke", lambda events: [], ValueError),
    ],
)
def test_damage_that_the_clients_see(
    damaged: tuple[Damaged, Chat], kind: str, damage: Any, raised: type[Exception]
) -> None:
    codec, client = damaged
    codec.damage = damage  # type: ignore[method-assign]
    with pytest.raises(raised):
        collect(client(kind))


@pytest.mark.parametrize(
    ("kind", "damage", "usage"),
    [
        ("converse", unknown, True),
        ("invoke", unknown, True),
        ("converse", torn, False),
        ("invoke", torn, False),
        ("invoke", without_end, False),
    ],
)
def test_damage_that_is_presented_as_a_success(
    damaged: tuple[Damaged, Chat], kind: str, damage: Any, usage: bool
) -> None:
    codec, client = damaged
    codec.damage = damage  # type: ignore[method-assign]
    answer = collect(client(kind))
    assert answer.text == ANSWER
    assert (answer.usage_metadata is not None) == usage


@pytest.mark.parametrize("body", [b"{}", b'{"message": "no"}'])
def test_an_empty_answer_is_an_error_for_converse_and_a_success_for_claude(
    damaged: tuple[Damaged, Chat], body: bytes
) -> None:
    codec, client = damaged
    codec.body = body
    with pytest.raises(ValueError, match="No 'output' key"):
        client("converse").invoke(QUESTION)
    assert client("invoke").invoke(QUESTION).text == ""
