"""Chaos experiments: a hypothesis about faults, and the one function that runs it."""
