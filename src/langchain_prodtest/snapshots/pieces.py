"""Streams as if each message had come in one piece: where a provider cuts is no one's promise.

A stream is a list of message chunks, of LangGraph's (chunk, metadata) pairs, alone or behind their mode and
namespace, or of the events of `astream_events`. A message stands where its first chunk was.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessageChunk

__all__ = ["in_one_piece"]


def in_one_piece(items: Sequence[Any]) -> list[Any]:
    """Return the list with the chunks of each message, or of each run's stream, added up."""
    made: list[Any] = []
    places: dict[Hashable, int] = {}
    for item in items:
        key = _key(item)
        if key is None:
            made.append(item)
        elif key in places:
            made[places[key]] = _sum(made[places[key]], item)
        else:
            places[key] = len(made)
            made.append(item)
    return made


def _key(item: Any) -> Hashable | None:
    """Return what the chunks of one message have in common; None for anything else."""
    match item:
        case BaseMessageChunk():
            return type(item), item.id
        case (BaseMessageChunk() as chunk, Mapping()):
            return type(chunk), chunk.id
        case (*mode, (BaseMessageChunk() as chunk, Mapping())):
            return type(chunk), chunk.id, str(mode)
        case {"event": str(event), "run_id": run_id, "data": {"chunk": BaseMessageChunk() | str()}}:
            return event, str(run_id)
    return None


def _sum(one: Any, other: Any) -> Any:
    match one, other:
        case BaseMessageChunk(), BaseMessageChunk():
            return one + other
        case (tuple(), tuple()):
            if isinstance(one[0], BaseMessageChunk):
                return one[0] + other[0], one[1]
            return *one[:-1], _sum(one[-1], other[-1])
    data = {**one["data"], "chunk": one["data"]["chunk"] + other["data"]["chunk"]}
    return {**one, "data": data}
