"""What the tests script and read besides: tool arguments that fit a schema, billed usage, delays."""

import json
from typing import Any

import msgspec

from langchain_prodtest.script import Call, Reply, Usage

__all__ = ["BILLED", "after", "billed", "fitting", "has_tool_result", "is_same_model", "tokens_in", "written"]

BILLED = Usage(input=1009, output=101)
LONG = "12A, " * 16  # long enough to be cut in its middle


def fitting(schema: dict[str, Any], root: dict[str, Any] | None = None) -> Any:
    """Return a value that fits a JSON schema as tools have it; texts are long and come last in an object."""
    root = schema if root is None else root
    if "$ref" in schema:
        found: Any = root
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return fitting(found, root)
    for choice in ("const", "default"):
        if choice in schema:
            return schema[choice]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            return fitting(schema[choice][0], root)
    match schema.get("type"):
        case "object":
            needed = {name: schema["properties"][name] for name in schema.get("required", [])}
            made = {name: fitting(inner, root) for name, inner in needed.items()}
            return dict(sorted(made.items(), key=lambda item: isinstance(item[1], str)))
        case "array":
            return [fitting(schema.get("items", {}), root)]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
    return LONG[: schema.get("maxLength", len(LONG))]


def written(args: dict[str, Any]) -> str:
    """Return tool arguments as they are on the wire."""
    return json.dumps(args, separators=(",", ":"), ensure_ascii=False)


def billed(reply: Reply) -> Reply:
    """Return `reply` with the usage BILLED."""
    return msgspec.structs.replace(reply, usage=BILLED)


def after(seconds: float, reply: Reply) -> Reply:
    """Return `reply`, its first token `seconds` late."""
    return msgspec.structs.replace(reply, first_token=seconds)


def has_tool_result(messages: list[dict[str, Any]]) -> bool:
    """Tell whether a tool has answered in this conversation."""
    return any(message.get("role") == "tool" for message in messages)


def is_same_model(one: Call, other: Call) -> bool:
    """Tell whether two requests went to the same model of the same provider."""
    return (one.provider, one.model) == (other.provider, other.model)


def tokens_in(value: Any) -> tuple[int, int] | None:
    """Return input and output tokens that the model's messages in `value` report; None without messages."""
    messages = value.get("messages", []) if isinstance(value, dict) else [value]
    said = [message for message in messages if getattr(message, "type", "") == "ai"]
    usages = [message.usage_metadata or {} for message in said]
    if not said:
        return None
    return (sum(u.get("input_tokens", 0) for u in usages), sum(u.get("output_tokens", 0) for u in usages))
