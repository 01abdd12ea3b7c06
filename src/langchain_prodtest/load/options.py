"""What a load run is to do: options beat the configuration's [load], which beats the defaults."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from langchain_prodtest.config import Config, Load, check_target, find_config, load_config
from langchain_prodtest.errors import UsageError
from langchain_prodtest.load.arrivals import concurrency
from langchain_prodtest.load.protocols import find_protocol
from langchain_prodtest.load.protocols.posted import Posted
from langchain_prodtest.load.schedule import (
    ARRIVALS,
    PROFILES,
    Phase,
    check_phases,
    find_arrivals,
    find_profile,
)

__all__ = ["Plan", "add_options", "plan_run", "resolve_url"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One load run: where to, how much, and where what was seen goes.

    `count` is that of the steady part; `total` counts all `phases`.

    `samples` is set when only raw samples are wanted; `out` is a run folder that another process seals.
    """

    config: Config
    url: str
    protocol: Posted
    scenario: str
    count: int
    phases: list[Phase]
    arrivals: str
    patience: float
    users: int
    out: Path | None = None
    samples: Path | None = None

    @property
    def total(self) -> int:
        """The number of arrivals of all phases."""
        return sum(phase.count for phase in self.phases)


def add_options(parser: Any) -> None:
    """Add the --prodtest options to Locust's parser."""
    group = parser.add_argument_group("langchain-prodtest")

    def option(name: str, convert: Callable[[str], object], metavar: str, text: str, env: str = "") -> None:
        more = {"env_var": env} if env else {}
        group.add_argument(f"--prodtest-{name}", type=convert, metavar=metavar, help=text, **more)

    option("config", _path, "<file>", "prodtest.toml or pyproject.toml; searched upwards if not given")
    option("rate", float, "<number>", "arrivals per second, of the steady part")
    option("count", int, "<int>", "number of arrivals, of the steady part")
    option("profile", str, "<name>", f"how the rate goes: {', '.join(PROFILES)}")
    option("arrivals", str, "<name>", f"how regular arrivals are: {', '.join(ARRIVALS)}")
    option("deadline", str, "<duration>", 'patience of a user, such as "15s"')
    option("out", _path, "<dir>", "run folder for the evidence; sealed by whoever made it", "PRODTEST_RUN")
    option(
        "samples",
        Path,
        "<file>",
        "only write raw samples (NDJSON) here as they come: no evidence, no verdict",
    )


def plan_run(options: argparse.Namespace, host: str | None) -> Plan:
    """Return the plan that options and configuration give; UsageError says what is wrong with them."""
    path = options.prodtest_config or find_config(Path.cwd())
    config = load_config(path)
    protocol = find_protocol(config.target)
    url = resolve_url(host or "", config.target.url, protocol.path)
    check_target(url, config.target.allow)
    samples: Path | None = options.prodtest_samples
    if samples and not samples.absolute().parent.is_dir():
        raise UsageError(f"--prodtest-samples {samples}: its folder does not exist; make it first")
    check_phases(limit.metric for limit in config.slo)
    load = _load(options, config.load)
    phases = find_profile(load.profile, load.rate, load.count)
    peak = max(rate for phase in phases for rate in (phase.start, phase.end))
    return Plan(
        config=config,
        url=url,
        protocol=protocol,
        scenario=load.scenario,
        count=load.count,
        phases=phases,
        arrivals=find_arrivals(load.arrivals),
        patience=load.patience,
        users=options.num_users or concurrency(peak, load.patience, sum(phase.count for phase in phases)),
        out=options.prodtest_out,
        samples=samples,
    )


def resolve_url(host: str, configured: str, path: str) -> str:
    """Return where to ask: `host` with its own path, else with the configured one, else with `path`."""
    if not host:
        if not configured or "{port}" in configured:
            raise UsageError('no service to load was given; give -H URL, or [target] url = "http://..."')
        return configured
    if urlsplit(host).path.strip("/"):
        return host
    return host.rstrip("/") + (urlsplit(configured).path or path)


def _path(text: str) -> Path | None:
    """Return the path; an empty environment variable means none, not the current folder."""
    return Path(text) if text else None


def _load(options: argparse.Namespace, load: Load) -> Load:
    """Return what [load] says, where no option says otherwise; --run-time caps the count, by time."""
    given = {name: getattr(options, f"prodtest_{name}") for name in Load.__struct_fields__[1:]}
    given = {name: value for name, value in given.items() if value is not None}
    rate = given.get("rate", load.rate)
    if options.run_time:
        given["count"] = min(given.get("count", load.count), max(1, int(rate * options.run_time)))
    try:
        return msgspec.structs.replace(load, **given)
    except ValueError as error:
        raise UsageError(f"--prodtest-rate or --prodtest-count: {error}") from None
