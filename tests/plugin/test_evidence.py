"""`--prodtest-evidence` writes what the tests found into a run folder; nothing is written unasked."""

from collections.abc import Callable
from pathlib import Path

import pytest

from langchain_prodtest.evidence import Evidence, read_run
from langchain_prodtest.limit import Finding

Run = Callable[..., pytest.RunResult]


MIXED = """
    import socket
    import pytest

    def test_passes():
        pass

    def test_fails():
        assert 1 == 2, "one is not two"

    def test_skips():
        pytest.skip("not today")

    @pytest.mark.xfail
    def test_xfails():
        assert False

    def test_leaves():
        try:
            socket.getaddrinfo("api.invalid", 443)
        except OSError:
            pass
"""


def evidence_in(folder: Path) -> tuple[Evidence, list[str]]:
    (evidence,), problems = read_run(folder)
    return evidence, problems


def found(evidence: Evidence, check: str) -> list[Finding]:
    return [finding for finding in evidence.findings if finding.check == check]


def test_counts_failures_and_egress_are_findings_and_the_folder_is_sealed(
    pytester: pytest.Pytester, run_both: Run
) -> None:
    pytester.makepyfile(test_mixed=MIXED)
    run_both("-p", "langchain_prodtest", "--prodtest-evidence", "out")
    evidence, problems = evidence_in(pytester.path / "out")
    assert problems == []
    assert (evidence.id, evidence.complete) == ("tests/pytest", True)
    assert evidence.finished >= evidence.started > 0
    assert [(f.outcome, f.detail) for f in found(evidence, "tests.passed")] == [
        ("fail", "1 failed, 1 error, 1 passed, 1 xfailed, 1 skipped")
    ]
    assert {(f.where, f.detail) for f in found(evidence, "tests.failed")} == {
        ("test_mixed.py::test_fails", "AssertionError: one is not two"),
        ("test_mixed.py::test_leaves", "A network call tried to leave the test: api.invalid:443"),
    }
    (egress,) = found(evidence, "network.egress")
    assert (egress.outcome, egress.where) == ("fail", "test_mixed.py::test_leaves")
    assert "allow_hosts" in egress.remedy


def test_all_passed_is_a_pass_and_the_revision_is_that_of_the_environment(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRODTEST_REVISION", "abc123")
    pytester.makepyfile("def test_passes(): pass")
    run("--prodtest-evidence", "out")
    evidence, _ = evidence_in(pytester.path / "out")
    assert [(f.check, f.outcome, f.detail) for f in evidence.findings] == [
        ("tests.passed", "pass", "1 passed")
    ]
    assert evidence.subject.revision == "abc123"


def test_a_run_in_which_nothing_ran_is_unknown(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile("import pytest\ndef test_skips(): pytest.skip('no')")
    run("--prodtest-evidence", "out")
    evidence, _ = evidence_in(pytester.path / "out")
    assert [(f.outcome, f.detail) for f in evidence.findings] == [("unknown", "1 skipped")]


def test_a_file_that_cannot_be_collected_is_a_failure_and_the_run_incomplete(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(test_broken="import nothing_of_that_name", test_fine="def test_a(): pass")
    run("--prodtest-evidence", "out")
    evidence, _ = evidence_in(pytester.path / "out")
    assert not evidence.complete
    assert found(evidence, "tests.failed")[0].where == "test_broken.py"


def test_a_run_that_was_stopped_is_incomplete(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile("def test_a(): raise KeyboardInterrupt\ndef test_b(): pass")
    run("--prodtest-evidence", "out")
    assert not evidence_in(pytester.path / "out")[0].complete


def test_a_lost_xdist_worker_makes_the_run_incomplete(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile("import os\ndef test_a(): os._exit(3)\ndef test_b(): pass")
    run("-n", "1", "--prodtest-evidence", "out")
    evidence, _ = evidence_in(pytester.path / "out")
    assert not evidence.complete
    assert found(evidence, "tests.passed")[0].outcome == "fail"


def test_an_attempt_outside_of_tests_is_a_finding(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import socket
        try:
            socket.getaddrinfo("at-import.invalid", 80)
        except OSError:
            pass

        def test_a():
            pass
        """
    )
    run("-p", "langchain_prodtest", "--prodtest-evidence", "out")
    egress = found(evidence_in(pytester.path / "out")[0], "network.egress")
    assert {(f.outcome, f.where) for f in egress} == {("fail", "")}


def test_a_folder_given_by_the_environment_is_left_for_its_giver_to_seal(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRODTEST_RUN", str(pytester.path / "given"))
    pytester.makepyfile("def test_a(): pass")
    run()
    assert [path.name for path in (pytester.path / "given").iterdir()] == ["tests-pytest.json"]


def test_nothing_is_written_unasked(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile("def test_a(): pass")
    run("-p", "langchain_prodtest", "-p", "no:cacheprovider")
    assert not [path for path in pytester.path.rglob("*.json") if ".pytest_cache" not in path.parts]


def test_a_wrong_configuration_stops_the_run_before_the_first_test(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile("def test_a(): pass")
    (pytester.path / "prodtest.toml").write_text("[targit]\n")
    result = run("--rootdir", str(pytester.path), "--prodtest-evidence", "out")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(['*unknown key "targit". Did you mean "target"?*'])


def test_a_closed_network_that_nobody_tried_to_leave_is_a_finding_that_passes(
    pytester: pytest.Pytester, run_both: Run
) -> None:
    pytester.makepyfile("def test_one(): pass\ndef test_two(): pass")
    run_both("-p", "langchain_prodtest", "--prodtest-evidence", "out")
    (finding,) = found(evidence_in(pytester.path / "out")[0], "network.egress")
    assert (finding.outcome, finding.detail) == ("pass", "nothing tried to leave in 2 tests")


def test_a_network_that_was_opened_is_unknown_and_one_that_was_never_closed_no_finding(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.enable_socket\ndef test_one(): pass")
    run("-p", "langchain_prodtest", "--prodtest-evidence", "opened")
    (finding,) = found(evidence_in(pytester.path / "opened")[0], "network.egress")
    assert (finding.outcome, finding.detail) == ("unknown", "1 tests opened the network")
    run("--prodtest-evidence", "inert")
    assert found(evidence_in(pytester.path / "inert")[0], "network.egress") == []
