"""From run folders to a verdict on one subject.

A failure that sound evidence proves is NO-GO, whatever else is missing. Anything that is missing, damaged,
too old, about something else or unknown is HOLD. GO is what is left.
"""

import fnmatch
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from langchain_prodtest.config import Config
from langchain_prodtest.errors import UsageError
from langchain_prodtest.evidence import Evidence, Subject, read_run
from langchain_prodtest.limit import Finding, Grade, judge, parse_duration

__all__ = ["Unknown", "Verdict", "decide", "exit_code"]

Decision = Literal["GO", "NO-GO", "HOLD"]


class Unknown(msgspec.Struct, frozen=True):
    """A check that is unknown, why it is, and what would end that."""

    check: str
    why: str
    ends: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate decided about `subject`, and all that it rests on.

    `sources` has the evidence id (`chaos/black-hole`) of each finding.
    `problems` has a sentence for each piece of evidence that is damaged, missing, old or about something
    else; `notes` has one for each run that a newer one replaced; `runs` are the folders that were read.
    """

    decision: Decision
    subject: Subject
    findings: list[Finding]
    sources: list[str] = []
    problems: list[str] = []
    resolves: list[Unknown] = []
    notes: list[str] = []
    runs: list[str] = []


class _Record:
    """An Evidence and the file it came from; not `sound` if it is damaged or about something else."""

    def __init__(self, evidence: Evidence, file: Path, sound: bool) -> None:
        self.evidence, self.file, self.sound = evidence, file, sound


def decide(paths: Sequence[Path], config: Config, now: float) -> Verdict:
    """Return the Verdict on the evidence in the run folders `paths`; `now` is Unix time in seconds.

    Where an id (`load/chat`) was recorded several times for the subject the newest counts, and `notes` says
    what it replaced. Nothing is raised for bad evidence: it is a problem, and problems hold.
    """
    records, problems = _read(paths)
    subject = _one_subject(records, _asked(config), problems)
    records, notes = _newest(records)
    for record in records:
        problems += _timing(record, parse_duration(config.gate.max_age), now)
        problems += _content(record)
    problems += _missing(records, config.gate.require)
    pairs = [(record, finding) for record in records for finding in record.evidence.findings]
    findings = [_located(finding, record) for record, finding in pairs]
    unknown = [_unknown(finding) for finding in findings if finding.outcome == "unknown"]
    decision: Decision = "HOLD" if problems or unknown or not findings else "GO"
    if any(f.outcome == "fail" for record in records if record.sound for f in record.evidence.findings):
        decision = "NO-GO"
    return Verdict(
        decision=decision,
        subject=subject,
        findings=findings,
        sources=[record.evidence.id for record, _ in pairs],
        problems=problems,
        resolves=unknown,
        notes=notes,
        runs=[str(path) for path in paths],
    )


def exit_code(verdict: Verdict) -> int:
    """Return the exit code: 0 GO, 1 NO-GO, 3 HOLD (2 is for usage and internal errors)."""
    return {"GO": 0, "NO-GO": 1, "HOLD": 3}[verdict.decision]


def _read(paths: Sequence[Path]) -> tuple[list[_Record], list[str]]:
    records: list[_Record] = []
    problems: list[str] = [] if paths else ["no run folder was given"]
    for path in dict.fromkeys(paths):
        found, wrong = read_run(path)
        problems += wrong or ([] if found else [f"{path} holds no evidence"])
        records += [_Record(evidence, path / evidence.file, sound=not wrong) for evidence in found]
    return records, problems


def _asked(config: Config) -> Subject:
    """Return the subject that was asked for; without a configuration only an image can have been."""
    return config.subject if config.path else Subject(image=config.subject.image)


def _one_subject(records: Sequence[_Record], asked: Subject, problems: list[str]) -> Subject:
    """Return the subject that all evidence is about; where it differs or is not stated, it is unsound."""
    agreed = {}
    for field in ("revision", "image", "config"):
        wanted = getattr(asked, field)
        for record in records:
            stated = getattr(record.evidence.subject, field)
            if not stated and (field != "image" or record.evidence.kind in ("load", "chaos")):
                problems.append(f"{record.file} does not state its {field}")
                record.sound = False
            elif stated and wanted and stated != wanted:
                problems.append(f'{record.file} is about {field} "{stated}", asked for is "{wanted}"')
                record.sound = False
        stating = [record for record in records if getattr(record.evidence.subject, field)]
        agreed[field] = wanted or (getattr(stating[0].evidence.subject, field) if stating else "")
        if not wanted:
            _compare(field, stating, problems)
    return Subject(**agreed)


def _compare(field: str, stating: Sequence[_Record], problems: list[str]) -> None:
    """Add a problem for each record that differs from the first; which of them is right nobody knows."""
    for record in stating[1:]:
        first, stated = (getattr(r.evidence.subject, field) for r in (stating[0], record))
        if stated != first:
            problems.append(f'{record.file} is about {field} "{stated}", {stating[0].file} about "{first}"')
            for either in stating:
                either.sound = False


def _newest(records: Sequence[_Record]) -> tuple[list[_Record], list[str]]:
    """Return the records that count, and a note for each that a newer one replaces. Unsound ones stay."""
    newest: dict[str, _Record] = {}
    for record in records:
        known = newest.get(record.evidence.id)
        if record.sound and (known is None or known.evidence.finished < record.evidence.finished):
            newest[record.evidence.id] = record
    counting, notes = [], []
    for record in records:
        latest = newest.get(record.evidence.id)
        if record.sound and latest and record.evidence.finished < latest.evidence.finished:
            notes.append(f"{record.file} ({_summary(record.evidence)}) is replaced by {latest.file}")
        else:
            counting.append(record)
    return counting, notes


def _summary(evidence: Evidence) -> str:
    failed = [finding.check for finding in evidence.findings if finding.outcome == "fail"]
    return f"FAILED {', '.join(failed)}" if failed else "nothing failed"


def _timing(record: _Record, max_age: float, now: float) -> Iterable[str]:
    started, finished = record.evidence.started, record.evidence.finished
    if finished < started or max(started, finished) > now:
        record.sound = False
        yield f"{record.file} is dated wrongly: it ends before it starts, or in the future"
    elif now - finished > max_age:
        yield f"{record.file} is {(now - finished) / 3600:.1f} h old, [gate] max_age is {max_age / 3600:g} h"


def _content(record: _Record) -> Iterable[str]:
    if not record.evidence.complete:
        yield f"{record.file} is incomplete: its run was interrupted"
    if all(finding.outcome == "not_applicable" for finding in record.evidence.findings):
        yield f"{record.file} holds no finding that counts"
    for finding in record.evidence.findings:
        proven = _recompute(finding)
        if _RANK[finding.outcome] > _RANK[proven]:
            yield f"{record.file}: {finding.check} says {finding.outcome}, its numbers say {proven}"


_RANK: dict[Grade, int] = {"fail": 0, "unknown": 1, "pass": 2, "not_applicable": 2}


def _recompute(finding: Finding) -> Grade:
    """Return what the numbers of a finding say; without a limit its own word stands."""
    if finding.limit is None:
        return finding.outcome
    if finding.measurement and finding.measurement.metric != finding.limit.metric:
        return "unknown"
    try:
        return judge(finding.limit, finding.measurement).outcome
    except (UsageError, ValueError, ArithmeticError):  # an unknown metric, or numbers that cannot be
        return "unknown"


_HOW = {
    "tests": "; run pytest -p langchain_prodtest",
    "load": "; run locust -f loadtests",
    "chaos": "; run prodtest chaos run",
}


def _missing(records: Sequence[_Record], require: Sequence[str]) -> Iterable[str]:
    whole = [record.evidence.id for record in records if record.evidence.complete and record.sound]
    for pattern in require:
        if not fnmatch.filter(whole, pattern):
            how = _HOW.get(pattern.split("/")[0], "")
            yield f'[gate] require "{pattern}": no complete evidence of it was given{how}'


def _located(finding: Finding, record: _Record) -> Finding:
    return finding if finding.where else msgspec.structs.replace(finding, where=str(record.file))


def _unknown(finding: Finding) -> Unknown:
    why = finding.detail or "no reason was recorded"
    return Unknown(finding.check, why, finding.remedy or "a run that measures it")
