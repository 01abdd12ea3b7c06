"""The pytest plugin: options, the marker, the fixtures. It builds objects and holds no logic."""

import pytest

__all__: list[str] = []


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the options, and load the plugins this one stands on where autoloading is off."""
    for name in ("socket", "syrupy"):
        pluginmanager.import_plugin(name, consider_entry_points=True)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "prodtest(**options): options of langchain-prodtest for this test")
