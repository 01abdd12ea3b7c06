"""The real clients of OpenAI and Azure beside chat: responses, embeddings, and when they try again."""

import struct
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
import tiktoken
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_nvidia_ai_endpoints import NVIDIAEmbeddings
from langchain_openai import AzureOpenAIEmbeddings, ChatOpenAI, OpenAIEmbeddings
from langchain_together import TogetherEmbeddings
from pydantic import SecretStr

from langchain_prodtest.script import Fault, Match, Reply, Script, ToolCall
from langchain_prodtest.vectors import embed
from langchain_prodtest.wire import FakeServer
from tests.wire.generation import OPENAI_2

KEY = SecretStr("sk-fake")
TEXTS = ["How do I book a seat?", "Book a seat", "Volcanoes erupt lava"]

Chat = Callable[..., ChatOpenAI]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def server(script: Script) -> Iterator[FakeServer]:
    with FakeServer(script, {name: name for name in ("openai", "azure", "together", "nvidia")}) as running:
        yield running


@pytest.fixture
def responses(server: FakeServer) -> Chat:
    def make(**options: Any) -> ChatOpenAI:
        return ChatOpenAI(
            model="gpt-5", api_key=KEY, base_url=server.url("openai"), use_responses_api=True, **options
        )

    return make


def collect(model: Any) -> AIMessageChunk:
    chunks = list(model.stream("Say it."))
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    assert isinstance(total, AIMessageChunk)
    return total


def both(model: Any) -> list[AIMessage]:
    return [model.invoke("Say it."), collect(model)]


# -- responses --------------------------------------------------------------------------------------------


def test_one_script_answers_chat_and_responses(responses: Chat, server: FakeServer, script: Script) -> None:
    responses().invoke("Say it.")
    ChatOpenAI(model="gpt-4o", api_key=KEY, base_url=server.url("openai")).invoke("Say it.")
    assert [call.operation for call in script.calls] == ["responses", "chat"]


def test_a_summary_of_the_reasoning_is_told_if_asked_for(responses: Chat, script: Script) -> None:
    script.add(*[Reply("so", reasoning="because of this")] * 2)
    for message in both(responses(reasoning={"effort": "low", "summary": "auto"})):
        (block,) = [block for block in message.content_blocks if block["type"] == "reasoning"]
        assert block["reasoning"] == "because of this"
        assert message.text == "so"


def test_a_refusal_is_no_text(responses: Chat, script: Script) -> None:
    script.add(*[Reply("I will not.", finish="refusal")] * 2)
    for message in both(responses()):
        assert message.text == ""
        assert "I will not." in str(message.content) + str(message.additional_kwargs)


def test_an_answer_cut_by_its_limit_says_so(responses: Chat, script: Script) -> None:
    script.add(*[Reply("half of", finish="length")] * 2)
    for message in both(responses()):
        assert message.response_metadata["status"] == "incomplete"
        assert message.response_metadata["incomplete_details"] == {"reason": "max_output_tokens"}


def test_a_failed_answer_raises(responses: Chat, script: Script) -> None:
    script.add(*[Reply("the model broke", finish="error")] * 2)
    with pytest.raises(ValueError, match="the model broke"):
        responses().invoke("Say it.")
    with pytest.raises(ValueError, match="the model broke"):
        collect(responses())


def test_a_tool_s_result_comes_back_as_a_message(responses: Chat, script: Script) -> None:
    def book(seat: str) -> str:
        """Book a seat."""
        return seat

    script.add(Reply(tool_calls=[ToolCall("book", {"seat": "3"}, id="call_1")]), Reply("Booked."))
    model = responses().bind_tools([book])
    asked = model.invoke("Book it.")
    model.invoke([("user", "Book it."), asked, {"role": "tool", "tool_call_id": "call_1", "content": "done"}])
    called, result = script.calls[1].messages[-2:]
    assert called["tool_calls"][0]["function"] == {"name": "book", "arguments": '{"seat":"3"}'}
    assert (result["role"], result["tool_call_id"], result["content"]) == ("tool", "call_1", "done")


def test_a_stream_without_its_last_event_is_presented_as_a_success(responses: Chat, script: Script) -> None:
    script.add(Fault(how="clean_end", after=99))
    answer = collect(responses())
    assert answer.text
    assert "status" not in answer.response_metadata
    assert answer.usage_metadata is None


# -- embeddings -------------------------------------------------------------------------------------------


def openai_embeddings(server: FakeServer, **options: Any) -> OpenAIEmbeddings:
    return OpenAIEmbeddings(
        model="text-embedding-3-small", api_key=KEY, base_url=server.url("openai"), dimensions=64, **options
    )


def as_float32(vector: list[float]) -> list[float]:
    return list(struct.unpack(f"<{len(vector)}f", struct.pack(f"<{len(vector)}f", *vector)))


def test_texts_get_their_vectors_in_the_dimensions_asked_for(server: FakeServer, script: Script) -> None:
    model = openai_embeddings(server, check_embedding_ctx_length=False)
    assert model.embed_documents(TEXTS) == [as_float32(embed(text, 64)) for text in TEXTS]
    assert model.embed_query(TEXTS[0]) == as_float32(embed(TEXTS[0], 64))
    assert [call.operation for call in script.calls] == ["embeddings", "embeddings"]
    assert script.calls[0].body["encoding_format"] == "base64"


def test_token_ids_of_a_byte_tokenizer_get_the_text_s_vector(
    server: FakeServer, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks = {bytes([byte]): byte for byte in range(256)}
    by_bytes = tiktoken.Encoding("bytes", pat_str=r"[\s\S]", mergeable_ranks=ranks, special_tokens={})
    monkeypatch.setattr("tiktoken.encoding_for_model", lambda name: by_bytes)
    vectors = openai_embeddings(server).embed_documents(TEXTS)
    assert isinstance(script.calls[0].body["input"][0][0], int)
    for vector, text in zip(vectors, TEXTS, strict=True):
        assert vector == pytest.approx(embed(text, 64), abs=1e-6)


def test_the_clients_of_azure_together_and_nvidia_embed_too(server: FakeServer) -> None:
    azure = AzureOpenAIEmbeddings(
        azure_deployment="my-ada",
        azure_endpoint=server.url("azure"),
        api_key=KEY,
        api_version="2025-04-01",
        check_embedding_ctx_length=False,
    )
    together = TogetherEmbeddings(api_key=KEY, base_url=server.url("together"))
    nvidia = NVIDIAEmbeddings(
        model="nvidia/nv-embedqa-e5-v5",
        api_key="fake",
        base_url=server.url("nvidia"),
        usage_telemetry_enabled=False,
    )
    for model in (azure, together, nvidia):
        near, same, far = model.embed_documents(TEXTS)
        assert sum(map(float.__mul__, near, same)) > 2 * abs(sum(map(float.__mul__, near, far)))


def test_a_fault_can_be_for_embeddings_alone(server: FakeServer, script: Script) -> None:
    fault = Fault(status=429, headers={"retry-after-ms": "1"})
    script.add(fault, match=Match(operation="embeddings"), then_default=True)
    model = openai_embeddings(server, check_embedding_ctx_length=False)
    assert len(model.embed_query("text")) == 64
    assert [(call.status, call.attempt) for call in script.calls] == [(429, 1), (200, 2)]


# -- trying again -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "attempts"),
    [
        (429, {"x-should-retry": "false"}, 1),
        (400, {"x-should-retry": "true", "retry-after-ms": "1"}, 3),
        (429, {"retry-after": "121"}, 3 if OPENAI_2 else 1),  # openai 2 takes no notice of it
        (429, {"retry-after": "3600"}, 3 if OPENAI_2 else 1),
        (429, {"retry-after-ms": "1", "retry-after": "60"}, 3),
    ],
)
def test_headers_decide_whether_the_client_tries_again(
    server: FakeServer, script: Script, status: int, headers: dict[str, str], attempts: int
) -> None:
    model = ChatOpenAI(model="gpt-4o", api_key=KEY, base_url=server.url("openai"))
    with script.always(Fault(status=status, headers=headers)), pytest.raises(ModelError):
        model.invoke("Say it.")
    assert [call.attempt for call in script.calls] == list(range(1, attempts + 1))


def test_rate_limits_reach_the_caller_of_the_sdk(server: FakeServer, script: Script) -> None:
    script.add(Fault(status=429))
    model = ChatOpenAI(model="gpt-4o", api_key=KEY, base_url=server.url("openai"), max_retries=0)
    with pytest.raises(openai.RateLimitError) as caught:
        model.invoke("Say it.")
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"
