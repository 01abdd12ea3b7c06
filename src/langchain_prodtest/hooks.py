"""Hooks that a conftest.py may implement."""

from typing import Any

import pytest

__all__ = ["pytest_prodtest_normalise"]


@pytest.hookspec(firstresult=True)
def pytest_prodtest_normalise(data: Any) -> Any:
    """Return what stands for `data` in an lc_snapshot: for a type of your own, or one whose values vary.

    It is asked for every value; the first that is not None is taken.
    """
