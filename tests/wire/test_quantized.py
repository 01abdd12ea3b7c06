"""Vectors of bytes and bits keep the directions of the vectors they are made from."""

import math

from hypothesis import given
from hypothesis import strategies as st

from langchain_prodtest.vectors import embed
from langchain_prodtest.wire.quantized import as_bits, as_int8

VECTORS = st.lists(st.floats(-1, 1), min_size=1, max_size=64)


@given(VECTORS)
def test_bytes_keep_sign_and_order_and_take_the_whole_range(vector: list[float]) -> None:
    quantized = as_int8(vector)
    assert len(quantized) == len(vector)
    assert max(map(abs, quantized)) == (127 if any(vector) else 0)
    for component, byte in zip(vector, quantized, strict=True):
        assert component * byte >= 0
    assert [byte for _, byte in sorted(zip(vector, quantized, strict=True))] == sorted(quantized)


def test_bytes_of_a_vector_point_where_it_points() -> None:
    vector = embed("a booking for two", 256)
    quantized = as_int8(vector)
    cosine = sum(a * b for a, b in zip(vector, quantized, strict=True)) / math.hypot(*quantized)
    assert cosine > 0.999


def test_bits_are_signs_packed_from_the_highest_place() -> None:
    assert as_bits([0.5, -0.5, 0.0, 0.1, -1, -1, -1, 1, 1]) == bytes([0b10010001, 0b10000000])


@given(VECTORS)
def test_eight_components_make_a_byte(vector: list[float]) -> None:
    assert len(as_bits(vector)) == math.ceil(len(vector) / 8)
