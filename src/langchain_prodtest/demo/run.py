"""`prodtest demo`: all four proofs against the reference service, and a verdict."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from langchain_prodtest import checks
from langchain_prodtest.audit import audit
from langchain_prodtest.chaos.experiment import read_experiment
from langchain_prodtest.chaos.run import ENDS, run_experiment
from langchain_prodtest.config import Config, load_config
from langchain_prodtest.demo.stages import Stage, Stages
from langchain_prodtest.errors import ExperimentError
from langchain_prodtest.evidence import Run
from langchain_prodtest.gate.judge import Verdict, decide
from langchain_prodtest.measure import now
from langchain_prodtest.rig.bundled import bundled
from langchain_prodtest.rig.load import judged
from langchain_prodtest.rig.rig import Rig

__all__ = ["demo_config", "run_demo"]

HERE = Path(__file__).parent
# Two rigs work side by side, each an experiment at a time; more would starve each other on two cores.
LANES = (("provider-outage", "sigterm"), ("black-hole", "cut-streams"))


def run_demo(root: Path, toxiproxy: str | None, stages: Stages) -> tuple[Verdict, Run]:
    """Run tests, load, chaos and audit on the reference service and decide; evidence lies under `root`."""
    run = Run.create(root)
    config, file = demo_config(run.path)
    with _environment(file, run), ThreadPoolExecutor(1) as pool:
        tests = pool.submit(_tests, stages)  # while the service starts; not beside the load, which is timed
        with Rig(config, run, toxiproxy, _reporter(stages)) as rig:
            tests.result()
            with stages.stage("load") as stage:
                judged(rig.url, config, run.path, stage.say)
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


def _tests(stages: Stages) -> None:
    """Run the example tests with the plugin, in a process of their own; their evidence is what counts."""
    with stages.stage("tests") as stage:
        _run_examples(stage)


def _run_examples(stage: Stage) -> None:
    folder = bundled("examples")
    command = [
        sys.executable, "-m", "pytest", "-p", "langchain_prodtest", "-q", "-p", "no:cacheprovider",
        "--rootdir", str(folder), "-c", os.devnull, "--confcutdir", str(folder), str(folder),
    ]  # fmt: skip
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # others cost seconds
    )  # fmt: skip
    summary = re.findall(r"\d+ (?:passed|failed|errors?|skipped)", done.stdout)
    stage.say(", ".join(summary) or f"pytest ended with code {done.returncode}")
    if done.returncode not in (0, 1):
        raise ExperimentError(f"the example tests could not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _chaos(rig: Rig, config: Config, run: Run, toxiproxy: str | None, stages: Stages) -> None:
    """Run the bundled experiments; a given Toxiproxy has one set of proxies, so there is one lane then."""
    lanes = [[bundled("chaos") / f"{name}.toml" for name in lane] for lane in LANES]
    if toxiproxy or os.environ.get("TOXIPROXY_URL"):
        lanes = [[file for lane in lanes for file in lane]]
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(lanes)))
        others = [stack.enter_context(_lane(lane, rig)) for lane in lanes[1:]]
        followed = [
            pool.submit(_follow, other, lane, stages) for other, lane in zip(others, lanes[1:], strict=True)
        ]
        for file in lanes[0]:
            with stages.stage("chaos") as stage:
                stage.say(file.stem)
                run_experiment(read_experiment(file), rig, checks, run, config.subject, stage.add)
        for future in followed:
            future.result()


@contextmanager
def _lane(files: Sequence[Path], rig: Rig) -> Iterator[subprocess.Popen[str]]:
    """Run experiments in a process with a rig of its own; it ends with ours, and undoes its faults then."""
    command = [sys.executable, "-m", "langchain_prodtest.cli", "chaos", "run", *map(str, files)]
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process, rig.guarding(process.pid):  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()


def _follow(process: subprocess.Popen[str], files: Sequence[Path], stages: Stages) -> None:
    """Show what the experiments of a lane say; ExperimentError with their words if they could not run."""
    said: list[str] = []
    lines = iter(process.stderr or ())
    for file in files:
        with stages.stage("chaos") as stage:
            stage.say(file.stem)
            for line in lines:
                said.append(line)
                name, _, step = line.removeprefix("  chaos").strip().partition("  ")
                if name == file.stem:
                    stage.add(step)
                    if step in ENDS:
                        break
            else:
                raise ExperimentError(f"{file.stem} could not run:\n{''.join(said[-15:])}")
    process.wait()  # its evidence is written when it has ended


def _reporter(stages: Stages) -> Callable[[str, str], None]:
    """Return a function that prints what the rig has started, and how long it took."""
    last = now()

    def report(name: str, text: str) -> None:
        nonlocal last
        stages.note(name, text, now() - last)
        last = now()

    return report


@contextmanager
def _environment(file: Path, run: Run) -> Iterator[None]:
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
