"""The verdict as text for people and logs, and as files for machines."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import msgspec

from langchain_prodtest.evidence import REPORTS
from langchain_prodtest.gate import junit, numbers
from langchain_prodtest.gate.judge import Verdict
from langchain_prodtest.limit import Finding

__all__ = ["describe", "table", "write_reports"]

WIDTH = 100
LONGEST_CHECK = 40
HEAD = ("check", "measured", "limit", "interval", "n", "")


def table(findings: Sequence[Finding]) -> str:
    """Return the findings as a table of at most 100 columns; detail and remedy follow what did not pass."""
    rows = [HEAD, *(_row(finding) for finding in findings)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    lines = [_line(HEAD, widths)]
    for finding, row in zip(findings, rows[1:], strict=True):
        lines.append(_line(row, widths))
        if finding.outcome == "fail":
            lines += _indented(finding.detail, 6) + _indented(finding.remedy, 6) + _indented(finding.where, 6)
    return "\n".join(lines)


def describe(verdict: Verdict) -> str:
    """Return the whole verdict as text: the table, what holds it, what would end that, and the last word."""
    failed = sum(finding.outcome == "fail" for finding in verdict.findings)
    parts = [table(verdict.findings)] if verdict.findings else []
    parts += [line for note in verdict.notes for line in _indented(f"note: {note}", 2)]
    reasons = [_counted(len(verdict.resolves), "check") + " unknown"] if verdict.resolves else []
    if verdict.problems:
        reasons.append(_counted(len(verdict.problems), "problem") + " with the evidence")
    if failed:
        reasons.insert(0, _counted(failed, "check") + " failed")
    subject = verdict.subject.image or verdict.subject.revision or "no subject"
    last = f"  {verdict.decision}   " + (", ".join(reasons) or f"{subject}   evidence {_where(verdict)}")
    parts += ["", last]
    for unknown in verdict.resolves:
        parts += _indented(f"{unknown.check}   {unknown.why}   → {unknown.ends}", 4)
    for problem in verdict.problems:
        parts += _indented(problem, 4)
    if verdict.decision != "GO":
        parts.append(f"    {subject}   evidence {_where(verdict)}")
    return "\n".join(parts).lstrip("\n") + "\n"


def write_reports(verdict: Verdict, run_path: Path) -> list[Path]:
    """Write `report/report.json` and `report/junit.xml` into a run folder and return their paths."""
    folder = run_path / REPORTS
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        folder / "report.json": msgspec.json.format(msgspec.json.encode(verdict)),
        folder / "junit.xml": junit.render(verdict),
    }
    for path, data in files.items():
        path.write_bytes(data)
    return list(files)


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


def _indented(text: str, by: int) -> list[str]:
    indent = " " * by
    return [
        line
        for part in numbers.printable(text).splitlines()
        for line in textwrap.wrap(
            part, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )
    ]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _where(verdict: Verdict) -> str:
    return ", ".join(verdict.runs) or "none"
