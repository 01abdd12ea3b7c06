"""dockerfile.runs_as_root: which Dockerfiles pass, fail, and are unknown."""

from pathlib import Path

import pytest

from langchain_prodtest.audit import RULES, audit, runs_as_root
from langchain_prodtest.evidence import Subject

GOOD = {
    "a user by name": "FROM python:3.12-slim\nUSER app\n",
    "a user by number": "FROM python:3.12-slim\nUSER 10001\n",
    "a user and a group": "FROM python:3.12-slim\nUSER 10001:0\n",
    "lower-case instructions": "from python:3.12-slim\nuser app\n",
    "the last USER counts": "FROM python:3.12-slim\nUSER root\nRUN apt-get update\nUSER app\n",
    "the final stage counts": "FROM python:3.12 AS build\nUSER root\nFROM python:3.12-slim\nUSER app\n",
    "the parent stage's user": "FROM python:3.12-slim AS base\nUSER app\nFROM base\nRUN true\n",
    "a chain of parent stages": 'FROM python AS a\nUSER app\nFROM a AS b\nFROM b\nCMD ["x"]\n',
    "stage names ignore case": "FROM python AS Base\nUSER app\nFROM BASE\n",
    "a nonroot tag": "FROM gcr.io/distroless/python3-debian12:nonroot\nCOPY . .\n",
    "a nonroot tag with digest": "FROM gcr.io/distroless/static:debug-nonroot@sha256:00ff\n",
    "an ARG with a default": "FROM python\nARG UID=10001\nUSER ${UID}\n",
    "an ENV": "FROM python\nENV APP=app OTHER=x\nUSER $APP\n",
    "an ENV goes before an ARG": "FROM python\nARG WHO=root\nENV WHO=app\nUSER $WHO\n",
    "an ARG of before FROM, declared": "ARG UID=10001\nFROM python\nARG UID\nUSER $UID\n",
    "a default in the place of use": "FROM python\nARG UID\nUSER ${UID:-10001}\n",
    "a continued line": "FROM python\nUSER \\\n# a comment inside\n\n  app\n",
    "a USER in a here-document": "FROM python\nUSER app\nRUN <<EOF\nUSER root\nEOF\n",
    "a USER in a copied file": "FROM python\nUSER app\nCOPY <<-'EOF' /Dockerfile\n\tUSER root\n\tEOF\n",
    "a backtick as escape": "# escape=`\nFROM python\nUSER `\n  app\n",
    "quotes": 'FROM python\nUSER "app"\n',
    "a byte order mark and CRLF": "\ufeffFROM python\r\nUSER app\r\n",
    "a trigger for other images": "FROM python\nUSER app\nONBUILD USER root\n",
    "a commented USER": "FROM python\nUSER app\n# USER root\n",
    "a comment that ends in a backslash": "FROM python\nUSER root\n# note \\\nUSER app\n",
}
BAD = {
    "root": "FROM python:3.12-slim\nUSER root\n",
    "0": "FROM python:3.12-slim\nUSER 0\n",
    "00": "FROM python:3.12-slim\nUSER 00\n",
    "0:0": "FROM python:3.12-slim\nUSER 0:0\n",
    "root with a group": "FROM python:3.12-slim\nUSER root:app\n",
    "a group alone": "FROM python:3.12-slim\nUSER :app\n",
    "no USER": 'FROM python:3.12-slim\nCMD ["python"]\n',
    "no USER on scratch": "FROM scratch\nCOPY app /\n",
    "back to root": "FROM python\nUSER app\nUSER root\n",
    "a USER in another stage": "FROM python AS build\nUSER app\nFROM python\nCOPY --from=build /a /a\n",
    "the parent stage's root": "FROM python AS base\nUSER root\nFROM base\n",
    "a later stage of that name": "FROM base\nFROM python AS base\nUSER app\nFROM python\n",
    "an image named nonroot": "FROM acme/nonroot\n",
    "nonroot, then root": "FROM gcr.io/distroless/static:nonroot\nUSER 0\n",
    "an ARG": "FROM python\nARG WHO=root\nUSER $WHO\n",
    "an ENV, old form": "FROM python\nENV WHO root\nUSER ${WHO}\n",
    "a USER in a here-document": "FROM python\nRUN <<EOF\nUSER app\nEOF\n",
    "a USER in a comment": "FROM python\n# USER app\n",
    "a USER in a continued RUN": "FROM python\nRUN echo \\\nUSER app\n",
    "a trigger of the parent stage": "FROM python AS base\nUSER app\nONBUILD USER root\nFROM base\n",
    "no escape directive after a comment": "# daily\n# escape=`\nFROM python\nUSER app\nRUN dir `\nUSER 0\n",
}
UNKNOWN = {
    "empty": "",
    "only a directive": "# syntax=docker/dockerfile:1",
    "only comments": "# FROM python\n\n",
    "an ARG without a default": "FROM python\nARG WHO\nUSER $WHO\n",
    "a variable of the base image": "FROM mcr.microsoft.com/dotnet/aspnet:8.0\nUSER $APP_UID\n",
    "an ARG of before FROM, not declared": "ARG UID=10001\nFROM python\nUSER $UID\n",
    "a form this reader does not know": "FROM python\nARG A=xroot\nUSER ${A#x}\n",
    "no word after USER": "FROM python\nUSER\n",
    "two words after USER": "FROM python\nUSER app root\n",
    "no FROM": "USER app\n",
    "an instruction before FROM": "RUN true\nFROM python\nUSER app\n",
    "not an instruction": "FROM python\nUSER app\nhello there\n",
    "a here-document without end": "FROM python\nUSER app\nRUN <<EOF\ntrue\n",
    "a FROM that makes no sense": "FROM python as\nUSER app\n",
    "an unknown escape": "# escape=x\nFROM python\nUSER app\n",
}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "Dockerfile"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_passes(tmp_path: Path, text: str) -> None:
    finding = runs_as_root(write(tmp_path, text))
    assert (finding.outcome, finding.remedy) == ("pass", "")


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_fails_and_says_what_to_write(tmp_path: Path, text: str) -> None:
    finding = runs_as_root(write(tmp_path, text))
    assert finding.outcome == "fail"
    assert "USER 10001" in finding.remedy
    assert finding.detail


@pytest.mark.parametrize("text", UNKNOWN.values(), ids=UNKNOWN)
def test_is_unknown_and_says_why(tmp_path: Path, text: str) -> None:
    finding = runs_as_root(write(tmp_path, text))
    assert finding.outcome == "unknown"
    assert finding.detail
    assert finding.remedy


def test_a_missing_file_is_unknown(tmp_path: Path) -> None:
    finding = runs_as_root(tmp_path / "Dockerfile")
    assert finding.outcome == "unknown"
    assert "cannot be read" in finding.detail


def test_a_binary_file_and_a_folder_are_unknown(tmp_path: Path) -> None:
    binary = tmp_path / "Dockerfile"
    binary.write_bytes(b"FROM python\nUSER \xff\xfe\n")
    assert [runs_as_root(path).outcome for path in (binary, tmp_path)] == ["unknown", "unknown"]


def test_the_line_of_the_user_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "# syntax=docker/dockerfile:1\n\nFROM python \\\n  AS run\nRUN true\nUSER root\n")
    assert runs_as_root(path).where == f"{path}:6"


def test_the_line_of_the_final_from_is_named_when_there_is_no_user(tmp_path: Path) -> None:
    path = write(tmp_path, "FROM python AS build\nFROM python\n")
    assert runs_as_root(path).where == f"{path}:2"


def test_the_audit_holds_one_finding_a_rule_and_file(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text(GOOD["a user by name"])
    bad.write_text(BAD["no USER"])
    subject = Subject(revision="abc")
    evidence = audit([good, bad], subject)
    assert (evidence.id, evidence.complete, evidence.subject) == ("audit/dockerfile", True, subject)
    assert [f.outcome for f in evidence.findings] == ["pass", "fail"]
    assert len(evidence.findings) == 2 * len(RULES)
    assert evidence.started <= evidence.finished
