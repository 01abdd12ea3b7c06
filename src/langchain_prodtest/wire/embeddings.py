"""Embeddings as OpenAI's API has them, for texts and for lists of token ids.

Source: the API reference of `POST /v1/embeddings` and the types of the `openai` package.
"""

import array
import sys
from base64 import b64encode
from typing import Any, TypeGuard

import msgspec

from langchain_prodtest.script import Request
from langchain_prodtest.vectors import embed
from langchain_prodtest.wire.codec import Rejected
from langchain_prodtest.wire.tokens import count_tokens

__all__ = ["embeddings", "read_embeddings"]

_Fields = dict[str, Any]

_SIZES = {"text-embedding-3-large": 3072, "mistral-embed": 1024}
_SIZE = 1536
_MOST_DIMENSIONS = 4096
_MOST_INPUTS = 2048


def read_embeddings(fields: _Fields) -> list[_Fields]:
    """Return each input as a message; Rejected (400) says what is wrong with the body.

    Token ids below 256 are read as the bytes of a text, so that a byte tokenizer gets the text's vector;
    a list with others stands for the text of its numbers.
    """
    given = fields.get("input")
    inputs = given if isinstance(given, list) and not _is_tokens(given) else [given]
    texts = [_text(one) if _is_tokens(one) else one for one in inputs]
    if not all(isinstance(text, str) for text in texts):
        raise Rejected(400, "Invalid type for 'input': expected text, token ids, or an array of either.")
    if not 1 <= len(inputs) <= _MOST_INPUTS:
        raise Rejected(400, f"Invalid 'input': expected an array of 1 to {_MOST_INPUTS} inputs.")
    size = fields.get("dimensions")
    if size is not None and (type(size) is not int or not 1 <= size <= _MOST_DIMENSIONS):
        raise Rejected(400, f"Invalid value for 'dimensions': expected 1 to {_MOST_DIMENSIONS}.")
    if fields.get("encoding_format") not in (None, "float", "base64"):
        raise Rejected(400, "Invalid value for 'encoding_format': expected 'float' or 'base64'.")
    return [{"role": "user", "content": text} for text in texts]


def embeddings(request: Request) -> bytes:
    """Return the list of vectors, as numbers or as base64 of little-endian 32-bit floats."""
    size = request.body.get("dimensions") or _SIZES.get(request.model, _SIZE)
    texts = [message["content"] for message in request.messages]
    vectors = [embed(text, size) for text in texts]
    packed = request.body.get("encoding_format") == "base64"
    tokens = sum(map(count_tokens, texts))
    return msgspec.json.encode(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": _packed(one) if packed else one}
                for index, one in enumerate(vectors)
            ],
            "model": request.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def _packed(vector: list[float]) -> str:
    floats = array.array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return b64encode(floats.tobytes()).decode()


def _is_tokens(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and bool(value) and all(type(one) is int and one >= 0 for one in value)


def _text(tokens: list[int]) -> str:
    if max(tokens) < 256:
        return bytes(tokens).decode(errors="replace")
    return " ".join(map(str, tokens))
