"""Ties a load run to Locust: options, start, progress, end, exit code.

The process exits 3 unless a run came to its end and was judged; 2 when it was not allowed to begin.
"""

import logging
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

import locust
import msgspec
from locust.env import Environment
from locust.runners import LocalRunner

from langchain_prodtest.errors import ProdtestError, UsageError, unknown_name
from langchain_prodtest.evidence import Run
from langchain_prodtest.load import judge
from langchain_prodtest.load.arrivals import Arrivals
from langchain_prodtest.load.options import Plan, add_options, plan_run
from langchain_prodtest.load.stream import Client, connect
from langchain_prodtest.load.table import table
from langchain_prodtest.measure import Sample, now
from langchain_prodtest.outcome import GOOD

__all__ = ["Session", "current_session"]

UNPROVEN = 3
PROGRESS = 3.0  # seconds between progress lines
CONNECT = 5.0  # seconds that the target has for one connection before the run

_events: Any = locust.events
_session: "Session | None" = None


def current_session() -> "Session":
    """Return the session of this process; there is one from Locust's `init` event on."""
    if _session is None:
        raise UsageError("there is no load session; scenarios are run by locust -f loadtests")
    return _session


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
        if plan.samples:
            self._file = plan.samples.open("wb", buffering=0)
        else:
            self._run = Run(plan.out) if plan.out else Run.create(plan.config.root / ".prodtest")
            self._file = self._live_file(self._run).open("wb", buffering=0)
        self.arrivals = Arrivals(
            scenario=plan.scenario,
            rate=plan.rate,
            count=plan.count,
            patience=plan.patience,
            seed=random.SystemRandom().getrandbits(32),
            keep=self._keep,
        )
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
        if not complete:
            settled, count = self.arrivals.settled, self.plan.count
            self._say(f"ended early: {settled} of {count} arrivals; nothing is proven")
        if self._run is None:
            self._environment.process_exit_code = 0 if complete else UNPROVEN
        else:
            self._environment.process_exit_code = self._judge(self._run, complete)

    def _drive(self) -> None:
        try:
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
        if not self._open:
            return
        good = sample.outcome in GOOD
        _events.request.fire(
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
        books = judge.Books(planned=plan.count, offered=self.arrivals.offered, lags=self.arrivals.lags)
        findings = judge.judge_run(plan, samples, books)
        judge.write_evidence(run, plan, samples, findings, complete, f"locust {locust.__version__}")
        live.unlink()
        if plan.out is None:
            run.seal()
        code = judge.exit_code(findings, complete)
        print(table(findings))
        self._say(f"{judge.VERDICTS[code]}   evidence {run.path}")
        return code

    def _live_file(self, run: Run) -> Path:
        return run.path / f"samples-{self.plan.scenario}.ndjson"

    def _say(self, text: str) -> None:
        print(f"  load  {self.plan.scenario}  {text}", flush=True)


class LoadError(Exception):
    """What Locust's failure table shows for a request that was not good."""


def _on_init(environment: Environment, **_: Any) -> None:
    global _session
    environment.process_exit_code = UNPROVEN
    try:
        _session = _open_session(environment)
    except ProdtestError as error:
        print(f"langchain-prodtest: {error}", file=sys.stderr, flush=True)
        sys.exit(2)


def _on_test_start(**_: Any) -> None:
    current_session().prepare()


def _on_spawning_complete(**_: Any) -> None:
    current_session().begin()


def _on_test_stop(**_: Any) -> None:
    current_session().finish()


def _on_quitting(**_: Any) -> None:
    current_session().finish()


def _open_session(environment: Environment) -> Session:
    """Check everything before the first byte is sent, and set what Locust is to do."""
    options: Any = environment.parsed_options
    if not isinstance(environment.runner, LocalRunner):
        raise UsageError("load runs in one process: leave out --processes, --master and --worker")
    plan = plan_run(options, environment.host)
    _choose_users(environment, plan)
    try:
        connect(plan.url, now() + CONNECT).close()
    except OSError as error:
        raise UsageError(
            f"{plan.url} cannot be reached ({error}), nothing was sent; start the service"
        ) from None
    options.num_users = plan.users
    options.spawn_rate = options.spawn_rate or plan.users
    if options.headless:
        options.run_time = None  # it is in plan.count: Locust's own timer would cut what is in flight
        if not (options.print_stats or options.only_summary):
            _hush()
            options.only_summary = True
    _announce(plan)
    return Session(environment, plan)


def _choose_users(environment: Environment, plan: Plan) -> None:
    """Keep the user classes of the plan's scenario; arrivals are for them."""
    scenarios = {cls: str(getattr(cls, "scenario", "")) for cls in environment.user_classes}
    chosen = [cls for cls, scenario in scenarios.items() if scenario == plan.scenario]
    if not chosen:
        raise UsageError(
            f"[load]: {unknown_name('scenario', plan.scenario, filter(None, scenarios.values()))}"
        )
    environment.user_classes = chosen


def _hush() -> None:
    """Leave only warnings of Locust's log and no tables: our own lines say how it goes."""
    for name in ("locust", "locust.stats_logger"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("locust.runners").setLevel(
        logging.ERROR
    )  # warns of spawn rates, which mean nothing here


def _announce(plan: Plan) -> None:
    where = plan.config.path or "defaults, no prodtest.toml or [tool.prodtest] found"
    lines = [
        f"configuration: {where}",
        f"{plan.count} at {plan.rate:g}/s to {plan.url}, at most {plan.users} at once",
        *([] if plan.samples else judge.too_few(plan)),
    ]
    for line in lines:
        print(f"  load  {plan.scenario}  {line}", flush=True)


_events.init_command_line_parser.add_listener(add_options)
_events.init.add_listener(_on_init)
_events.test_start.add_listener(_on_test_start)
_events.spawning_complete.add_listener(_on_spawning_complete)
_events.test_stop.add_listener(_on_test_stop)
_events.quitting.add_listener(_on_quitting)
