"""The generated sections of docs/conformance.md: each stands between two comments that name it."""

from pathlib import Path

__all__ = ["PAGE", "cells", "section", "write"]

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def section(name: str) -> str:
    """Return what stands between the comments."""
    return PAGE.read_text("utf-8").partition(f"<!-- {name} -->\n")[2].partition(f"<!-- end of {name} -->")[0]


def write(name: str, text: str) -> None:
    """Put `text` between the comments, in place of what is there."""
    before, found, rest = PAGE.read_text("utf-8").partition(f"<!-- {name} -->\n")
    assert found, f"{PAGE} has no section {name}"
    PAGE.write_text(before + found + text + rest[rest.index(f"<!-- end of {name} -->") :], "utf-8")


def cells(line: str) -> list[str]:
    """Return the cells of one line of a table."""
    return [cell.strip() for cell in line.strip().strip("|").split(" | ")]
