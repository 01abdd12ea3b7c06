"""Findings as a table of plain text that is readable on a terminal and in a log."""

import textwrap
from collections.abc import Sequence

from langchain_prodtest import numbers
from langchain_prodtest.limit import Finding

__all__ = ["indented", "reasons", "table"]

WIDTH = 100
LONGEST_CHECK = 40
HEAD = ("check", "measured", "limit", "interval", "n", "")


def table(findings: Sequence[Finding], sources: Sequence[str] = ()) -> str:
    """Return the findings as a table of at most 100 columns; detail and remedy follow what failed.

    `sources` names the evidence of each finding; each source then stands above its findings.
    """
    rows = [HEAD, *(_row(finding) for finding in findings)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    lines = [_line(HEAD, widths)]
    above = ""
    for finding, row, source in zip(findings, rows[1:], sources or [""] * len(findings), strict=True):
        if source != above:
            lines.append(f"  {numbers.printable(source)}")
            above = source
        lines.append(_line(row, widths))
        if finding.outcome == "fail":
            for text in (finding.detail, finding.remedy, finding.where):
                lines += indented(text, 6)
    return "\n".join(lines)


def _row(finding: Finding) -> tuple[str, ...]:
    check = numbers.printable(finding.check).replace("\n", " ")
    if len(check) > LONGEST_CHECK:
        check = f"{check[: LONGEST_CHECK - 1]}…"
    outcome = "FAIL" if finding.outcome == "fail" else finding.outcome
    limit = numbers.limit(finding.limit) if finding.limit else ""
    found = finding.measurement
    if found is None:
        return check, "", limit, "", "", outcome
    return check, numbers.measured(found), limit, numbers.certainty(found), numbers.count(found), outcome


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  " + "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def reasons(findings: Sequence[Finding]) -> list[str]:
    """Return a line for each finding that is unknown: why, and what would end that."""
    return [
        " → ".join(filter(None, [f"  {finding.check} is unknown: {finding.detail}", finding.remedy]))
        for finding in findings
        if finding.outcome == "unknown"
    ]


def indented(text: str, by: int) -> list[str]:
    """Return the text as lines of at most 100 columns, each after `by` blanks."""
    indent = " " * by
    return [
        line
        for part in numbers.printable(text).splitlines()
        for line in textwrap.wrap(
            part, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )
    ]
