"""The audit: files of the repository in, findings of static rules out."""

from langchain_prodtest.audit.rules import RULES, audit, runs_as_root

__all__ = ["RULES", "audit", "runs_as_root"]
