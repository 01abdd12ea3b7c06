"""What a request asks of a model, in any provider's words: tools it may or must call, the answer's form.

Shapes: OpenAI chat (also Azure, Groq, Mistral, Perplexity, Ollama, Together, xAI and others of its dialect),
OpenAI Responses, Anthropic, Bedrock Converse, Gemini, Cohere.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from langchain_prodtest.script import Request

__all__ = ["Tool", "Turn", "Wanted", "turns", "wanted"]

Fields = dict[str, Any]


class Tool(msgspec.Struct, frozen=True):
    """A tool that is offered; `schema` is the JSON schema of its arguments."""

    name: str
    description: str = ""
    schema: Any = {}


class Wanted(msgspec.Struct, frozen=True):
    """The tools that may be called (of which one `must` be), and the schema of the answer.

    `schema` None: any text will do; `{}`: some JSON object, whose keys only the prompt knows.
    """

    tools: list[Tool]
    must: bool = False
    schema: Any = None


class Turn(msgspec.Struct, frozen=True):
    """One message: who speaks (`user`, `model`, `system` or `tool`), its text, and the tools it calls."""

    speaker: str
    text: str
    calls: list[str] = []


# -- tools ------------------------------------------------------------------------------------------------


def wanted(request: Request) -> Wanted:
    """Return what the request asks for; what is not understood is left out."""
    body = request.body
    config = _dict(body.get("toolConfig"))
    tools = list(_tools(config.get("tools") or body.get("tools") or request.tools))
    mode, names = _choice(
        body.get("tool_choice") or config.get("toolChoice") or config.get("functionCallingConfig")
    )
    if mode == "none":
        tools = []
    if names:
        tools = [tool for tool in tools if tool.name in names]
    return Wanted(tools, mode == "must" and bool(tools), _schema(body))


def _tools(offered: Any) -> Iterator[Tool]:
    for tool in offered if isinstance(offered, list) else ():
        if not isinstance(tool, dict):
            continue
        if declarations := tool.get("functionDeclarations") or tool.get("function_declarations"):
            yield from _tools(declarations)
            continue
        plain = _dict(tool.get("function") or tool.get("toolSpec") or tool)
        if isinstance(plain.get("name"), str) and (schema := _parameters(plain, tool)) is not None:
            yield Tool(plain["name"], str(plain.get("description") or ""), schema)


def _parameters(plain: Fields, tool: Fields) -> Any:
    """Return the schema of the arguments; None for a tool that the provider runs itself."""
    for key in ("parameters", "input_schema", "inputSchema", "parametersJsonSchema"):
        if key in plain:
            schema = plain[key] or {}
            return _json_schema(schema.get("json", schema) if isinstance(schema, dict) else {})
    if "parameter_definitions" in plain:
        definitions = _dict(plain["parameter_definitions"])
        required = [name for name, part in definitions.items() if _dict(part).get("required")]
        return {"type": "object", "properties": {name: {} for name in definitions}, "required": required}
    provider_s_own = "function" not in tool and tool.get("type") not in (None, "function", "custom")
    return None if provider_s_own else {}


def _choice(choice: Any) -> tuple[str, set[str]]:
    """Return "none", "may" or "must", and the names of the tools it is limited to."""
    if isinstance(choice, str):
        return _mode(choice), set()
    choice = _dict(choice)
    for kind in ("auto", "any", "none", "tool"):  # Converse
        if isinstance(choice.get(kind), dict):
            choice = {"type": kind, **choice[kind]}
    if choice.get("type") == "allowed_tools":
        choice = {**choice, **_dict(choice.get("allowed_tools"))}
        names = {_dict(tool.get("function") or tool).get("name", "") for tool in choice.get("tools", ())}
        return _mode(str(choice.get("mode", "auto"))), names
    name = _dict(choice.get("function")).get("name") or choice.get("name")
    if name:
        return "must", {str(name)}
    allowed = choice.get("allowedFunctionNames") or choice.get("allowed_function_names") or ()
    return _mode(str(choice.get("mode") or choice.get("type") or "auto")), set(allowed)


def _mode(word: str) -> str:
    word = word.lower()
    return "must" if word in ("any", "required") else "none" if word == "none" else "may"


# -- structured output ------------------------------------------------------------------------------------


def _schema(body: Fields) -> Any:
    """Return the schema that the answer's text must obey, `{}` for any JSON, None for free text."""
    for form in (
        body.get("response_format"),  # OpenAI's dialect, Cohere
        _dict(body.get("text")).get("format"),  # Responses
        _dict(body.get("output_config")).get("format"),  # Anthropic
        body.get("output_format"),
        body.get("format"),  # Ollama
        _dict(body.get("outputConfig")).get("textFormat"),  # Converse
    ):
        if (schema := _form(form)) is not None:
            return schema
    gemini = _dict(body.get("generationConfig"))
    for key in ("responseSchema", "responseJsonSchema", "_responseJsonSchema"):
        if isinstance(gemini.get(key), dict):
            return _json_schema(gemini[key])
    if gemini.get("responseMimeType") == "application/json":
        return {}
    guided = _dict(body.get("nvext")).get("guided_json", body.get("guided_json"))
    return _decoded(guided) if guided else None


def _form(form: Any) -> Any:
    if form == "json":
        return {}
    if not isinstance(form, dict) or form.get("type") == "text":
        return None
    if not isinstance(form.get("type"), str) or form["type"] not in ("json_schema", "json_object"):
        return form if form and not _named_form(form) else None
    inside = form.get("json_schema") or _dict(form.get("structure")).get("jsonSchema") or form
    inside = _dict(inside)
    schema = inside.get("schema", inside.get("schema_definition", None if inside is form else inside))
    return _decoded(schema) if schema else {}


def _named_form(form: Fields) -> bool:
    """Tell whether this is the name of a form that is not known, not a schema."""
    return isinstance(form.get("type"), str) and set(form) == {"type"} and form["type"] not in _JSON_TYPES


_JSON_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})


def _decoded(schema: Any) -> Any:
    """Return a schema that may be given as text, as Converse wants it."""
    if isinstance(schema, str | bytes):
        try:
            return msgspec.json.decode(schema)
        except msgspec.DecodeError:
            return {}
    return schema


def _json_schema(schema: Any) -> Any:
    """Return a schema in Gemini's words (`"type": "STRING"`, `nullable`) as a JSON schema."""
    if isinstance(schema, list):
        return [_json_schema(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    read = {
        key: part if key in ("enum", "const", "default") else _json_schema(part)
        for key, part in schema.items()
    }
    kind = read.get("type")
    if isinstance(kind, str) and kind.lower() in _JSON_TYPES:
        read["type"] = [kind.lower(), "null"] if read.get("nullable") is True else kind.lower()
        if read.get("nullable") is True and isinstance(read.get("enum"), list):
            read["enum"] = [*read["enum"], None]
    for size in ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"):
        if isinstance(read.get(size), str) and read[size].isdecimal():
            read[size] = int(read[size])  # protobuf's JSON writes int64 as text
    return read


# -- messages ---------------------------------------------------------------------------------------------

_CONVERSATIONS = ("messages", "input", "contents", "prompt", "message")
_SPEAKERS = {"assistant": "model", "ai": "model", "model": "model", "system": "system", "developer": "system"}
_RESULTS = ("tool_result", "function_call_output")


def turns(request: Request) -> list[Turn]:
    """Return the conversation; one turn for each tool result."""
    body = request.body
    messages = next((body[key] for key in _CONVERSATIONS if body.get(key)), request.messages)
    if isinstance(messages, str):
        return [Turn("user", messages)]
    return [turn for message in messages if isinstance(message, dict) for turn in _turns(message)]


def _turns(message: Fields) -> Iterator[Turn]:
    if message.get("type") == "function_call":  # Responses
        yield Turn("model", "", [str(message.get("name"))])
        return
    if message.get("type") in _RESULTS:
        yield Turn("tool", _text(message))
        return
    role = str(message.get("role") or "user").lower()
    content = message.get("content", message.get("parts"))
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    results = [result for block in blocks if (result := _result(block)) is not None]
    if role in ("tool", "function") and not results:
        yield Turn("tool", _text(content))
        return
    yield from (Turn("tool", _text(result)) for result in results)
    texts = [block["text"] for block in blocks if isinstance(block.get("text"), str)]
    text = content if isinstance(content, str) else "\n".join(texts)
    calls = _calls(message, blocks)
    if text.strip() or calls or not results:
        yield Turn(_SPEAKERS.get(role, "user"), text, calls)


def _result(block: Fields) -> Any:
    """Return the content of a tool's result; None for a block that is none."""
    if block.get("type") in _RESULTS:
        return block.get("content", block.get("output", ""))
    if "toolResult" in block:
        return _dict(block["toolResult"]).get("content", "")
    answer = block.get("functionResponse", block.get("function_response"))
    return _dict(answer).get("response", "") if answer is not None else None


def _calls(message: Fields, blocks: list[Fields]) -> list[str]:
    called = [_dict(call).get("function") or call for call in message.get("tool_calls") or ()]
    for block in blocks:
        called.append(
            block
            if block.get("type") == "tool_use"
            else block.get("toolUse") or block.get("functionCall") or {}
        )
    return [str(call["name"]) for call in map(_dict, called) if call.get("name")]


def _text(content: Any) -> str:
    """Return the text in any shape that content has; what is not text is written as JSON."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list):
        return "\n".join(text for text in map(_text, content) if text)
    if not isinstance(content, dict):
        return str(content)
    if isinstance(content.get("text"), str):
        return str(content["text"])
    for key in ("content", "output", "result", "document", "data"):
        if content.get(key):
            return _text(content[key])
    if "type" in content or not content:
        return ""  # an image and its kin
    return msgspec.json.encode(content.get("json", content)).decode()


def _dict(value: Any) -> Fields:
    return value if isinstance(value, dict) else {}
