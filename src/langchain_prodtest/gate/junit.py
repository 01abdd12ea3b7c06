"""The verdict as JUnit XML, for whatever shows test results. What holds is an error, never a pass."""

import xml.etree.ElementTree as ET

from langchain_prodtest.gate.judge import Verdict
from langchain_prodtest.limit import Finding
from langchain_prodtest.numbers import printable

__all__ = ["render"]

_TAG = {"fail": "failure", "unknown": "error", "not_applicable": "skipped"}


def render(verdict: Verdict) -> bytes:
    """Return the XML, UTF-8: one test case a finding, one a problem, and one named after the gate itself."""
    suite = ET.Element("testsuite", name="prodtest gate")
    for finding in verdict.findings:
        _add(suite, finding.check, _TAG.get(finding.outcome, ""), finding.detail or finding.outcome, finding)
    for problem in verdict.problems:
        _add(suite, "evidence", "error", problem)
    tag = {"GO": "", "NO-GO": "failure", "HOLD": "error"}[verdict.decision]
    _add(suite, "gate.verdict", tag, verdict.decision)
    for attribute, child in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{child}"))))
    suite.set("tests", str(len(suite)))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return bytes(ET.tostring(root, "utf-8", xml_declaration=True))


def _add(suite: ET.Element, name: str, tag: str, message: str, finding: Finding | None = None) -> None:
    where = finding.where if finding else ""
    case = ET.SubElement(suite, "testcase", classname=printable(where) or "prodtest", name=printable(name))
    if tag:
        child = ET.SubElement(case, tag, message=printable(message), type=name if finding is None else tag)
        child.text = printable("\n".join(filter(None, [message, finding.remedy if finding else "", where])))
