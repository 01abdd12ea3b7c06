"""Where a load run is hung into Locust: its options, its start, its end.

The process exits 3 unless a run came to its end and was judged; 2 when it was not allowed to begin.
"""

import difflib
import logging
import sys
import threading
from typing import Any

import locust
from locust.env import Environment
from locust.runners import LocalRunner

from langchain_prodtest.errors import ProdtestError, UsageError, unknown_name
from langchain_prodtest.load.judge import scenario_of, too_few
from langchain_prodtest.load.options import Plan, add_options, plan_run
from langchain_prodtest.load.schedule import named
from langchain_prodtest.load.session import UNPROVEN, Session
from langchain_prodtest.load.stream import connect
from langchain_prodtest.measure import now

__all__ = ["current_session"]

USAGE = 2
CONNECT = 5.0  # seconds that the target has for one connection before the run

_events: Any = locust.events
_session: Session | None = None


def current_session() -> Session:
    """Return the session of this process; there is one from Locust's `init` event on."""
    if _session is None:
        raise UsageError("there is no load session; scenarios are run by locust -f loadtests")
    return _session


def _on_init(environment: Environment, **_: Any) -> None:
    global _session
    environment.process_exit_code = UNPROVEN
    try:
        _session = _open_session(environment)
    except ProdtestError as error:
        print(f"langchain-prodtest: {error}", file=sys.stderr, flush=True)
        sys.exit(USAGE)


def _on_test_start(environment: Environment, **_: Any) -> None:
    try:
        current_session().prepare()
    except (ProdtestError, OSError) as error:
        print(f"langchain-prodtest: the run cannot be recorded: {error}", file=sys.stderr, flush=True)
        environment.process_exit_code = USAGE
        if environment.runner is not None:  # from elsewhere: this is called in the middle of its start
            threading.Thread(target=environment.runner.quit).start()


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
    known = sorted(set(scenarios.values()) - {""})
    for limit in plan.config.slo:  # other scenarios may lie elsewhere, but not under nearly the same name
        named = scenario_of(limit.metric)
        if named and named not in known and difflib.get_close_matches(named, known):
            raise UsageError(f'[slo] "{limit.metric}": {unknown_name("scenario", named, known)}')


def _hush() -> None:
    """Leave only warnings of Locust's log and no tables: our own lines say how it goes."""
    for name in ("locust", "locust.stats_logger"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("locust.runners").setLevel(logging.ERROR)  # its spawn rates mean nothing here


def _announce(plan: Plan) -> None:
    where = plan.config.path or "defaults, no prodtest.toml or [tool.prodtest] found"
    lines = [
        f"configuration: {where}",
        f"{plan.total} at {named(plan.phases)} to {plan.url}, at most {plan.users} at once",
        *([] if plan.samples else too_few(plan)),
    ]
    for line in lines:
        print(f"  load  {plan.scenario}  {line}", flush=True)


_events.init_command_line_parser.add_listener(add_options)
_events.init.add_listener(_on_init)
_events.test_start.add_listener(_on_test_start)
_events.spawning_complete.add_listener(_on_spawning_complete)
_events.test_stop.add_listener(_on_test_stop)
_events.quitting.add_listener(_on_quitting)
