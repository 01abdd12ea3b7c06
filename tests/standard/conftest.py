"""Fake providers for LangChain's own standard tests: one server for all, leading every client there."""

from collections.abc import Iterator

import pytest

from langchain_prodtest.script import Script
from langchain_prodtest.wire.auto import auto
from langchain_prodtest.wire.providers import PROVIDERS
from langchain_prodtest.wire.server import FakeServer


def pytest_configure(config: pytest.Config) -> None:
    config.option.asyncio_mode = "auto"  # LangChain's tests bring no marks


@pytest.fixture(scope="session")
def server() -> Iterator[FakeServer]:
    with FakeServer(Script(default=auto), {name: name for name in PROVIDERS}) as running:
        yield running
