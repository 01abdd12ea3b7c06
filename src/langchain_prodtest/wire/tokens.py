"""The one way in which tokens are counted: offline, the same in streams, whole answers and count requests."""

import msgspec

from langchain_prodtest.script import Reply, Request, Usage, text_of

__all__ = ["count_tokens", "count_usage", "so_far"]

CHARACTERS = 4


def count_tokens(text: str) -> int:
    """Return a token for every four characters begun."""
    return -(-len(text) // CHARACTERS)


def count_usage(reply: Reply, request: Request) -> Usage:
    """Return the Reply's own Usage, or count: the messages' text, and what the model says.

    What it says is the text, the reasoning, and the name and arguments of each tool call.
    """
    if reply.usage is not None:
        return reply.usage
    reasoning = count_tokens(reply.reasoning)
    arguments = [msgspec.json.encode(call.args).decode() for call in reply.tool_calls]
    calls = sum(map(count_tokens, [*(call.name for call in reply.tool_calls), *arguments]))
    return Usage(
        input=count_tokens(text_of(request.messages)),
        output=count_tokens(reply.text) + calls + reasoning,
        reasoning=reasoning,
    )


def so_far(usage: Usage, part: int, parts: int) -> Usage:
    """Return the usage after `part` of `parts`: the output grows evenly, its reasoning comes first."""
    output = usage.output * part // parts
    return Usage(
        input=usage.input, output=output, cached=usage.cached, reasoning=min(usage.reasoning, output)
    )
