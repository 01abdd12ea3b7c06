"""Vectors in fewer bits, as embedding APIs offer them: a byte or a bit for each component."""

from collections.abc import Sequence

__all__ = ["as_bits", "as_int8"]


def as_int8(vector: Sequence[float]) -> list[int]:
    """Return the components from -127 to 127, scaled so that the largest takes all of it."""
    largest = max(map(abs, vector), default=0.0)
    return [round(component / largest * 127) if largest else 0 for component in vector]


def as_bits(vector: Sequence[float]) -> bytes:
    """Return a bit for each component, set where it is above zero, the first in the highest place.

    The last byte is filled up with zeros.
    """
    bits = "".join("1" if component > 0 else "0" for component in vector)
    return bytes(int(bits[start : start + 8].ljust(8, "0"), 2) for start in range(0, len(bits), 8))
