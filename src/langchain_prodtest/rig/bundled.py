"""Where the scenario files and experiments that come with the package lie."""

from pathlib import Path

import langchain_prodtest
from langchain_prodtest.errors import UsageError

__all__ = ["bundled"]


def bundled(name: str) -> Path:
    """Return the folder `loadtests`, `chaos` or `examples`: the checked-out one, else the wheel's copy."""
    package = Path(langchain_prodtest.__file__).parent
    checkout = package.parent.parent
    inside = {"examples": "docs/examples"}.get(name, name)
    wheel = package / "bundled" / name
    path = checkout / inside if (checkout / "pyproject.toml").is_file() else wheel
    if not path.is_dir():
        raise UsageError(f"{path} is missing from this installation; install langchain-prodtest again")
    return path
