"""The pytest plugin: options, the marker, the fixtures. It builds objects and holds no logic."""

import importlib

import pytest

__all__: list[str] = []

# Registered under their entry points' names: autoloading then finds them there and `-p no:NAME` still holds.
# pytest's own import_plugin("socket") would warn about, or on old versions register, the stdlib's socket.
STANDS_ON = {"socket": "pytest_socket", "syrupy": "syrupy"}


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the options, and load the plugins this one stands on where autoloading is off."""
    for name, module in STANDS_ON.items():
        if not (pluginmanager.is_blocked(name) or pluginmanager.has_plugin(name)):
            pluginmanager.register(importlib.import_module(module), name)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "prodtest(**options): options of langchain-prodtest for this test")
