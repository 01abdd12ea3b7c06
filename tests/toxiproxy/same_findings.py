"""Run experiments on the reference service against the real Toxiproxy and the embedded one: same findings?

    python tests/toxiproxy/same_findings.py [EXPERIMENT.toml ...]

Without a file the four bundled experiments are run, which takes some six minutes. Exit code 1 if an outcome
differs or an experiment did not run to its end; needs toxiproxy-server on PATH.
"""

import os
import sys
import tempfile
from pathlib import Path

from langchain_prodtest.chaos.experiment import read_experiment
from langchain_prodtest.config import Config
from langchain_prodtest.rig.bundled import bundled
from langchain_prodtest.rig.experiments import run_experiments
from langchain_prodtest.toxiproxy.resolve import resolve

KINDS = ("real", "embedded")


def findings(kind: str, files: list[Path]) -> dict[tuple[str, str], str]:
    """Return the outcome by experiment and check, with a kind of server."""
    env = {name: value for name, value in os.environ.items() if name != "TOXIPROXY_URL"}
    experiments = [read_experiment(file) for file in files]
    with (
        resolve(env=env if kind == "real" else {**env, "PATH": "/nowhere"}) as resolved,
        tempfile.TemporaryDirectory() as out,
    ):
        if resolved.kind != kind:
            sys.exit("toxiproxy-server is not on PATH")
        _, evidence = run_experiments(experiments, Config(), Path(out), resolved.url, print)
    found = {(each.name, finding.check): finding for each in evidence for finding in each.findings}
    for (name, check), finding in found.items():
        print(f"  {kind:10} {name}  {check}: {finding.outcome}  {finding.detail}", flush=True)
    complete = {(each.name, "complete"): str(each.complete) for each in evidence}
    return {**{key: finding.outcome for key, finding in found.items()}, **complete}


def main() -> int:
    """Compare the two; one line for each outcome."""
    files = [Path(file) for file in sys.argv[1:]] or sorted(bundled("chaos").glob("*.toml"))
    real, embedded = (findings(kind, files) for kind in KINDS)
    for name, check in real:
        print(f"{name:18}{check:26}{real[name, check]:>10}{embedded[name, check]:>10}")
    same = real == embedded and all(real[key] == "True" for key in real if key[1] == "complete")
    print("the same findings" if same else "not the same findings")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
