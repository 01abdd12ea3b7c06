"""LangChain's types as values without what differs from run to run.

Message and document ids, run ids, times and versions are left out. Tool call ids are numbered in the order
of their first appearance (`call-1`), so that a tool message can still be seen to answer its call.
"""

import dataclasses
import datetime
import re
from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, RemoveMessage
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable
from langchain_core.runnables.graph import Graph
from pydantic import BaseModel

from langchain_prodtest.script import Request
from langchain_prodtest.snapshots.pieces import in_one_piece

__all__ = ["Normalise", "stable"]

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
SECRET = frozenset({"api-key", "api_key", "apikey", "authorization", "password", "secret"})
_ID = re.compile(
    r"(lc_)?run-.*|chatcmpl-.*|msg_.*|resp_.*|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}"
)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?")
_TOOL_CALLS = ("tool_call", "tool_call_chunk", "invalid_tool_call", "tool_use", "function")


Normalise = Callable[[Any], Any]
"""Returns what stands for a value of one's own type; None for all others."""


def stable(data: Any, normalise: Normalise = lambda data: None) -> Any:
    """Return `data` as values that are the same in every run.

    Streams, of chunks or of events, are as if each message had come in one piece; a graph is its Mermaid
    text, a prompt its messages, a request to a provider its body. `normalise` is asked first, for each value.
    """
    return _Masker(normalise).of(data)


class _Masker:
    """Numbers the ids of one snapshot."""

    def __init__(self, normalise: Normalise) -> None:
        self._ids: dict[str, str] = {}
        self._normalise = normalise

    def of(self, data: Any) -> Any:
        own = self._normalise(data)
        return self._known(data if own is None else own)

    def _known(self, data: Any) -> Any:
        match data:
            case Graph():
                return data.draw_mermaid(with_styles=False)
            case PromptValue():
                return self.of(data.to_messages())
            case Request():
                return self._request(data)
            case BaseMessage():
                return self._message(data)
            case Document():
                return _named(
                    "Document", {"page_content": data.page_content, "metadata": self.of(data.metadata)}
                )
            case Mapping():
                return self._mapping(data)
            case list():
                return [self.of(item) for item in in_one_piece(data)]
            case tuple():
                fields = getattr(data, "_fields", None)
                if fields is not None:
                    return _named(type(data).__name__, self._mapping(dict(zip(fields, data, strict=True))))
                return tuple(self.of(item) for item in data)
            case BaseModel() if not isinstance(data, Runnable):
                return _named(type(data).__name__, self._mapping(dict(data)))
            case str():
                return self._text(data)
            case datetime.datetime():
                return "<time>"
        if callable(getattr(data, "get_graph", None)):
            return self._known(data.get_graph())
        if dataclasses.is_dataclass(data) and not isinstance(data, type):
            given = ((field.name, getattr(data, field.name)) for field in dataclasses.fields(data))
            told = {name: value for name, value in given if value is not None}
            return _named(type(data).__name__, self._mapping(told))
        return data

    def _request(self, request: Request) -> Any:
        """Return what was asked: no headers and times, the body without secrets.

        A fake in the process has no body: what it was given stands for it.
        """
        body = request.body or {"messages": request.messages, "tools": request.tools}
        told = {"provider": request.provider, "operation": request.operation, "body": body}
        return _named("Request", self._mapping(told))

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
            if str(key).lower() in SECRET and isinstance(value, str):
                plain[key] = "<secret>"
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
