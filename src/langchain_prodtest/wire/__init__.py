"""Fake LLM providers that speak real HTTP bytes on a real socket.

arrival -> `router` (codec + Script) -> `response` -> `faults` -> `framing` -> `exchange` -> bytes, Call
"""

from langchain_prodtest.wire.server import FakeServer, Limits

__all__ = ["FakeServer", "Limits"]
