"""Locust as a child process, and the samples it writes while it runs."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from langchain_prodtest.config import Config, Load
from langchain_prodtest.errors import ExperimentError, UsageError, unknown_name
from langchain_prodtest.measure import Sample
from langchain_prodtest.rig.bundled import bundled
from langchain_prodtest.rig.service import end

__all__ = ["LoadRun", "judged", "offered", "scenario_file"]

FIRST_SAMPLE_WITHIN = 60.0  # seconds


class LoadRun:
    """A running Locust; its samples are read from the file it appends to."""

    def __init__(self, process: subprocess.Popen[bytes], file: Path, log: Path) -> None:
        self._process, self._file, self._log = process, file, log
        self._decoder = msgspec.json.Decoder(Sample)
        self._samples: list[Sample] = []
        self._read = 0

    def samples(self) -> list[Sample]:
        """Return what has finished so far, in the order of its end."""
        if self._file.exists():
            with self._file.open("rb") as file:
                file.seek(self._read)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]  # a line that is being written is read next time
            self._read += len(whole)
            self._samples += [self._decoder.decode(line) for line in whole.splitlines()]
        return list(self._samples)

    def alive(self) -> bool:
        """Tell whether the process runs."""
        return self._process.poll() is None

    def finish(self, seconds: float) -> None:
        """Wait for the end of the process, `seconds` at most; then it is ended and that is an error."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise ExperimentError(f"the load did not end within {seconds:.0f} s:\n{self._tail()}") from None

    def first_sample(self) -> None:
        """Return when the first request has finished; ExperimentError with the load's words if it ended."""
        deadline = time.monotonic() + FIRST_SAMPLE_WITHIN
        while not self.samples():
            if not self.alive():
                raise ExperimentError(f"the load ended with code {self._process.returncode}:\n{self._tail()}")
            if time.monotonic() > deadline:
                raise ExperimentError(f"no request finished in {FIRST_SAMPLE_WITHIN:g} s:\n{self._tail()}")
            time.sleep(0.05)

    def _tail(self) -> str:
        return "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-15:])


def scenario_file(name: str, root: Path) -> Path:
    """Return the scenario's file: the one in `root`/loadtests, else the bundled one; UsageError if none."""
    known = {}
    for folder in (bundled("loadtests"), root / "loadtests"):
        known.update({p.stem: p for p in folder.glob("*.py") if not p.name.startswith("_")})
    if name not in known:
        raise UsageError(unknown_name("scenario", name, known))
    return known[name]


@contextmanager
def offered(
    load: Load, count: int, url: str, root: Path, folder: Path, guard: Callable[[int], Callable[[], None]]
) -> Iterator[LoadRun]:
    """Offer `count` arrivals to `url` by Locust while the block runs; raw samples only, no judgement."""
    file, log = folder / "samples.ndjson", folder / "load.log"
    command = [
        sys.executable, "-m", "locust", "-f", str(scenario_file(load.scenario, root)),
        "--headless", "-H", url,
        "--prodtest-rate", str(load.rate), "--prodtest-count", str(count),
        "--prodtest-arrivals", load.arrivals, "--prodtest-deadline", load.deadline,
        "--prodtest-samples", str(file),
    ]  # fmt: skip
    file.unlink(missing_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            env=_clean_environment(),
        )  # fmt: skip
    release = guard(process.pid)
    run = LoadRun(process, file, log)
    try:
        run.first_sample()
        yield run
    finally:
        end(process, seconds=5)
        release()
        run.samples()
        file.unlink(missing_ok=True)
        log.unlink(missing_ok=True)


def judged(url: str, config: Config, run: Path, say: Callable[[str], None]) -> int:
    """Run the configured load against `url`, judged into the run folder; return Locust's exit code.

    `say` is told how far it is.
    """
    command = [
        sys.executable, "-m", "locust", "-f", str(scenario_file(config.load.scenario, config.root)),
        "--headless", "-H", url, *(["--prodtest-config", str(config.path)] if config.path else []),
    ]  # fmt: skip
    env = {**_clean_environment(), "PRODTEST_RUN": str(run)}
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=env,
    ) as process:  # fmt: skip
        lines = []
        try:
            for line in process.stdout or ():
                lines.append(line.rstrip())
                if progress := _PROGRESS.search(line):
                    say(f"{config.load.scenario}  {progress[0]}")
            code = process.wait()
        finally:
            process.kill()
    if code not in (0, 1, 3):
        raise ExperimentError("the load could not run:\n" + "\n".join(lines[-15:]))
    return code


_PROGRESS = re.compile(r"\d+ of \d+")


def _clean_environment() -> dict[str, str]:
    """Return our environment without Locust's own variables, which would change the run."""
    return {k: v for k, v in os.environ.items() if not k.startswith("LOCUST_")}
