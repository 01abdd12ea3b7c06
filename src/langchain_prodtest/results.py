"""A pytest run as Evidence: what passed, what failed, what tried to leave."""

import os
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from langchain_prodtest.config import find_config, load_config
from langchain_prodtest.errors import UsageError
from langchain_prodtest.evidence import Evidence, Run
from langchain_prodtest.limit import Finding
from langchain_prodtest.measure import now

__all__ = ["Recorder", "recorder_for"]

# A test has up to three reports; the worst counts.
_RANK = ("skipped", "xfailed", "xpassed", "passed", "error", "failed")
_BAD = ("error", "failed")
_ENDED = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)


def recorder_for(config: pytest.Config, folder: str, refused: list[str], closed: bool) -> "Recorder":
    """Return the plugin that records this run; a mistake in the configuration shows before the first test.

    `refused` is filled until the end with what tried to leave outside of tests; `closed` tells whether the
    network is closed for the whole run.
    """
    try:
        subject = load_config(find_config(config.rootpath)).subject
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    return Recorder(
        Path(folder),
        refused,
        Evidence(
            kind="tests",
            name="pytest",
            subject=subject,
            started=now(),
            finished=0.0,
            complete=False,
            findings=[],
            tool=f"pytest {pytest.__version__}",
        ),
        # Who gives the folder by PRODTEST_RUN writes more into it, and seals it.
        seals="PRODTEST_RUN" not in os.environ,
        closed=closed,
    )


class Recorder:
    """Collects reports, on the xdist controller those of all workers, and writes one Evidence at the end."""

    def __init__(
        self, folder: Path, refused: list[str], evidence: Evidence, seals: bool, closed: bool
    ) -> None:
        self.folder, self.refused, self.evidence = folder, refused, evidence
        self.seals, self.closed = seals, closed
        self.outcomes: dict[str, str] = {}
        self.failures: dict[str, str] = {}
        self.egress: list[Finding] = []
        self.workers_lost = self.opened = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test by the worst of its reports."""
        self._count(report.nodeid, _outcome(report), report)
        self.opened += getattr(report, "prodtest_opened", False)
        self.egress += [_egress(text, report.nodeid) for text in getattr(report, "prodtest_egress", ())]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Count a file that could not be collected as an error."""
        if report.failed:
            self._count(report.nodeid, "error", report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object, error: object) -> None:
        """Note an xdist worker that was lost: its tests may be missing."""
        self.workers_lost += error is not None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the evidence, and seal the folder unless someone else does."""
        stopped = session.shouldstop or session.shouldfail or self.workers_lost
        run = Run(self.folder)
        run.write(
            msgspec.structs.replace(
                self.evidence,
                finished=now(),
                complete=session.exitstatus in _ENDED and not stopped,
                findings=self.findings(),
            )
        )
        if self.seals:
            run.seal()

    def findings(self) -> list[Finding]:
        """Return one finding on all tests, one for each that failed, and those on the network."""
        counts = Counter(self.outcomes.values())
        bad = any(counts[outcome] for outcome in _BAD)
        shown = [f"{counts[outcome]} {outcome}" for outcome in reversed(_RANK) if counts[outcome]]
        passed = Finding(
            check="tests.passed",
            outcome="fail" if bad else "pass" if counts["passed"] else "unknown",
            detail=", ".join(shown) or "no test ran",
            remedy="" if bad or counts["passed"] else "Run at least one test that is not skipped.",
        )
        failed = [
            Finding(check="tests.failed", outcome="fail", where=test, detail=text)
            for test, text in self.failures.items()
        ]
        egress = [*self.egress, *(_egress(text, "") for text in self.refused)]
        return [passed, *failed, *(egress or self._no_egress())]

    def _no_egress(self) -> list[Finding]:
        """Say that nothing tried to leave, where the network was closed for all tests."""
        if not self.closed:
            return []
        if self.opened:
            return [
                Finding(
                    check="network.egress",
                    outcome="unknown",
                    detail=f"{self.opened} tests opened the network",
                    remedy="Allow hosts instead: @pytest.mark.prodtest(allow_hosts=[...]).",
                )
            ]
        told = f"nothing tried to leave in {len(self.outcomes)} tests"
        return [Finding(check="network.egress", outcome="pass", detail=told)]

    def _count(self, test: str, outcome: str, report: pytest.TestReport | pytest.CollectReport) -> None:
        known = self.outcomes.get(test, _RANK[0])
        self.outcomes[test] = max(known, outcome, key=_RANK.index)
        if outcome in _BAD:
            crash = getattr(report.longrepr, "reprcrash", None)
            text = crash.message if crash else report.longreprtext
            self.failures.setdefault(test, text.strip().split("\n")[0].removeprefix("Failed: ") or outcome)


def _outcome(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.failed:
        return "failed" if report.when == "call" else "error"
    return "passed" if report.passed and report.when == "call" else "skipped"


def _egress(text: str, where: str) -> Finding:
    first, *_, last = text.splitlines()
    return Finding(check="network.egress", outcome="fail", where=where, detail=first, remedy=last)
