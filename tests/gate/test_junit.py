"""The JUnit file: valid XML whatever the texts hold, and nothing that holds is a pass."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from langchain_prodtest.evidence import Subject
from langchain_prodtest.gate import Verdict
from langchain_prodtest.gate.junit import render
from langchain_prodtest.limit import Finding


def suite(decision: Any, findings: list[Finding], problems: list[str] | None = None) -> ET.Element:
    found = Verdict(decision=decision, subject=Subject(), findings=findings, problems=problems or [])
    element = ET.fromstring(render(found)).find("testsuite")
    assert element is not None
    return element


def finding(outcome: Any, **more: Any) -> Finding:
    return Finding(check=f"check.{outcome}", outcome=outcome, **more)


def test_each_outcome_has_its_element() -> None:
    found = suite("NO-GO", [finding(o) for o in ("pass", "fail", "unknown", "not_applicable")], ["p"])
    cases = {case.get("name"): [child.tag for child in case] for case in found}
    assert cases == {
        "check.pass": [],
        "check.fail": ["failure"],
        "check.unknown": ["error"],
        "check.not_applicable": ["skipped"],
        "evidence": ["error"],
        "gate.verdict": ["failure"],
    }
    assert {key: found.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "6", "failures": "2", "errors": "2", "skipped": "1",
    }  # fmt: skip


@pytest.mark.parametrize(("decision", "bad"), [("GO", 0), ("NO-GO", 1), ("HOLD", 1)])
def test_only_go_is_without_failures_and_errors(decision: str, bad: int) -> None:
    found = suite(decision, [finding("pass")])
    assert int(found.get("failures", "")) + int(found.get("errors", "")) == bad


def test_a_failure_carries_detail_remedy_and_place() -> None:
    found = suite("NO-GO", [finding("fail", detail="what", remedy="do", where="run/load-chat.json")])
    case = found[0]
    assert case.get("classname") == "run/load-chat.json"
    assert (case[0].get("message"), case[0].text) == ("what", "what\ndo\nrun/load-chat.json")


def test_any_text_makes_valid_xml() -> None:
    wild = '<a href="x">&\'\x00\x1b\ud800\ufffe]]>\U0001f600'
    found = suite("HOLD", [finding("fail", detail=wild, remedy=wild, where=wild)], [wild])
    assert found[0][0].get("message") == '<a href="x">&\'\\x00\\x1b\\ud800\\ufffe]]>\U0001f600'
