"""Ask the providers named on the command line as an app in production does: no base URL, no option for us.

Prints one JSON object: per provider, what `invoke`, `ainvoke`, `stream` and `astream` said, and the usage.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

from langchain_core.language_models import BaseChatModel

QUESTION = "Say it. pt-0000000000000007"


def openai() -> BaseChatModel:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model="gpt-5-mini")


CLIENTS: dict[str, Callable[[], Any]] = {"openai": openai}


def said(chunks: list[Any]) -> dict[str, Any]:
    """Return text and usage of a message, or of the chunks of one."""
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    return {"text": total.text, "usage": total.usage_metadata}


def ask(model: BaseChatModel) -> dict[str, Any]:
    async def collected() -> list[Any]:
        return [chunk async for chunk in model.astream(QUESTION)]

    return {
        "invoke": said([model.invoke(QUESTION)]),
        "ainvoke": said([asyncio.run(model.ainvoke(QUESTION))]),
        "stream": said(list(model.stream(QUESTION))),
        "astream": said(asyncio.run(collected())),
    }


if __name__ == "__main__":
    print(json.dumps({name: ask(CLIENTS[name]()) for name in sys.argv[1:]}))
