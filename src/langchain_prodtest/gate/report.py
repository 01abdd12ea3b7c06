"""The verdict as text for people and logs, and as files for machines."""

from pathlib import Path

import msgspec

from langchain_prodtest.evidence import REPORTS
from langchain_prodtest.gate import junit
from langchain_prodtest.gate.judge import Verdict
from langchain_prodtest.table import indented, table

__all__ = ["describe", "write_reports"]


def describe(verdict: Verdict) -> str:
    """Return the whole verdict as text: the table, what holds it, what would end that, and the last word."""
    failed = sum(finding.outcome == "fail" for finding in verdict.findings)
    parts = [table(verdict.findings, verdict.sources)] if verdict.findings else []
    parts += [line for note in verdict.notes for line in indented(f"note: {note}", 2)]
    reasons = [_counted(len(verdict.resolves), "check") + " unknown"] if verdict.resolves else []
    if verdict.problems:
        reasons.append(_counted(len(verdict.problems), "problem") + " with the evidence")
    if failed:
        reasons.insert(0, _counted(failed, "check") + " failed")
    subject = verdict.subject.image or verdict.subject.revision or "no subject"
    last = f"  {verdict.decision}   " + (", ".join(reasons) or f"{subject}   evidence {_where(verdict)}")
    parts += ["", last]
    for unknown in verdict.resolves:
        parts += indented(f"{unknown.check}   {unknown.why}   → {unknown.ends}", 4)
    for problem in verdict.problems:
        parts += indented(problem, 4)
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


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _where(verdict: Verdict) -> str:
    return ", ".join(verdict.runs) or "none"
