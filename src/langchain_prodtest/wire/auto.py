"""A model without a script: it calls the tools it is offered, ends agent loops, and obeys schemas.

`Script(default=auto)` gives it to fake providers and in-process fakes alike.
"""

import json
import re
from hashlib import blake2b
from typing import Any

import msgspec

from langchain_prodtest.script import Reply, Request, ToolCall, answer_for, find_nonce
from langchain_prodtest.wire.hints import Hints, keys_in
from langchain_prodtest.wire.schema import example
from langchain_prodtest.wire.wanted import Tool, Turn, turns, wanted

__all__ = ["auto"]

_WORD = re.compile(r"[^\W\d_]{3,}")


def auto(request: Request, seed: int = 0) -> Reply:
    """Return what a helpful model would say; the same for the same model, body and seed.

    - Tools offered, and the last message is not a tool's result: a call of the tool that a forced choice
      names, else of the one whose name or description shares most words with the prompt, else of the first.
      The arguments obey the tool's schema, with values from the prompt where it names them. Where a call is
      forced after a result, a tool not called before is taken, so that structured answers by tool end.
    - After a tool's result: a text that contains the result.
    - A schema for the answer (or "any JSON", with the keys that the prompt quotes): JSON that obeys it.
    - Else, and after a tool's result where the prompt has a nonce: `answer_for` its nonce.
    """
    said, asked = turns(request), wanted(request)
    last = said[-1] if said else Turn("user", "")
    results = _results(said)
    asking = next((turn.text for turn in reversed(said) if turn.speaker == "user"), "")
    prompt, schemas = _split(asking)
    number = _number(request, seed)
    if asked.tools and (asked.must or last.speaker != "tool"):
        tool = _fitting(asked.tools, prompt, _called(said) if results else set())
        arguments = _arguments(tool, "\n".join([prompt, *results]), number)
        return Reply(tool_calls=[ToolCall(tool.name, arguments, f"call_{number:016x}")])
    if asked.schema is not None:
        schema = asked.schema or _any_json(prompt, schemas, said)
        value = example(schema, Hints("\n".join([prompt, *results])), number)
        return Reply(msgspec.json.encode(value).decode())
    nonce = request.nonce or find_nonce(prompt)
    if results and not nonce:
        return Reply(f"The answer is: {'; '.join(results)}")
    return Reply(answer_for(nonce))


def _results(said: list[Turn]) -> list[str]:
    """Return the results of tools that came since the user spoke last, oldest first."""
    results: list[str] = []
    for turn in said:
        if turn.speaker == "tool":
            results.append(turn.text)
        elif turn.speaker == "user":
            results = []
    return results


def _called(said: list[Turn]) -> set[str]:
    return {name for turn in said for name in turn.calls}


def _fitting(tools: list[Tool], prompt: str, called: set[str]) -> Tool:
    """Return the tool that shares most words with the prompt; one not called before, if there is any."""
    fresh = [tool for tool in tools if tool.name not in called] or tools
    words = _words(prompt)

    def shared(tool: Tool) -> tuple[bool, int, int]:
        named = re.search(rf"(?<!\w){re.escape(tool.name)}(?!\w)", prompt) is not None
        return named, len(words & _words(tool.name)), len(words & _words(tool.description))

    return max(fresh, key=shared)  # the first of equals


def _words(text: str) -> set[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", text)
    return {word.lower() for word in _WORD.findall(spaced)}


def _arguments(tool: Tool, prompt: str, number: int) -> dict[str, Any]:
    schema = tool.schema if isinstance(tool.schema, dict) else {}
    made = example({"type": "object", **schema}, Hints(prompt), number)
    return made if isinstance(made, dict) else {}


def _any_json(prompt: str, schemas: list[dict[str, Any]], said: list[Turn]) -> dict[str, Any]:
    """Return the schema for "some JSON object": one that is written in a message, else the keys in quotes."""
    for turn in said:
        if turn.speaker == "system":
            schemas = [*_split(turn.text)[1], *schemas]
    if schemas:
        return schemas[-1]
    keys = keys_in(prompt) or ["answer"]
    return {"type": "object", "properties": {key: {"type": "string"} for key in keys}, "required": keys}


def _split(text: str) -> tuple[str, list[dict[str, Any]]]:
    """Return the text without the JSON schemas of objects that are written in it, and those schemas."""
    decoder, schemas, at = json.JSONDecoder(), [], text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except ValueError:
            at = text.find("{", at + 1)
            continue
        if isinstance(value.get("properties"), dict):
            schemas.append(value)
            text = text[:at] + text[end:]
            end = at
        at = text.find("{", end)
    return text, schemas


def _number(request: Request, seed: int) -> int:
    """Return a number that depends on the seed and on what the client asked, not on when or how it did."""
    asked = [seed, request.model, request.body or [request.messages, request.tools]]
    return int.from_bytes(blake2b(msgspec.json.encode(asked, order="sorted"), digest_size=8).digest())
