"""Secrets that were told: a key planted for a test that shows where people look."""

from collections.abc import Iterable

__all__ = ["told"]


def told(secret: str, places: Iterable[tuple[str, str]]) -> list[str]:
    """Return a text that names the places, of (name, content), that hold `secret`; none where none does."""
    found = [(name, line) for name, content in places for line in content.splitlines() if secret in line]
    if not found:
        return []
    names = ", ".join(dict.fromkeys(name for name, _ in found))
    line = found[0][1].strip().replace(secret, "<key>")[:160]
    remedy = "Keep it in a SecretStr, and out of messages and logs."
    return [f"The provider's key was told: {names}\n  {line}\n{remedy}"]
