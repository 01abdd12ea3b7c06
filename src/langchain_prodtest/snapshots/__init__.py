"""Snapshots of LangChain's types, by syrupy."""

from langchain_prodtest.snapshots.extension import LangChainExtension
from langchain_prodtest.snapshots.stable import stable

__all__ = ["LangChainExtension", "stable"]
