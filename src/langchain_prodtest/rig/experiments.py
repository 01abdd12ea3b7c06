"""Run experiments on the rig of a configuration: the one way for the command line and for pytest."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from langchain_prodtest import checks
from langchain_prodtest.chaos.experiment import Experiment
from langchain_prodtest.chaos.run import run_experiment
from langchain_prodtest.config import Config, load_config
from langchain_prodtest.evidence import Evidence, Run
from langchain_prodtest.rig.rig import Rig

__all__ = ["rig_config", "run_experiments", "run_folder"]

REFERENCE = Path(__file__).parent.parent / "demo" / "prodtest.toml"


def run_experiments(
    experiments: Sequence[Experiment], config: Config, out: Path | None, toxiproxy: str | None,
    say: Callable[[str], None],
) -> tuple[Run, list[Evidence]]:  # fmt: skip
    """Run the experiments one after the other and return the run folder and their evidence.

    The folder is sealed, also when an experiment was interrupted, unless PRODTEST_RUN gave it.
    """
    config = rig_config(config, say)
    run, ours = run_folder(config, out)
    try:
        with Rig(config, run, toxiproxy, lambda name, text: say(f"  {name:<10} {text}")) as rig:
            evidence = []
            for experiment in experiments:
                tell = _prefixed(say, experiment.name)
                evidence.append(run_experiment(experiment, rig, checks, run, config.subject, tell))
            return run, evidence
    finally:
        if ours:
            run.seal()


def rig_config(config: Config, say: Callable[[str], None]) -> Config:
    """Return the configuration; where it names no [target], the reference service's, and say so.

    The subject is the reference service's then: nothing is ever proven about a service that was not asked.
    """
    if config.target.url:
        return config
    say("no [target] is configured: the bundled reference service is used")
    return load_config(REFERENCE)


def run_folder(config: Config, out: Path | None) -> tuple[Run, bool]:
    """Return the run folder, and whether we are the ones to seal it."""
    given = os.environ.get("PRODTEST_RUN")
    if given:
        return Run(Path(given)), False
    root = config.root if config.path and config.path != REFERENCE else Path.cwd()
    return Run.create(out or root / ".prodtest"), True


def _prefixed(say: Callable[[str], None], name: str) -> Callable[[str], None]:
    return lambda text: say(f"  {'chaos':<10} {name}  {text}")
