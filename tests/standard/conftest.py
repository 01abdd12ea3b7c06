"""Fake providers for LangChain's own standard tests: one server for all, leading every client there."""

from collections.abc import Iterator

import pytest

from langchain_prodtest.script import Script
from langchain_prodtest.wire.providers import PROVIDERS
from langchain_prodtest.wire.server import FakeServer


@pytest.fixture(scope="session")
def server() -> Iterator[FakeServer]:
    with FakeServer(Script(), {name: name for name in PROVIDERS}) as running:
        yield running
