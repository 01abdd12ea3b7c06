"""Syrupy's amber snapshots of stable() data."""

from typing import Any

import pytest
from syrupy.extensions.amber import AmberSnapshotExtension

from langchain_prodtest.snapshots.stable import Normalise, stable

__all__ = ["LangChainExtension", "extension"]


class LangChainExtension(AmberSnapshotExtension):
    """Amber snapshots of stable() data, in files of their own beside those of the `snapshot` fixture."""

    file_extension = "lcambr"
    canary = ""
    normalise: Normalise = staticmethod(lambda data: None)

    def serialize(self, data: Any, **kwargs: Any) -> str:
        """Return the snapshot's text; the test fails if the canary, a planted secret, is in it."""
        text = super().serialize(stable(data, self.normalise), **kwargs)
        if self.canary and self.canary in text:
            line = next(line for line in text.splitlines() if self.canary in line)
            pytest.fail(
                "The provider's key would be in the snapshot:\n"
                f"  {line.strip().replace(self.canary, '<key>')}\n"
                "Keep it in a SecretStr, and out of messages and state.",
                pytrace=False,
            )
        return text


def extension(canary: str, normalise: Normalise) -> type[LangChainExtension]:
    """Return the extension that refuses texts with `canary` and asks `normalise` first."""
    settings = {"canary": canary, "normalise": staticmethod(normalise), "__doc__": LangChainExtension.__doc__}
    return type("LangChainExtension", (LangChainExtension,), settings)
