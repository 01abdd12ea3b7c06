"""Prove before promotion that a LangChain service survives production.

The names below are imported when they are first used: the pytest plugin must start fast, and this package
must never import more than a test asks for.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_prodtest.conformance.production import ProductionTests
    from langchain_prodtest.script import Call, Fault, Reply, Script, ToolCall, Usage

__all__ = ["Call", "Fault", "ProductionTests", "Reply", "Script", "ToolCall", "Usage"]

# `pytest -p langchain_prodtest` imports this package, not the entry point, when it is not installed.
pytest_plugins = ("langchain_prodtest.plugin",)

_HOME = dict.fromkeys(__all__, "langchain_prodtest.script")
_HOME["ProductionTests"] = "langchain_prodtest.conformance.production"


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
