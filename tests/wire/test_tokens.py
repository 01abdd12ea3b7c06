"""Tokens are counted by one offline rule, so every place that reports them says the same."""

from langchain_prodtest.script import Reply, Request, ToolCall, Usage
from langchain_prodtest.wire.tokens import count_tokens, count_usage, so_far


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


def test_usage_so_far_grows_to_the_whole_and_no_part_of_it_exceeds_what_it_is_a_part_of() -> None:
    usage = Usage(input=7, output=10, cached=3, reasoning=4)
    steps = [so_far(usage, part, 3) for part in range(4)]
    assert [step.output for step in steps] == [0, 3, 6, 10]
    assert [step.reasoning for step in steps] == [0, 3, 4, 4]
    assert {(step.input, step.cached) for step in steps} == {(7, 3)}
    assert steps[-1] == usage
