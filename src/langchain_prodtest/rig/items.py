"""Experiments as pytest items: `pytest chaos` runs each *.toml in that folder, a bare `pytest` none."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from langchain_prodtest import checks
from langchain_prodtest.chaos.experiment import Experiment, read_experiment
from langchain_prodtest.chaos.run import run_experiment
from langchain_prodtest.config import find_config, load_config
from langchain_prodtest.evidence import Evidence
from langchain_prodtest.rig.experiments import rig_config, run_folder
from langchain_prodtest.rig.rig import Rig
from langchain_prodtest.table import reasons, table

__all__ = ["ExperimentFile"]


class ExperimentFile(pytest.File):
    """A TOML file with one experiment; one that cannot be read is a collection error."""

    def collect(self) -> Iterable[pytest.Item]:
        """Yield the experiment."""
        experiment = read_experiment(self.path)
        yield ExperimentItem.from_parent(self, name=experiment.name, experiment=experiment)


class ExperimentItem(pytest.Item):
    """One experiment; it fails where a check failed, and where one is unknown."""

    def __init__(self, name: str, parent: ExperimentFile, experiment: Experiment) -> None:
        super().__init__(name, parent)
        self.experiment = experiment
        allow = load_config(find_config(self.config.rootpath)).target.allow
        self.add_marker(pytest.mark.prodtest(allow_hosts=allow))

    def runtest(self) -> None:
        """Run the experiment on the session's rig."""
        if BENCH not in self.config.stash:
            self.config.stash[BENCH] = _Bench(self.config)
        bench = self.config.stash[BENCH]
        evidence = bench.run(self.experiment)
        if not evidence.complete or any(finding.outcome != "pass" for finding in evidence.findings):
            text = [table(evidence.findings), *reasons(evidence.findings), f"evidence {bench.folder.path}"]
            pytest.fail("\n".join(text), pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return where the experiment stands, and its title."""
        return self.path, 0, f"{self.name}: {self.experiment.title}"


class _Bench:
    """The rig and the run folder that the experiments of a session share; the first one starts them."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = rig_config(load_config(find_config(config.rootpath)), lambda _: None)
        self.folder, ours = run_folder(self.config, None)
        if ours:
            config.add_cleanup(self._seal)
        self._rig = Rig(self.config, self.folder, None, lambda *_: None)
        self._rig.__enter__()
        config.add_cleanup(lambda: self._rig.__exit__(None, None, None))

    def _seal(self) -> None:
        self.folder.seal()

    def run(self, experiment: Experiment) -> Evidence:
        return run_experiment(experiment, self._rig, checks, self.folder, self.config.subject, lambda _: None)


BENCH: pytest.StashKey[_Bench] = pytest.StashKey()
