"""`prodtest demo`: all four proofs against the reference service, and a verdict."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from langchain_prodtest import checks
from langchain_prodtest.audit import audit
from langchain_prodtest.chaos.experiment import Experiment, read_experiment
from langchain_prodtest.chaos.run import run_experiment
from langchain_prodtest.config import Config, load_config
from langchain_prodtest.demo.stages import Stage, Stages
from langchain_prodtest.errors import ExperimentError
from langchain_prodtest.evidence import Run, Subject
from langchain_prodtest.gate.judge import Verdict, decide
from langchain_prodtest.measure import now
from langchain_prodtest.rig.rig import Rig
from langchain_prodtest.rig.bundled import bundled
from langchain_prodtest.rig.load import judged

__all__ = ["demo_config", "run_demo"]

HERE = Path(__file__).parent
# Two rigs work side by side, each an experiment at a time, so that the demo takes half as long.
LANES = (("provider-outage",), ("black-hole", "cut-streams", "sigterm"))


def run_demo(root: Path, toxiproxy: str | None, stages: Stages) -> tuple[Verdict, Run]:
    """Run tests, load, chaos and audit on the reference service and decide; evidence lies under `root`."""
    run = Run.create(root)
    config, file = demo_config(run.path)
    with _environment(config, file, run):
        with Rig(config, run, toxiproxy, _reporter(stages)) as rig:
            with stages.stage("tests") as stage:
                _tests(stage)
            with stages.stage("load") as stage:
                judged(rig.url, config.load.scenario, run.path, file, stage.say)
            _chaos(rig, config, run, toxiproxy, stages)
        with stages.stage("audit") as stage:
            stage.say("Dockerfile  1 rule")
            run.write(audit([HERE / "Dockerfile"], config.subject))
    run.seal()
    return decide([run.path], config, now()), run


def demo_config(folder: Path) -> tuple[Config, Path]:
    """Write the demo's configuration into `folder`, its subject filled in, and return it with its path."""
    text = (HERE / "prodtest.toml").read_text("utf-8")
    digest = _digest(HERE, os.environ.get("DEMO_DEFECT", ""))
    path = folder / "prodtest.toml"
    subject = f'\n[subject]\nrevision = "demo-{digest[:12]}"\nimage    = "demo@sha256:{digest}"\n'
    path.write_text(text + subject, "utf-8")
    return load_config(path), path


def _digest(folder: Path, defect: str) -> str:
    """Return what stands in for an image digest: the hash of the service's sources and the planted defect."""
    digest = hashlib.sha256(defect.encode())
    for file in sorted(folder.rglob("*.py")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def _tests(stage: Stage) -> None:
    """Run the example tests with the plugin, in a process of their own; their evidence is what counts."""
    folder = bundled("examples")
    command = [
        sys.executable, "-m", "pytest", "-p", "langchain_prodtest", "-q", "-p", "no:cacheprovider",
        "--rootdir", str(folder), "-c", os.devnull, str(folder),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603
    summary = re.findall(r"\d+ (?:passed|failed|errors?|skipped)", done.stdout)
    stage.say(", ".join(summary) or f"pytest ended with code {done.returncode}")
    if done.returncode not in (0, 1):
        raise ExperimentError(f"the example tests could not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _chaos(rig: Rig, config: Config, run: Run, toxiproxy: str | None, stages: Stages) -> None:
    """Run the bundled experiments; a given Toxiproxy has one set of proxies, so there is one lane then."""
    folder = bundled("chaos")
    lanes = [[read_experiment(folder / f"{name}.toml") for name in lane] for lane in LANES]
    if toxiproxy or os.environ.get("TOXIPROXY_URL"):
        lanes = [[experiment for lane in lanes for experiment in lane]]

    def other(experiments: Sequence[Experiment]) -> None:
        with Rig(config, run, None, lambda *_: None) as second:
            _lane(second, experiments, config.subject, run, stages)

    with ThreadPoolExecutor(len(lanes)) as pool:
        others = [pool.submit(other, lane) for lane in lanes[1:]]
        _lane(rig, lanes[0], config.subject, run, stages)
        for future in others:
            future.result()


def _lane(rig: Rig, experiments: Sequence[Experiment], subject: Subject, run: Run, stages: Stages) -> None:
    for experiment in experiments:
        with stages.stage("chaos") as stage:
            stage.say(experiment.name)
            run_experiment(experiment, rig, checks, run, subject, stage.add)


def _reporter(stages: Stages) -> Callable[[str, str], None]:
    """Return a function that prints what the rig has started, and how long it took."""
    last = now()

    def report(name: str, text: str) -> None:
        nonlocal last
        stages.note(name, text, now() - last)
        last = now()

    return report


@contextmanager
def _environment(config: Config, file: Path, run: Run) -> Iterator[None]:
    """Tell child processes the configuration and the run folder, which this process seals."""
    told = {"PRODTEST_CONFIG": str(file), "PRODTEST_RUN": str(run.path)}
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
