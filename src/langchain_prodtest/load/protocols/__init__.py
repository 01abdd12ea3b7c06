"""How services are called and their answers read; one file each, listed in PROTOCOLS.

A new protocol is a new file with a class that fits `Posted`, and one line in PROTOCOLS.
"""

from langchain_prodtest.config import Target
from langchain_prodtest.errors import UsageError, unknown_name
from langchain_prodtest.load.protocols.agent_server import AgentServer
from langchain_prodtest.load.protocols.anthropic import Anthropic
from langchain_prodtest.load.protocols.langserve import LangServe
from langchain_prodtest.load.protocols.mapped import Mapped
from langchain_prodtest.load.protocols.openai import OpenAI
from langchain_prodtest.load.protocols.posted import Posted
from langchain_prodtest.load.protocols.sse import Sse

__all__ = ["PROTOCOLS", "find_protocol"]

PROTOCOLS: dict[str, type[Posted]] = {
    "sse": Sse,
    "openai": OpenAI,
    "anthropic": Anthropic,
    "langserve": LangServe,
    "agent-server": AgentServer,
    "mapped": Mapped,
}


def find_protocol(target: Target) -> Posted:
    """Return the protocol that [target] names, set up for it; UsageError names the nearest."""
    if target.protocol not in PROTOCOLS:
        raise UsageError(f"[target]: {unknown_name('protocol', target.protocol, PROTOCOLS)}")
    return PROTOCOLS[target.protocol](target)
