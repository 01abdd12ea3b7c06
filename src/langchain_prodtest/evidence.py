"""What a run leaves behind: one folder of evidence files, sealed by a manifest.

`.prodtest/<run>/<kind>-<name>.json` holds one Evidence each; raw series lie beside them; `manifest.json`
holds the SHA-256 of every file and is written last, so that whatever was cut off, edited or added shows.
"""

import datetime
import gzip
import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from langchain_prodtest.errors import EvidenceError
from langchain_prodtest.limit import Finding
from langchain_prodtest.measure import now

__all__ = [
    "SCHEMA", "Evidence", "Kind", "Manifest", "Run", "Subject", "latest_run", "read_run", "write_atomically",
]  # fmt: skip

SCHEMA = "prodtest/1"
MANIFEST = "manifest.json"
REPORTS = "report"
STAMP = len("2026-11-23T14-02-11")
T = TypeVar("T")
Kind = Literal["tests", "load", "chaos", "audit"]


class Subject(msgspec.Struct, frozen=True):
    """What the evidence is about: the source revision, the image built from it, the configuration's hash."""

    revision: str = ""
    image: str = ""
    config: str = ""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of one kind found. `complete` is False when it was interrupted; times are Unix seconds."""

    schema: str = SCHEMA
    kind: Kind
    name: str
    subject: Subject
    started: float
    finished: float
    complete: bool
    findings: list[Finding]
    series: list[str] = []
    tool: str = ""

    @property
    def id(self) -> str:
        """`kind/name`, as [gate] require names it."""
        return f"{self.kind}/{self.name}"

    @property
    def file(self) -> str:
        """The file name in the run folder."""
        return f"{self.kind}-{self.name}.json"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """SHA-256 (hex) by file name of every file of a run, and when it was sealed."""

    schema: str = SCHEMA
    sealed: float
    files: dict[str, str]


class Run:
    """A run folder that is being written. Several processes may write into one; one of them seals it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    @classmethod
    def create(cls, root: Path) -> "Run":
        """Make a new folder under `root`, named by the time in UTC; never one that exists."""
        stamp = datetime.datetime.fromtimestamp(now(), datetime.UTC).strftime("%Y-%m-%dT%H-%M-%S")
        root.mkdir(parents=True, exist_ok=True)
        (root / ".gitignore").write_text("*\n")  # or a run would make the next one's revision dirty
        for suffix in ("", *(f"-{i}" for i in range(2, 1000))):
            path = root / f"{stamp}{suffix}"
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return cls(path)
        raise EvidenceError(f"{root} already holds 999 runs of this second")

    def write(self, evidence: Evidence) -> Path:
        """Write one evidence file, whole or not at all."""
        if not re.fullmatch(r"[\w.-]+", evidence.name):
            raise EvidenceError(f'evidence name "{evidence.name}": use letters, digits, ".", "_" and "-"')
        path = self.path / evidence.file
        write_atomically(path, msgspec.json.format(msgspec.json.encode(evidence)))
        return path

    def write_series(self, name: str, rows: Iterable[msgspec.Struct]) -> str:
        """Write rows as compressed NDJSON and return the file's name."""
        file = f"{name}.ndjson.gz"
        encoder = msgspec.json.Encoder()
        data = b"".join(encoder.encode(row) + b"\n" for row in rows)
        write_atomically(self.path / file, gzip.compress(data, mtime=0))
        return file

    def seal(self) -> Path:
        """Write the manifest over all files in the folder; do it once, last."""
        files = {file: _digest(self.path / file) for file in _files_of(self.path)}
        path = self.path / MANIFEST
        write_atomically(path, msgspec.json.format(msgspec.json.encode(Manifest(sealed=now(), files=files))))
        return path


def latest_run(root: Path) -> Path:
    """Return the newest run folder under `root`; EvidenceError if there is none."""
    runs = [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    if not runs:
        raise EvidenceError(
            f"no run in {root}; run prodtest demo, pytest, locust or prodtest chaos run first"
        )
    return max(runs, key=lambda path: (path.name[:STAMP], len(path.name), path.name))  # …-2 before …-10


def read_run(path: Path) -> tuple[list[Evidence], list[str]]:
    """Return the evidence of a run folder, and one sentence for each thing that is wrong with it.

    Nothing is raised for damaged evidence: the gate must say all that is wrong, and hold.
    """
    if not path.is_dir():
        return [], [f"{path} is not a run folder"]
    problems: list[str] = []
    listed = _read_manifest(path / MANIFEST, problems)
    present = _files_of(path)
    problems += [
        f"{path / file} is listed in the manifest but missing" for file in listed if file not in present
    ]
    found: list[Evidence] = []
    for file in present:
        if file not in listed:
            problems.append(f"{path / file} is not listed in the manifest")
        elif _digest_or_none(path / file) != listed[file]:
            problems.append(f"{path / file} was changed after the run was sealed")
        if file.endswith(".json"):
            found += _read_evidence(path, file, problems)
    named = {file for evidence in found for file in evidence.series}
    problems += [f"{path / file} is named as a series but missing" for file in sorted(named - set(present))]
    return found, problems


def _read_manifest(path: Path, problems: list[str]) -> dict[str, str]:
    if not path.exists():
        problems.append(f"{path} is missing: the run did not finish, or its files were moved apart")
        return {}
    manifest = _decode(path, Manifest, problems)
    return manifest.files if manifest else {}


def _read_evidence(run: Path, file: str, problems: list[str]) -> list[Evidence]:
    evidence = _decode(run / file, Evidence, problems)
    if evidence and evidence.file != file:
        problems.append(f"{run / file} says it is {evidence.file}")
        return []
    return [evidence] if evidence else []


class _Stamp(msgspec.Struct):
    """The part of a file that says how to read the rest; a file that does not say it has no schema."""

    schema: str = ""


def _decode(path: Path, into: type[T], problems: list[str]) -> T | None:
    try:
        data = path.read_bytes()
        schema = msgspec.json.decode(data, type=_Stamp).schema
        if schema == SCHEMA:
            return msgspec.json.decode(data, type=into)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        problems.append(f"{path} cannot be read: {error}")
    else:
        problems.append(f'{path} has the unknown schema "{schema}"; this version reads {SCHEMA}')
    return None


def _files_of(path: Path) -> list[str]:
    """Return the sorted names of a run's files; reports are made from the evidence and are not part of it."""
    inside = (p.relative_to(path) for p in path.rglob("*") if p.is_file())
    return sorted(str(p) for p in inside if str(p) != MANIFEST and p.parts[0] != REPORTS)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest_or_none(path: Path) -> str | None:
    try:
        return _digest(path)
    except OSError:
        return None


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that whoever reads it, at any time, finds all of it or what was there before."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
