"""Embeddings without a model: hashed features of a text, so that near texts get near vectors."""

import math
import re
from collections import defaultdict
from hashlib import blake2b

from langchain_prodtest.errors import UsageError

__all__ = ["embed"]

_WORD = re.compile(r"\w+")
_PIECE = 3  # characters of a piece of a word: they bring "booking" near "booked"
_PIECE_WEIGHT = 0.3
_PLACES = 4  # components that a feature is spread over: two features rarely share them all


def embed(text: str, dimensions: int) -> list[float]:
    """Return the unit vector of `text` with `dimensions` components, the same in every process.

    Words, without regard to case and order, and their pieces are features; each adds to a few components,
    with a sign, all three chosen by its hash. A text without words has a vector of its own.

    UsageError: `dimensions` is less than 1.
    """
    if dimensions < 1:
        raise UsageError(f"a vector has at least 1 dimension, not {dimensions}")
    vector = [0.0] * dimensions
    for feature, weight in _features(text).items():
        digest = int.from_bytes(blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=16).digest())
        for _ in range(_PLACES):
            digest, sign = divmod(digest, 2)
            digest, place = divmod(digest, dimensions)
            vector[place] += weight if sign else -weight
    length = math.hypot(*vector)
    return [value / length for value in vector] if length else [1.0, *vector[1:]]


def _features(text: str) -> dict[str, float]:
    features: defaultdict[str, float] = defaultdict(float)
    for word in _WORD.findall(text.lower()):
        features[word] += 1
        marked = f"<{word}>"
        for start in range(len(marked) - _PIECE + 1):
            features[marked[start : start + _PIECE]] += _PIECE_WEIGHT
    return features or {"": 1.0}
