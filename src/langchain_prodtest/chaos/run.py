"""Run one experiment: steady state, control run, faults, recovery; then undo, verify and judge."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol

from langchain_prodtest.chaos.experiment import Experiment, FaultSpec
from langchain_prodtest.errors import ExperimentError, ProdtestError, UsageError
from langchain_prodtest.evidence import Evidence, Run, Subject
from langchain_prodtest.limit import Finding, Limit, judge
from langchain_prodtest.measure import Measurement, Sample, measure_samples, now
from langchain_prodtest.record import Exit, Record, Window
from langchain_prodtest.script import Call

__all__ = ["ENDS", "SLACK", "Checks", "Injected", "LoadRun", "Rig", "run_experiment"]


class Injected(Protocol):
    """A fault; times are Unix seconds at which it took effect and was gone, not a number before that."""

    effective: float
    gone: float


class LoadRun(Protocol):
    """Load that is running in a process of its own."""

    def samples(self) -> list[Sample]:
        """Return what has finished so far."""

    def alive(self) -> bool:
        """Tell whether it still offers or waits for requests."""

    def finish(self, seconds: float) -> None:
        """Wait for its end, stop it after `seconds`."""


class Rig(Protocol):
    """What an experiment needs of the world; the rig module has it."""

    def start_load(self, experiment: Experiment) -> AbstractContextManager[LoadRun]:
        """Offer the experiment's load to the service."""

    def inject(self, fault: FaultSpec) -> AbstractContextManager[Injected]:
        """Put a fault in place; leaving the block removes it and verifies that."""

    def calls(self) -> list[Call]:
        """Return what the fake providers were asked since the load started."""

    def exits(self) -> list[Exit]:
        """Return how the service's process ended after each signal."""


class Checks(Protocol):
    """How metrics are measured; the checks package has it."""

    def measure(self, record: Record, limit: Limit) -> Measurement | None:
        """Measure what `limit` is about."""

    def needs(self, metric: str) -> str:
        """Say what would make `metric` measurable."""


ORDER = ("fail", "unknown", "pass")
ASSUMED = Finding(check="", outcome="pass")
Progress = Callable[[str], None]
SLACK = 4.0
"""Seconds that the steady state may take longer, where too few requests have finished to tell."""
ENDS = ("recovery ✓", "stopped ✗")
"""The last thing that `progress` is told of an experiment."""


def run_experiment(
    experiment: Experiment, rig: Rig, checks: Checks, run: Run, subject: Subject, progress: Progress
) -> Evidence:
    """Run the experiment and write its evidence into `run`, also when it was interrupted or failed.

    Interrupted or with a rollback that could not be verified, the evidence is incomplete and holds no pass.
    """
    started, faults, trouble, interrupted = now(), [], "", None
    samples: list[Sample] = []
    control: Window | None = None
    try:
        with rig.start_load(experiment) as load:
            try:
                control = _hold_steady(experiment, load, progress)
                faults = _inject_all(experiment, rig, load, progress)
                load.finish(experiment.recover_for + SLACK + experiment.load.patience + 10)
                progress(ENDS[0])
            finally:
                samples = load.samples()
    except UsageError:
        raise  # the experiment does not fit this rig; nothing was done, so there is nothing to write
    except ProdtestError as error:
        trouble = str(error)
        progress(ENDS[1])
    except BaseException as error:
        trouble, interrupted = f"interrupted ({type(error).__name__})", error
    record = Record(
        samples=samples,
        calls=rig.calls(),
        faults=faults,
        steady=experiment.steady,
        exits=rig.exits(),
        finished=max((s.intended for s in samples), default=0.0),
    )
    evidence = Evidence(
        kind="chaos",
        name=experiment.name,
        subject=subject,
        started=started,
        finished=now(),
        complete=not trouble,
        findings=_judge(experiment, checks, record, control, trouble),
        series=[
            run.write_series(f"chaos-{experiment.name}-samples", record.samples),
            run.write_series(f"chaos-{experiment.name}-calls", record.calls),
        ],
    )
    run.write(evidence)
    if interrupted:
        raise interrupted
    return evidence


def _hold_steady(experiment: Experiment, load: LoadRun, progress: Progress) -> Window | None:
    """Wait for the steady state and the control run; ExperimentError where it does not hold."""
    _wait(experiment.steady_for, load)
    give_up = time.monotonic() + SLACK
    while (finding := _least_steady(experiment, load)).outcome != "pass":
        if finding.outcome == "fail" or time.monotonic() > give_up:
            raise ExperimentError(
                f"the steady state did not hold before the first fault: {finding.check}: "
                f"{finding.outcome}, {finding.detail}. No fault was injected."
            )
        _wait(0.2, load)
    progress("steady ✓")
    if not experiment.control_for:
        return None
    begin = now()
    _wait(experiment.control_for, load)
    progress("control ✓")
    return Window(what="control", seam="provider", start=begin, end=now())


def _least_steady(experiment: Experiment, load: LoadRun) -> Finding:
    """Judge the steady limits by all samples so far, and return the finding that is furthest from a pass."""
    samples = load.samples()
    findings = [
        judge(
            limit, measure_samples(samples, limit.metric, limit.value, limit.confidence), "nothing finished"
        )
        for limit in experiment.steady
    ]
    return min(findings, key=lambda finding: ORDER.index(finding.outcome), default=ASSUMED)


def _inject_all(experiment: Experiment, rig: Rig, load: LoadRun, progress: Progress) -> list[Window]:
    """Put each fault in place at its time and remove it at its end; faults may overlap."""
    begin = time.monotonic()
    steps = sorted(
        [(fault.start, 1, i) for i, fault in enumerate(experiment.faults)]
        + [(fault.start + fault.seconds, 0, i) for i, fault in enumerate(experiment.faults)]
    )
    windows: list[Window] = []
    open_faults: dict[int, tuple[ExitStack, Injected]] = {}
    with ExitStack() as everything:
        for at, starts, i in steps:
            _wait(begin + at - time.monotonic(), load)
            fault = experiment.faults[i]
            if starts:
                stack = everything.enter_context(ExitStack())
                open_faults[i] = stack, stack.enter_context(rig.inject(fault))
                continue
            stack, injected = open_faults.pop(i)
            stack.close()
            windows.append(
                Window(what=fault.what, seam=fault.seam, start=injected.effective, end=injected.gone)
            )
            progress(f"{fault.what} ✓")
    return windows


def _wait(seconds: float, load: LoadRun) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if not load.alive():
            raise ExperimentError("the load ended before the experiment did; its output says why")
        time.sleep(min(left, 0.1))


def _judge(
    experiment: Experiment, checks: Checks, record: Record, control: Window | None, trouble: str
) -> list[Finding]:
    findings = []
    for limit in experiment.expect:
        if trouble and not record.faults:
            finding = judge(limit, None, trouble)
        else:
            finding = judge(
                limit, checks.measure(record, limit), f"not measured; it needs {checks.needs(limit.metric)}"
            )
        if trouble and finding.outcome == "pass":
            finding = _unknown(finding, trouble)
        if finding.outcome == "fail" and control and _fails_without_fault(limit, checks, record, control):
            finding = _unknown(finding, "fails in the control run too: the fault is not the cause")
        findings.append(finding)
    return findings


def _fails_without_fault(limit: Limit, checks: Checks, record: Record, control: Window) -> bool:
    """Judge the control run as if it were a fault, by what was over before the first fault came."""
    calm = Record(
        samples=[s for s in record.samples if s.ended is not None and s.ended <= control.end],
        calls=[c for c in record.calls if c.ended <= control.end],
        faults=[control],
        steady=record.steady,
    )
    return judge(limit, checks.measure(calm, limit)).outcome == "fail"


def _unknown(finding: Finding, why: str) -> Finding:
    return Finding(
        check=finding.check,
        outcome="unknown",
        measurement=finding.measurement,
        limit=finding.limit,
        detail=why,
        remedy="run the experiment again",
    )
