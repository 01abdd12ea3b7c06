"""Fakes for tests: a scripted chat model in the process, and handles on the fake providers on the wire."""
