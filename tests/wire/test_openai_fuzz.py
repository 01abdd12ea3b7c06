"""Whatever a request to the OpenAI family says, it is answered or refused: nothing else comes of it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_prodtest.script import Reply, ToolCall
from langchain_prodtest.wire.auto import auto
from langchain_prodtest.wire.codec import Head, Rejected
from langchain_prodtest.wire.providers import PROVIDERS

PATHS = {
    "chat/completions": ("messages", "tools", "stream_options", "n", "logprobs", "response_format"),
    "responses": (
        "input",
        "instructions",
        "tools",
        "text",
        "reasoning",
        "include",
        "metadata",
        "tool_choice",
    ),
    "embeddings": ("input", "dimensions", "encoding_format"),
    "moderations": ("input",),
}
WORDS = (
    *("role", "user", "content", "type", "text", "function", "name", "arguments", "format", "summary"),
    *("function_call", "function_call_output", "output", "call_id", "include_usage", "json_schema"),
)

scalars = st.none() | st.booleans() | st.integers(-3, 300) | st.floats(allow_nan=False) | st.text(max_size=5)
values = st.recursive(
    scalars | st.sampled_from(WORDS),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inside, max_size=4),
    max_leaves=8,
)
messages = st.lists(
    st.fixed_dictionaries({"role": st.just("user"), "content": values}), min_size=1, max_size=3
)


@pytest.mark.parametrize("name", ["openai", "azure", "groq", "openrouter", "xai"])
@given(data=st.data())
@settings(deadline=None)
def test_a_request_is_answered_or_refused(name: str, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(list(PATHS)))
    fields: dict[str, Any] = data.draw(st.dictionaries(st.sampled_from(PATHS[path]), values))
    if data.draw(st.booleans()):
        fields["messages" if path.startswith("chat") else "input"] = data.draw(messages)
    fields |= {"model": "m", "stream": data.draw(st.booleans())}
    codec = PROVIDERS[name]
    head = Head(name, "POST", f"/openai/v1/{path}", {}, 0.0)
    try:
        request = codec.decode(head, json.dumps(fields).encode())
    except Rejected as rejected:
        status = rejected.status
    else:
        status = 200
    assert status in (200, 400, 404)
    if status != 200:
        return
    replies = [auto(request), Reply("said", tool_calls=[ToolCall("book")], reasoning="why", finish="length")]
    for reply in replies:
        if request.stream:
            assert all(event.data.endswith(b"\n\n") for event in codec.events(reply, request))
        assert json.loads(codec.whole(reply, request))
