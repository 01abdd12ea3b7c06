"""Tokens are counted by one offline rule, so every place that reports them says the same."""

from langchain_prodtest.script import Reply, Request, ToolCall, Usage
from langchain_prodtest.wire.tokens import count_tokens, count_usage


def test_four_characters_begun_are_a_token() -> None:
    assert [count_tokens("x" * n) for n in (0, 1, 4, 5, 8, 9)] == [0, 1, 1, 2, 2, 3]


def test_a_replys_own_usage_wins() -> None:
    assert count_usage(Reply("hi", usage=Usage(input=7, output=9)), Request(provider="p")) == Usage(
        input=7, output=9
    )


def test_text_reasoning_and_tool_calls_count_as_output() -> None:
    request = Request(provider="p", messages=[{"role": "user", "content": "x" * 8}])
    reply = Reply("y" * 4, tool_calls=[ToolCall("book", {"a": 1})], reasoning="z" * 5)
    assert count_usage(reply, request) == Usage(input=2, output=1 + 1 + 2 + 2, reasoning=2)
