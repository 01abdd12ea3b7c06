"""OpenAI's embeddings: texts, token ids, both encodings."""

import base64
import json
import math
import struct
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse

from langchain_prodtest.script import Reply, Request
from langchain_prodtest.vectors import embed
from langchain_prodtest.wire.codec import Head, Rejected
from langchain_prodtest.wire.openai import OpenAI
from tests.wire.walk import unknown_fields

NONCE = "pt-00000000000000aa"


def decode(given: object, **changes: Any) -> Request:
    head = Head("openai", "POST", "/v1/embeddings", {}, 0.0)
    body = {"model": "text-embedding-3-small", "input": given, **changes}
    return OpenAI().decode(head, json.dumps(body).encode())


def vectors(given: object, **changes: Any) -> list[Any]:
    fields = json.loads(OpenAI().whole(Reply(), decode(given, **changes)))
    return [one["embedding"] for one in fields["data"]]


def test_each_text_has_its_vector_at_its_index() -> None:
    answer = CreateEmbeddingResponse.model_validate_json(
        OpenAI().whole(Reply(), decode(["one", "two"], dimensions=8)), strict=True
    )
    assert unknown_fields(answer) == []
    assert [(one.index, one.embedding) for one in answer.data] == [(0, embed("one", 8)), (1, embed("two", 8))]


def test_base64_is_of_little_endian_32_bit_floats() -> None:
    (packed,) = vectors("Grüße", dimensions=16, encoding_format="base64")
    floats = struct.unpack("<16f", base64.b64decode(packed))
    assert floats == pytest.approx(embed("Grüße", 16), rel=1e-6)


@pytest.mark.parametrize(
    ("model", "size"), [("text-embedding-3-small", 1536), ("text-embedding-3-large", 3072)]
)
def test_a_vector_has_the_model_s_size_and_unit_length(model: str, size: int) -> None:
    (vector,) = vectors("text", model=model)
    assert len(vector) == size
    assert math.hypot(*vector) == pytest.approx(1)


def test_token_ids_that_are_bytes_are_their_text() -> None:
    text = "Grüße aus Köln"
    tokens = list(text.encode())
    assert vectors([tokens, tokens], dimensions=8) == [embed(text, 8)] * 2
    assert vectors(tokens, dimensions=8) == vectors(text, dimensions=8)


def test_lists_of_token_ids_are_near_if_they_share_ids() -> None:
    one, near, far = vectors([[1000, 2000, 3000], [1000, 2000, 4000], [5000, 6000, 7000]])
    assert sum(a * b for a, b in zip(one, near, strict=True)) > 2 * sum(
        a * b for a, b in zip(one, far, strict=True)
    )


def test_the_texts_are_the_request_s_messages() -> None:
    request = decode(["one", f"two {NONCE}"])
    assert (request.operation, request.nonce, request.stream) == ("embeddings", NONCE, False)
    assert [message["content"] for message in request.messages] == ["one", f"two {NONCE}"]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [1, -1]}, "input"),
        ({"input": [True]}, "input"),
        ({"input": ["x"] * 2049}, "input"),
        ({"input": {"text": "x"}}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 10**9}, "dimensions"),
        ({"dimensions": "8"}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
    ],
)
def test_a_wrong_body_is_400_and_says_what_is_wrong(changes: dict[str, Any], names: str) -> None:
    given = changes.pop("input", "text")
    with pytest.raises(Rejected, match=names) as caught:
        decode(given, **changes)
    assert caught.value.status == 400
