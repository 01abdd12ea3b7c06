"""Findings as lines of plain text, for the end of a run on a terminal."""

from collections.abc import Sequence

from langchain_prodtest.limit import Finding, Limit
from langchain_prodtest.measure import find_metric

__all__ = ["table"]


def table(findings: Sequence[Finding]) -> str:
    """Return the findings as aligned lines of plain text, remedies below what did not pass."""
    rows = [("check", "measured", "limit", "n", "")]
    notes = [""]
    for finding in findings:
        measured, limit = finding.measurement, finding.limit
        value = "" if measured is None or limit is None else _value(limit, measured.value)
        count = "" if measured is None else str(measured.n)
        verdict = finding.outcome.upper() if finding.outcome == "fail" else finding.outcome
        rows.append((finding.check, value, limit.text if limit else "", count, verdict))
        notes.append(
            "" if finding.outcome == "pass" else " -> ".join(filter(None, (finding.detail, finding.remedy)))
        )
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = []
    for row, note in zip(rows, notes, strict=True):
        lines.append(
            "  " + "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
        lines += [f"      {note}"] if note else []
    return "\n".join(lines)


def _value(limit: Limit, value: float | None) -> str:
    if value is None:
        return "never"
    return f"{value:.1%}" if find_metric(limit.metric).unit == "share" else f"{value * 1e3:.0f} ms"
