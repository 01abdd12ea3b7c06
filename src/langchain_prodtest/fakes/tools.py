"""Does a scripted tool call fit the tools that were bound?"""

from collections.abc import Sequence
from typing import Any

from langchain_prodtest.errors import ScriptError, unknown_name
from langchain_prodtest.script import ToolCall

__all__ = ["check_tool_call"]

_WRONG_ON_PURPOSE = "A model that calls tools wrongly on purpose: use the fake_providers fixture."


def check_tool_call(call: ToolCall, tools: Sequence[dict[str, Any]]) -> None:
    """Raise ScriptError unless `call` names one of `tools` (OpenAI's shape) and its arguments fit."""
    schemas = {tool["function"]["name"]: tool["function"] for tool in tools if "function" in tool}
    if call.name not in schemas:
        bound = unknown_name("tool", call.name, schemas) if schemas else "no tool is bound"
        raise ScriptError(f'ToolCall("{call.name}") is scripted, but: {bound}. {_WRONG_ON_PURPOSE}')
    parameters = schemas[call.name].get("parameters", {})
    known = parameters.get("properties", {})
    missing = [key for key in parameters.get("required", []) if key not in call.args]
    if missing:
        raise ScriptError(
            f'ToolCall("{call.name}") lacks the required argument {", ".join(missing)}; '
            f"it has {', '.join(call.args) or 'none'}. {_WRONG_ON_PURPOSE}"
        )
    for key in call.args:
        if key not in known and not parameters.get("additionalProperties", False):
            raise ScriptError(
                f'ToolCall("{call.name}"): {unknown_name("argument", key, known)}. {_WRONG_ON_PURPOSE}'
            )
