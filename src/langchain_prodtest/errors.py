"""Errors that a user can act on.

ProdtestError
├── UsageError        the configuration, an option or a file is wrong (exit code 2)
├── ScriptError       a Reply, Fault or Script contradicts itself
├── ToxiproxyError    a Toxiproxy answered with an error, or not at all
├── ExperimentError   an experiment could not be run to its end
└── EvidenceError     an evidence file is missing, cut, edited or of an unknown schema
"""

import difflib
from collections.abc import Iterable

__all__ = ["EvidenceError", "ExperimentError", "ProdtestError", "ScriptError", "ToxiproxyError", "UsageError"]


class ProdtestError(Exception):
    """Base of every error this package raises on purpose; its text is meant for the user."""


class UsageError(ProdtestError):
    """The configuration, an option or an input file is wrong."""


class ScriptError(ProdtestError):
    """A Reply, Fault or Script contradicts itself."""


class ToxiproxyError(ProdtestError):
    """A Toxiproxy answered with an error (`status` is its HTTP status), or not at all (`status` is 0)."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class ExperimentError(ProdtestError):
    """An experiment could not be run to its end."""


class EvidenceError(ProdtestError):
    """An evidence file is missing, cut, edited or of an unknown schema."""


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> str:
    """Return the sentence for an unknown name: what was given, the nearest valid one, and all valid ones."""
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f' Did you mean "{near[0]}"?' if near else ""
    return f'unknown {kind} "{name}".{hint} Valid: {", ".join(names)}'
