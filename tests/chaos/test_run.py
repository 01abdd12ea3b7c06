"""One function runs an experiment: whatever happens, faults are undone and nothing unproven passes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from langchain_prodtest import checks
from langchain_prodtest.chaos.experiment import Experiment, FaultSpec, read_experiment
from langchain_prodtest.chaos.run import Injected, LoadRun, run_experiment
from langchain_prodtest.errors import ToxiproxyError, UsageError
from langchain_prodtest.evidence import Evidence, Run, Subject
from langchain_prodtest.measure import Sample, now
from langchain_prodtest.outcome import Outcome
from langchain_prodtest.record import Exit
from langchain_prodtest.script import Call

TEXT = """
title = "Outage"
steady_for = "200ms"
control_for = "200ms"
recover_for = "100ms"
[load]
rate = 300
deadline = "1s"
[steady]
"chat.success" = ">= 90%"
[[fault]]
for = "300ms"
provider = "openai"
status = 503
[[fault]]
at = "100ms"
for = "300ms"
proxy = "openai"
down = true
[expect]
"stream.masked_failure" = "== 0"
"""


class Load:
    """Answers at 300 a second; `bad` tells the outcome while a fault is there and while none is."""

    def __init__(self, rig: "World") -> None:
        self.rig, self.began, self.dies_after = rig, now(), rig.load_dies_after

    def samples(self) -> list[Sample]:
        times = [self.began + i / 300 for i in range(int((now() - self.began) * 300))]
        return [
            Sample(
                nonce="n", scenario="chat", intended=t, sent=t, ended=t + 0.001 + self.rig.edge,
                outcome=self.rig.sick if self.rig.had_fault(t + self.rig.edge) else self.rig.well,
            )
            for t in times
        ]  # fmt: skip

    def alive(self) -> bool:
        return self.dies_after is None or now() - self.began < self.dies_after

    def finish(self, seconds: float) -> None:
        time.sleep(0.1)


class World:
    """A rig in memory that keeps a log of what was done to it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.spans: list[SimpleNamespace] = []
        self.sick = self.well = Outcome.OK
        self.edge = 0.0  # seconds that a request takes before the provider is asked
        self.load_dies_after: float | None = None
        self.on_remove: Exception | None = None
        self.on_inject: BaseException | None = None

    def had_fault(self, at: float) -> bool:
        return any(s.effective <= at < (s.gone or now() + 1) for s in self.spans)

    @contextmanager
    def start_load(self, experiment: Experiment) -> Iterator[LoadRun]:
        self.log.append("load on")
        try:
            yield Load(self)
        finally:
            self.log.append("load off")

    @contextmanager
    def inject(self, fault: FaultSpec) -> Iterator[Injected]:
        if self.on_inject and fault.what == "down":
            raise self.on_inject
        span = SimpleNamespace(effective=now(), gone=0.0)
        self.spans.append(span)
        self.log.append(f"{fault.what} on")
        try:
            yield span
        finally:
            span.gone = now()
            self.log.append(f"{fault.what} off")
            if self.on_remove:
                raise self.on_remove

    def calls(self) -> list[Call]:
        return []

    def exits(self) -> list[Exit]:
        return []


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    path = tmp_path / "outage.toml"
    path.write_text(TEXT, "utf-8")
    return read_experiment(path)


def run(experiment: Experiment, world: World, folder: Path, said: list[str] | None = None) -> Evidence:
    tell = (said if said is not None else []).append
    return run_experiment(experiment, world, checks, Run(folder / "run"), Subject(image="i"), tell)


def test_a_healthy_service_passes(experiment: Experiment, tmp_path: Path) -> None:
    """Phases come in order, overlapping faults end in their own time, and the evidence is written."""
    world, said = World(), list[str]()
    evidence = run(experiment, world, tmp_path, said)
    assert [f.outcome for f in evidence.findings] == ["pass"]
    assert evidence.complete
    assert said == ["steady ✓", "control ✓", "503 ✓", "down ✓", "recovery ✓"]
    assert world.log == ["load on", "503 on", "down on", "503 off", "down off", "load off"]
    written = msgspec.json.decode((tmp_path / "run/chaos-outage.json").read_bytes(), type=Evidence)
    assert written == evidence
    assert all((tmp_path / "run" / file).is_file() for file in evidence.series)


def test_a_masked_failure_fails(experiment: Experiment, tmp_path: Path) -> None:
    world = World()
    world.sick = Outcome.SOFT_FAILURE
    (finding,) = run(experiment, world, tmp_path).findings
    assert finding.outcome == "fail"
    assert "Raise, do not answer" in finding.remedy


def test_without_a_steady_state_no_fault_is_injected(experiment: Experiment, tmp_path: Path) -> None:
    """A service that is sick already proves nothing about faults."""
    world = World()
    world.well = Outcome.HTTP_ERROR
    evidence = run(experiment, world, tmp_path)
    assert world.log == ["load on", "load off"]
    assert not evidence.complete
    assert [f.outcome for f in evidence.findings] == ["unknown"]
    assert "steady state did not hold" in evidence.findings[0].detail


def test_a_slow_start_gets_a_little_more_time(experiment: Experiment, tmp_path: Path) -> None:
    """Too few requests so far is not a broken steady state; a few seconds later there are enough."""
    few = msgspec.structs.replace(experiment, steady_for=0.02)
    assert run(few, World(), tmp_path).complete


def test_what_fails_without_the_fault_too_is_not_blamed_on_it(experiment: Experiment, tmp_path: Path) -> None:
    world = World()
    world.sick = Outcome.SOFT_FAILURE
    lax = msgspec.structs.replace(experiment, steady=(), control_for=0.5)
    world.well = Outcome.SOFT_FAILURE
    (finding,) = run(lax, world, tmp_path).findings
    assert finding.outcome == "unknown"
    assert "control run" in finding.detail


def test_a_request_on_the_edge_is_no_control(experiment: Experiment, tmp_path: Path) -> None:
    """Sent in the control run and hit by the fault: it must not clear the fault of its guilt."""
    world = World()
    world.sick, world.edge = Outcome.SOFT_FAILURE, 0.05
    (finding,) = run(experiment, world, tmp_path).findings
    assert finding.outcome == "fail"


def test_an_unverified_rollback_is_never_a_pass(experiment: Experiment, tmp_path: Path) -> None:
    world = World()
    world.on_remove = ToxiproxyError("rollback not verified")
    evidence = run(experiment, world, tmp_path)
    assert not evidence.complete
    assert [f.outcome for f in evidence.findings] == ["unknown"]
    assert world.log[-1] == "load off"


def test_an_interrupt_undoes_everything_and_goes_on_up(experiment: Experiment, tmp_path: Path) -> None:
    """Ctrl-C: the open fault is removed, incomplete evidence is written, nothing passes."""
    world = World()
    world.on_inject = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(experiment, world, tmp_path)
    assert world.log == ["load on", "503 on", "503 off", "load off"]
    evidence = msgspec.json.decode((tmp_path / "run/chaos-outage.json").read_bytes(), type=Evidence)
    assert not evidence.complete
    assert [f.outcome for f in evidence.findings] == ["unknown"]


def test_an_experiment_that_does_not_fit_the_rig_leaves_no_evidence(
    experiment: Experiment, tmp_path: Path
) -> None:
    """An unknown proxy is a mistake in the file, not a result."""
    world = World()
    world.on_inject = UsageError('unknown proxy "openai"')
    with pytest.raises(UsageError):
        run(experiment, world, tmp_path)
    assert not (tmp_path / "run" / "chaos-outage.json").exists()


def test_load_that_ends_early_stops_the_experiment(experiment: Experiment, tmp_path: Path) -> None:
    world = World()
    world.load_dies_after = 0.5
    evidence = run(experiment, world, tmp_path)
    assert not evidence.complete
    assert "the load ended before the experiment did" in evidence.findings[0].detail


def test_a_metric_nothing_can_measure_is_unknown(experiment: Experiment, tmp_path: Path) -> None:
    """The text says what the experiment would need."""
    from langchain_prodtest.limit import parse_limits

    asks = msgspec.structs.replace(experiment, expect=parse_limits({"drain.sigterm": "== 0"}))
    (finding,) = run(asks, World(), tmp_path).findings
    assert finding.outcome == "unknown"
    assert 'signal = "SIGTERM"' in finding.detail
