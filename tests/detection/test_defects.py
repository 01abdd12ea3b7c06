"""The detection matrix: each planted defect is caught by its check, and nothing else cries wolf.

The healthy service passes every experiment on every Toxiproxy there is, and the load.
"""

import shutil
from pathlib import Path

import msgspec
import pytest

from langchain_prodtest.chaos.experiment import read_experiment
from langchain_prodtest.demo.defects import DEFECTS, Defect
from langchain_prodtest.demo.run import demo_config
from langchain_prodtest.evidence import Evidence, Run
from langchain_prodtest.limit import Finding
from langchain_prodtest.rig.bundled import bundled
from langchain_prodtest.rig.experiments import run_experiments
from langchain_prodtest.rig.load import judged
from langchain_prodtest.rig.rig import Rig

EXPERIMENTS = [read_experiment(path) for path in sorted(bundled("chaos").glob("*.toml"))]
HEALTHY = [(experiment.name, "embedded") for experiment in EXPERIMENTS]
HEALTHY += [(e.name, "real") for e in EXPERIMENTS if any(fault.proxy for fault in e.faults)]


def observe(where: str, folder: Path) -> Evidence:
    """Run an experiment, or the load, against the reference service and return its evidence."""
    config, _ = demo_config(folder)
    if where != "load":
        experiment = read_experiment(bundled("chaos") / f"{where}.toml")
        (evidence,) = run_experiments([experiment], config, folder / "runs", None, lambda _: None)[1]
        return evidence
    run = Run.create(folder / "runs")
    with Rig(config, run, None, lambda *_: None) as rig:
        judged(rig.url, config, run.path, lambda _: None)
    return msgspec.json.decode((run.path / "load-chat.json").read_bytes(), type=Evidence)


def explain(findings: list[Finding]) -> str:
    return "\n".join(
        f"{f.check}: {f.outcome} {f.measurement and f.measurement.value} {f.detail}" for f in findings
    )


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_is_caught_by_its_check_alone(
    defect: Defect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its check fails, with a remedy; any other failing check is one that the defect declares."""
    monkeypatch.setenv("DEMO_DEFECT", defect.name)
    findings = observe(defect.experiment, tmp_path).findings
    failed = {finding.check for finding in findings if finding.outcome == "fail"}
    assert set(defect.caught_by) <= failed, explain(findings)
    assert failed <= set(defect.caught_by) | set(defect.may_also), explain(findings)
    assert all(finding.remedy for finding in findings if finding.outcome == "fail")


@pytest.mark.parametrize(("experiment", "toxiproxy"), HEALTHY)
def test_the_healthy_service_passes(
    experiment: str, toxiproxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the embedded Toxiproxy and, where a proxy is faulted, on the real one."""
    monkeypatch.delenv("TOXIPROXY_URL", raising=False)
    if toxiproxy == "embedded":
        monkeypatch.setenv("PATH", path_without("toxiproxy-server"))
    elif shutil.which("toxiproxy-server") is None:
        pytest.skip("no toxiproxy-server on PATH; `make toxiproxy` builds it")
    evidence = observe(experiment, tmp_path)
    assert evidence.complete
    assert {finding.outcome for finding in evidence.findings} == {"pass"}, explain(evidence.findings)


def test_the_healthy_service_passes_the_load(tmp_path: Path) -> None:
    evidence = observe("load", tmp_path)
    assert {finding.outcome for finding in evidence.findings} == {"pass"}, explain(evidence.findings)


def path_without(program: str) -> str:
    import os

    folders = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if not (Path(folder) / program).exists())
