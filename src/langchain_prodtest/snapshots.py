"""Snapshots of LangChain's types without what differs from run to run.

Message and document ids, run ids, times and versions are left out. Tool call ids are numbered in the order
of their first appearance (`call-1`), so that a tool message can still be seen to answer its call.
"""

import datetime
import re
from collections.abc import Mapping
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, RemoveMessage
from syrupy.extensions.amber import AmberSnapshotExtension

__all__ = ["LangChainExtension", "stable"]

# Keys whose values differ from run to run, from version to version, or from provider to provider's whim.
VOLATILE = frozenset(
    {
        "checkpoint_id",
        "checkpoint_ns",
        "created",
        "created_at",
        "langgraph_checkpoint_ns",
        "lc_versions",
        "parent_ids",
        "parent_run_id",
        "run_id",
        "system_fingerprint",
        "timestamp",
    }
)
_ID = re.compile(r"(lc_)?run-.*|chatcmpl-.*|msg_.*|resp_.*|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?")
_TOOL_CALLS = ("tool_call", "tool_call_chunk", "invalid_tool_call", "tool_use", "function")


class LangChainExtension(AmberSnapshotExtension):
    """Amber snapshots of stable() data, in files of their own beside those of the `snapshot` fixture."""

    file_extension = "lcambr"

    def serialize(self, data: Any, **kwargs: Any) -> str:
        """Return the snapshot's text."""
        return super().serialize(stable(data), **kwargs)


def stable(data: Any) -> Any:
    """Return `data` with messages, documents and tool calls as values that are the same in every run."""
    return _Masker().of(data)


class _Masker:
    """Numbers the ids of one snapshot."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def of(self, data: Any) -> Any:
        match data:
            case BaseMessage():
                return self._message(data)
            case Document():
                return _named(
                    "Document", {"page_content": data.page_content, "metadata": self.of(data.metadata)}
                )
            case Mapping():
                return self._mapping(data)
            case list():
                return [self.of(item) for item in data]
            case tuple() if not hasattr(data, "_fields"):
                return tuple(self.of(item) for item in data)
            case str():
                return self._text(data)
            case datetime.datetime():
                return "<time>"
        return data

    def _message(self, message: BaseMessage) -> Any:
        fields = message.model_dump(exclude={"type", "id"}, exclude_none=True)
        if isinstance(message, RemoveMessage):
            fields["id"] = self._number("message", str(message.id))
        kept = {key: value for key, value in fields.items() if value not in ([], {}) and value != ""}
        return _named(type(message).__name__, self._mapping({"content": message.content, **kept}))

    def _mapping(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        plain = {}
        for key, value in data.items():
            if key in VOLATILE:
                continue
            is_call_id = key == "tool_call_id" or (key == "id" and _is_tool_call(data))
            plain[key] = self._number("call", value) if is_call_id and value else self.of(value)
        return plain

    def _text(self, text: str) -> str:
        if text in self._ids:
            return self._ids[text]
        if _ID.fullmatch(text):
            return self._number("id", text)
        return "<time>" if _TIME.fullmatch(text) else text

    def _number(self, kind: str, value: str) -> str:
        taken = sum(name.startswith(f"{kind}-") for name in self._ids.values())
        return self._ids.setdefault(value, f"{kind}-{taken + 1}")


def _is_tool_call(data: Mapping[Any, Any]) -> bool:
    return data.get("type") in _TOOL_CALLS or ("args" in data and "name" in data)


def _named(name: str, fields: dict[str, Any]) -> Any:
    """Return an object that amber writes as name(field=value)."""
    made = type(name, (), {})()
    vars(made).update(fields)
    return made
