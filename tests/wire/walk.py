"""Names that an SDK's types do not know, at any depth: misspelt ones show here."""

from collections.abc import Iterator

from pydantic import BaseModel

__all__ = ["unknown_fields"]


def unknown_fields(model: object) -> list[str]:
    """Return the names of the fields below `model` that its types do not describe."""
    return list(_unknown(model))


def _unknown(value: object) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from value.model_extra or ()
        for inside in value.__dict__.values():
            yield from _unknown(inside)
    elif isinstance(value, list):
        for item in value:
            yield from _unknown(item)
