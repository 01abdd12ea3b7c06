"""The verdict: GO only for whole, fresh, passing evidence on one subject."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from langchain_prodtest.config import Config, Gate
from langchain_prodtest.evidence import Evidence, Run, Subject
from langchain_prodtest.gate import Unknown, Verdict, decide, exit_code
from langchain_prodtest.limit import Finding, Limit, judge, parse_limit
from langchain_prodtest.measure import Measurement

NOW = 1_800_000_000.0
SUBJECT = Subject("rev-a", "agent@sha256:aa", "cfg-a")
PASS = Finding(check="tests.passed", outcome="pass")
FAIL = Finding(check="tests.failed", outcome="fail", detail="1 failed")
UNKNOWN = Finding(check="network.egress", outcome="unknown", detail="isolation was off", remedy="turn it on")

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a sealed run folder of evidence given as `(kind, name, changes)`."""
    folders = iter(range(100))

    def write(*entries: tuple[Any, str, dict[str, Any]]) -> Path:
        run = Run(tmp_path / f"run-{next(folders)}")
        for kind, name, changes in entries:
            fields: dict[str, Any] = {
                "subject": SUBJECT, "started": NOW - 120, "finished": NOW - 60, "complete": True,
                "findings": [PASS], **changes,
            }  # fmt: skip
            run.write(Evidence(kind=kind, name=name, **fields))
        run.seal()
        return run.path

    return write


def whole(**of: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    names = {"tests": "pytest", "load": "chat", "chaos": "outage"}
    return [(kind, name, of.get(kind, {})) for kind, name in names.items()]


def verdict(*paths: Path, config: Config | None = None) -> Verdict:
    return decide(paths, config or Config(), NOW)


def measured(metric: str, text: str, **numbers: Any) -> tuple[Limit, Measurement]:
    return parse_limit(metric, text), Measurement(metric=metric, **numbers)


def test_whole_passing_evidence_is_go(write: Write) -> None:
    path = write(*whole())
    found = verdict(path)
    assert (found.decision, exit_code(found)) == ("GO", 0)
    assert (found.problems, found.resolves, found.notes) == ([], [], [])
    assert (found.subject, found.runs) == (SUBJECT, [str(path)])


def test_evidence_may_lie_in_several_folders(write: Write) -> None:
    assert verdict(*(write(entry) for entry in whole())).decision == "GO"


def test_findings_keep_their_order_and_get_the_file_they_came_from(write: Write) -> None:
    own = Finding(check="b", outcome="pass", where="tests/test_x.py:3")
    path = write(*whole(load={"findings": [PASS, own]}))
    found = [finding for finding in verdict(path).findings if "load" in finding.where or finding.check == "b"]
    assert [finding.where for finding in found] == [str(path / "load-chat.json"), "tests/test_x.py:3"]


def test_a_failure_is_no_go(write: Write) -> None:
    found = verdict(write(*whole(tests={"findings": [PASS, FAIL]})))
    assert (found.decision, exit_code(found)) == ("NO-GO", 1)


def test_an_unknown_holds_and_says_what_would_end_it(write: Write) -> None:
    found = verdict(write(*whole(tests={"findings": [PASS, UNKNOWN]})))
    assert (found.decision, exit_code(found)) == ("HOLD", 3)
    assert found.resolves == [Unknown("network.egress", "isolation was off", "turn it on")]


def test_an_unknown_without_a_reason_still_says_something(write: Write) -> None:
    found = verdict(write(*whole(tests={"findings": [Finding(check="x", outcome="unknown")]})))
    assert found.resolves == [Unknown("x", "no reason was recorded", "a run that measures it")]


def test_a_failure_stays_no_go_whatever_else_is_missing_or_unknown(write: Write, tmp_path: Path) -> None:
    failing = write(("tests", "pytest", {"findings": [FAIL, UNKNOWN], "complete": False}))
    found = verdict(failing, tmp_path / "nowhere")
    assert found.decision == "NO-GO"
    assert any("nowhere is not a run folder" in problem for problem in found.problems)


def test_an_old_failure_is_still_a_failure(write: Write) -> None:
    old = {"started": NOW - 9e6, "finished": NOW - 9e6, "findings": [FAIL]}
    assert verdict(write(*whole(tests=old))).decision == "NO-GO"


def test_not_applicable_counts_as_nothing(write: Write) -> None:
    absent = Finding(check="x", outcome="not_applicable")
    assert verdict(write(*whole(load={"findings": [PASS, absent]}))).decision == "GO"
    found = verdict(write(*whole(load={"findings": [absent]})))
    assert found.decision == "HOLD"
    assert "load-chat.json holds no finding that counts" in found.problems[0]


def test_evidence_without_findings_holds(write: Write) -> None:
    found = verdict(write(*whole(load={"findings": []})))
    assert found.decision == "HOLD"
    assert "load-chat.json holds no finding" in found.problems[0]


def test_no_folder_and_an_empty_one_hold(write: Write) -> None:
    lenient = Config(gate=Gate(require=()))
    assert verdict(config=lenient).problems == ["no run folder was given"]
    empty = write()
    assert verdict(empty, config=lenient).problems == [f"{empty} holds no evidence"]
    assert verdict(empty, config=lenient).decision == verdict(config=lenient).decision == "HOLD"


@pytest.mark.parametrize("missing", ["tests", "load", "chaos"])
def test_what_the_gate_requires_and_nobody_gave_holds(write: Write, missing: str) -> None:
    found = verdict(write(*(entry for entry in whole() if entry[0] != missing)))
    assert found.decision == "HOLD"
    assert found.problems[0].startswith(f'[gate] require "{missing}/*": no complete evidence')
    assert "; run " in found.problems[0]


def test_a_required_name_is_a_glob_on_kind_and_name(write: Write) -> None:
    path = write(*whole())
    assert (
        verdict(
            path,
            config=Config(
                gate=Gate(
                    require=(
                        "load/ch*",
                        "*/outage",
                    )
                )
            ),
        ).decision
        == "GO"
    )
    held = verdict(path, config=Config(gate=Gate(require=("audit/*",))))
    assert held.problems == ['[gate] require "audit/*": no complete evidence of it was given']


def test_incomplete_evidence_holds_and_does_not_satisfy_a_requirement(write: Write) -> None:
    found = verdict(write(*whole(chaos={"complete": False})))
    assert found.decision == "HOLD"
    assert "chaos-outage.json is incomplete" in found.problems[0]
    assert '"chaos/*"' in found.problems[1]


def test_evidence_older_than_max_age_holds(write: Write) -> None:
    path = write(*whole(load={"started": NOW - 7300, "finished": NOW - 7201}))
    found = verdict(path, config=Config(gate=Gate(max_age="2h")))
    assert found.decision == "HOLD"
    assert found.problems == [f"{path / 'load-chat.json'} is 2.0 h old, [gate] max_age is 2 h"]
    assert verdict(path).decision == "GO"


@pytest.mark.parametrize(
    "times",
    [
        {"started": NOW - 60, "finished": NOW - 61},
        {"started": NOW - 60, "finished": NOW + 1},
        {"started": NOW + 1, "finished": NOW + 2},
    ],
)
def test_impossible_times_hold_and_prove_nothing(write: Write, times: dict[str, float]) -> None:
    found = verdict(write(*whole(load={**times, "findings": [FAIL]})))
    assert found.decision == "HOLD"
    assert "load-chat.json is dated wrongly" in found.problems[0]


@pytest.mark.parametrize(
    ("field", "kinds"),
    [
        ("revision", ["tests", "load", "chaos"]),
        ("image", ["load", "chaos"]),
        ("config", ["tests", "load", "chaos"]),
    ],
)
def test_a_subject_that_is_not_stated_holds(write: Write, field: str, kinds: list[str]) -> None:
    fields = {"revision": "rev-a", "image": "agent@sha256:aa", "config": "cfg-a", field: ""}
    for kind in kinds:
        found = verdict(write(*whole(**{kind: {"subject": Subject(**fields)}})))
        assert found.decision == "HOLD"
        assert f"does not state its {field}" in found.problems[0]


def test_tests_and_audit_need_no_image(write: Write) -> None:
    source = Subject("rev-a", "", "cfg-a")
    path = write(*whole(tests={"subject": source}), ("audit", "dockerfile", {"subject": source}))
    found = verdict(path)
    assert (found.decision, found.subject) == ("GO", SUBJECT)


@pytest.mark.parametrize("field", ["revision", "image", "config"])
@pytest.mark.parametrize("kind", ["tests", "load", "chaos"])
def test_evidence_about_two_subjects_holds_and_proves_nothing(write: Write, field: str, kind: str) -> None:
    fields = {"revision": "rev-a", "image": "agent@sha256:aa", "config": "cfg-a", field: "other"}
    path = write(*whole(**{kind: {"subject": Subject(**fields), "findings": [FAIL]}}))
    found = verdict(path)
    assert found.decision == "HOLD"
    assert any(f" is about {field} " in problem and '"other"' in problem for problem in found.problems)


def test_a_configuration_asks_for_its_own_subject(write: Write, tmp_path: Path) -> None:
    path = write(*whole(tests={"findings": [FAIL]}))
    asked = Config(path=tmp_path / "prodtest.toml", subject=Subject("rev-b", "agent@sha256:aa", "cfg-a"))
    found = verdict(path, config=asked)
    assert (found.decision, found.subject.revision) == ("HOLD", "rev-b")
    assert f'{path / "load-chat.json"} is about revision "rev-a", asked for is "rev-b"' in found.problems
    same = Config(path=tmp_path / "prodtest.toml", subject=SUBJECT)
    assert verdict(write(*whole()), config=same).decision == "GO"


def test_an_image_is_asked_for_without_a_configuration_too(write: Write) -> None:
    path = write(*whole())
    assert verdict(path, config=Config(subject=Subject("x", "", "y"))).decision == "GO"
    assert verdict(path, config=Config(subject=Subject("x", "other", "y"))).decision == "HOLD"


def test_a_failure_about_the_right_subject_counts_beside_foreign_evidence(write: Write) -> None:
    foreign = {"subject": Subject("rev-a", "agent@sha256:bb", "cfg-a")}
    path = write(*whole(load=foreign, chaos={"findings": [FAIL]}))
    assert verdict(path, config=Config(subject=SUBJECT)).decision == "NO-GO"
    assert verdict(path).decision == "HOLD"


def test_damaged_evidence_holds_and_its_failures_prove_nothing(write: Write) -> None:
    path = write(*whole(tests={"findings": [FAIL]}))
    (path / "load-chat.json").unlink()
    found = verdict(path)
    assert found.decision == "HOLD"
    assert f"{path / 'load-chat.json'} is listed in the manifest but missing" in found.problems


def test_the_newest_of_several_runs_counts_and_the_older_is_named(write: Write) -> None:
    older = write(("tests", "pytest", {"finished": NOW - 100, "findings": [FAIL]}))
    newer = write(*whole())
    for order in ((older, newer), (newer, older)):
        found = verdict(*order)
        assert (found.decision, len(found.findings)) == ("GO", 3)
        replaced, by = older / "tests-pytest.json", newer / "tests-pytest.json"
        assert found.notes == [f"{replaced} (FAILED tests.failed) is replaced by {by}"]


def test_a_newer_failure_replaces_an_older_pass(write: Write) -> None:
    found = verdict(write(*whole()), write(("tests", "pytest", {"finished": NOW - 1, "findings": [FAIL]})))
    assert found.decision == "NO-GO"
    assert "(nothing failed) is replaced by" in found.notes[0]


def test_runs_of_the_same_moment_all_count(write: Write) -> None:
    found = verdict(write(*whole()), write(("tests", "pytest", {"findings": [FAIL]})))
    assert (found.decision, found.notes) == ("NO-GO", [])


def test_a_damaged_newer_run_does_not_hide_an_older_failure(write: Write) -> None:
    older = write(("tests", "pytest", {"findings": [FAIL]}))
    newer = write(*whole(tests={"finished": NOW - 1}))
    (newer / "manifest.json").unlink()
    assert verdict(older, newer).decision == "NO-GO"


def test_a_folder_named_twice_is_read_once(write: Write) -> None:
    path = write(*whole())
    assert len(verdict(path, path).findings) == 3


SHARE = measured("chat.success", ">= 98%", value=0.5, n=300, n_eff=300.0, good=150)
FEW = measured("chat.success", ">= 98%", value=1.0, n=10, n_eff=10.0, good=10)
SLOW = Measurement(metric="chat.ttft.p95", value=0.1, n=300, n_eff=300.0, good=300)
NAMELESS = Measurement(metric="no.such", value=1.0, n=300, n_eff=300.0)
ENOUGH = measured("chat.success", ">= 98%", value=1.0, n=300, n_eff=300.0, good=300)


@pytest.mark.parametrize(
    ("limit", "numbers", "says", "proven"),
    [
        (*SHARE, "pass", "fail"),
        (*SHARE, "unknown", "fail"),
        (*SHARE, "not_applicable", "fail"),
        (*FEW, "pass", "unknown"),
        (*FEW, "not_applicable", "unknown"),
        (ENOUGH[0], None, "pass", "unknown"),
        (*measured("recovery.rto", "<= 5s", value=None, n=1, n_eff=1.0), "pass", "fail"),
        (ENOUGH[0], SLOW, "pass", "unknown"),
        (Limit("no.such", ">=", 0.5), NAMELESS, "pass", "unknown"),
        (Limit("chat.success", ">=", 0.9, confidence=7.0), ENOUGH[1], "pass", "unknown"),
        (Limit("chat.success", ">=", 0.9, confidence=1.0), ENOUGH[1], "pass", "unknown"),
        (Limit("chat.success", ">=", 7.0), ENOUGH[1], "pass", "fail"),
    ],
)  # fmt: skip
def test_a_finding_that_says_more_than_its_numbers_holds(
    write: Write, limit: Limit, numbers: Measurement | None, says: Any, proven: str
) -> None:
    lie = Finding(check="the.check", outcome=says, limit=limit, measurement=numbers)
    found = verdict(write(*whole(load={"findings": [PASS, lie]})))
    assert found.decision == "HOLD"
    assert found.problems[0].endswith(f"load-chat.json: the.check says {says}, its numbers say {proven}")


def test_a_finding_that_says_less_than_its_numbers_stands(write: Write) -> None:
    careful = Finding(check="x", outcome="fail", limit=ENOUGH[0], measurement=ENOUGH[1])
    found = verdict(write(*whole(load={"findings": [careful]})))
    assert (found.decision, found.problems) == ("NO-GO", [])


def test_a_true_finding_is_confirmed(write: Write) -> None:
    found = verdict(write(*whole(load={"findings": [judge(*ENOUGH)]})))
    assert (found.decision, found.problems) == ("GO", [])
