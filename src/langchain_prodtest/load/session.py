"""One load run inside Locust: its schedule, samples, progress, end and exit code."""

import random
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

import locust
import msgspec
from locust.env import Environment

from langchain_prodtest.evidence import Run
from langchain_prodtest.load import judge
from langchain_prodtest.load.arrivals import Arrivals
from langchain_prodtest.load.options import Plan
from langchain_prodtest.load.proof import PHASE, plant
from langchain_prodtest.load.schedule import due_times
from langchain_prodtest.load.stream import Client
from langchain_prodtest.measure import Sample, now
from langchain_prodtest.outcome import GOOD
from langchain_prodtest.table import reasons, table

__all__ = ["UNPROVEN", "Session"]

UNPROVEN = 3
PROGRESS = 3.0  # seconds between progress lines


class Session:
    """One Locust process that runs one plan; in the web UI as often as its user starts it."""

    def __init__(self, environment: Environment, plan: Plan) -> None:
        self.plan = plan
        self.client = Client(plan.url, plan.protocol)
        self.arrivals: Arrivals
        self._environment = environment
        self._encoder = msgspec.json.Encoder()
        self._run: Run | None = None
        self._file: BinaryIO
        self._begun = self._open = self._drained = False

    def prepare(self) -> None:
        """Open the books for a new run."""
        plan = self.plan
        self._environment.process_exit_code = UNPROVEN
        seed = random.SystemRandom().getrandbits(32)
        self.arrivals = Arrivals(
            scenario=plan.scenario,
            due=due_times(plan.phases, plan.arrivals, seed),
            count=plan.total,
            patience=plan.patience,
            seed=seed,
            keep=self._keep,
        )
        if plan.samples:
            self._file = plan.samples.open("wb", buffering=0)
        else:
            self._run = Run(plan.out) if plan.out else Run.create(plan.config.root / ".prodtest")
            self._file = self._live_file(self._run).open("wb", buffering=0)
        self._begun, self._open, self._drained = False, True, False

    def begin(self) -> None:
        """Start the schedule, once all users stand ready."""
        if self._open and not self._begun:
            self._begun = True
            for work in (self._drive, self._progress):  # greenlets: Locust has patched threads
                threading.Thread(target=work, daemon=True).start()

    def finish(self) -> None:
        """Close the books, judge, and set the exit code; once for each run, however it ended."""
        if not self._open:
            return
        self._open = False
        complete = self._drained and self.arrivals.whole
        self.arrivals.close()
        self._file.close()
        settled = f"{self.arrivals.settled} of {self.plan.total}"
        self._say(settled if complete else f"ended early: {settled} arrivals; nothing is proven")
        if self._run is None:
            self._environment.process_exit_code = 0 if complete else UNPROVEN
        else:
            self._environment.process_exit_code = self._judge(self._run, complete)

    def _drive(self) -> None:
        try:
            if self._run is not None:  # raw samples are judged by somebody else
                plant(self.plan.protocol, self.plan.scenario, self.arrivals.seed, self._keep)
            self.arrivals.feed()
            self.arrivals.drain()
            self._drained = True
        finally:
            runner = self._environment.runner
            if self._open and runner is not None:
                runner.stop() if self._environment.web_ui else runner.quit()

    def _progress(self) -> None:
        arrivals = self.arrivals
        while not arrivals.closed:
            self._say(f"{arrivals.settled} of {arrivals.count}")
            time.sleep(PROGRESS)

    def _keep(self, sample: Sample) -> None:
        """Append a sample to the live file and show it in Locust's own tables."""
        self._file.write(self._encoder.encode(sample) + b"\n")
        if not self._open or sample.phase == PHASE:
            return
        events: Any = self._environment.events
        good = sample.outcome in GOOD
        events.request.fire(
            request_type="POST",
            name=sample.scenario,
            response_time=((sample.ended or now()) - sample.intended) * 1e3,
            response_length=0,
            exception=None if good else LoadError(f"{sample.outcome} {sample.error}".strip()),
            context={},
        )
        if good and sample.first_answer is not None:  # a row of its own: a request event would count twice
            ttft = round((sample.first_answer - sample.intended) * 1e3)
            self._environment.stats.entries[(sample.scenario, "TTFT")].log(ttft, 0)

    def _judge(self, run: Run, complete: bool) -> int:
        plan, live = self.plan, self._live_file(run)
        samples = judge.read_samples(live)
        books = judge.Books(planned=plan.total, offered=self.arrivals.offered, lags=self.arrivals.lags)
        findings = judge.judge_run(plan, samples, books)
        judge.write_evidence(run, plan, samples, findings, complete, f"locust {locust.__version__}")
        live.unlink()
        if plan.out is None:
            run.seal()
        code = judge.exit_code(findings, complete)
        print("\n".join([table(findings), *reasons(findings)]))
        self._say(f"{judge.VERDICTS[code]}   evidence {run.path}")
        return code

    def _live_file(self, run: Run) -> Path:
        return run.path / f"samples-{self.plan.scenario}.ndjson"

    def _say(self, text: str) -> None:
        print(f"  load  {self.plan.scenario}  {text}", flush=True)


class LoadError(Exception):
    """What Locust's failure table shows for a request that was not good."""
