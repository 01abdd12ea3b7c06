"""A suite of resilience tests that anyone can run on a runnable of their own."""

from langchain_prodtest.conformance.production import ProductionTests

__all__ = ["ProductionTests"]
