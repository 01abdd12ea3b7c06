"""An experiment as data: read from TOML and checked as a whole before anything is touched."""

import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from langchain_prodtest.config import Load, decode_toml
from langchain_prodtest.errors import ScriptError, UsageError, unknown_name
from langchain_prodtest.limit import Limit, parse_duration, parse_limits
from langchain_prodtest.record import Seam
from langchain_prodtest.steps import Fault, Framing, How, What

__all__ = ["Experiment", "FaultSpec", "read_experiment"]


class FaultSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One [[fault]]: `at` seconds after the steady state held, `for` a time, at exactly one seam.

    provider: the fake provider answers `status` (with `retry_after`), or fails as `how` says, with the fields
    of a Fault: `after` events or `after_bytes`, `what` is missing, `framing`.
    proxy: `down`, or a `toxic` with its attributes (`TOXICS`) as docs/toxiproxy.md has them, by Toxiproxy;
    times are durations such as "300ms", and prodtest_close's is `after_time`.
    signal: sent to the service's process; it is started again when it has ended, as a platform would.
    """

    at: str = "0s"
    for_: str = msgspec.field(default="10s", name="for")
    provider: str = ""
    status: int | None = None
    retry_after: float | None = None
    how: How | None = None
    after: int = 0
    after_bytes: int = 0
    missing: What | None = msgspec.field(default=None, name="what")
    framing: Framing | None = None
    proxy: str = ""
    down: bool = False
    toxic: str = ""
    latency: str = "0s"
    jitter: str = "0s"
    timeout: str = "0s"
    delay: str = "0s"
    after_time: str = "0s"
    bytes: int = 0
    rate: int = 0
    average_size: int = 0
    size_variation: int = 0
    refuse: int = 0
    loss_rate: float = 0.0
    correlation: float = 0.0
    stream: Literal["upstream", "downstream"] = "downstream"
    toxicity: float = 1.0
    signal: Literal["", "SIGTERM", "SIGKILL"] = ""

    @property
    def seam(self) -> Seam:
        """Where the fault is put."""
        return "provider" if self.provider else "proxy" if self.proxy else "process"

    @property
    def what(self) -> str:
        """The fault in a word: "503", "clean_end", "down", "latency", "SIGTERM"."""
        if self.provider:
            return str(self.status) if self.status else str(self.how)
        return ("down" if self.down else self.toxic) if self.proxy else self.signal

    @property
    def start(self) -> float:
        """Seconds after the steady state held."""
        return parse_duration(self.at)

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return parse_duration(self.for_)

    def as_fault(self) -> Fault:
        """Return the request fault of the provider seam."""
        return Fault(
            status=self.status,
            how=self.how,
            after=self.after,
            after_bytes=self.after_bytes,
            what=self.missing,
            framing=self.framing,
            retry_after=self.retry_after,
        )

    def as_toxic(self) -> dict[str, Any]:
        """Return type, stream, toxicity and attributes in Toxiproxy's units (ms, a slicer's delay in µs)."""
        a_second = 1_000_000 if self.toxic == "slicer" else 1000
        attributes = {
            name: round(parse_duration(value) * a_second) if isinstance(value, str) else value
            for name, value in ((name, getattr(self, _field_of(name))) for name in TOXICS[self.toxic])
        }
        return {
            "type": self.toxic, "stream": self.stream, "toxicity": self.toxicity, "attributes": attributes
        }  # fmt: skip


TOXICS = {
    "bandwidth": ("rate",),
    "latency": ("latency", "jitter"),
    "limit_data": ("bytes",),
    "noop": (),
    "packet_loss": ("loss_rate", "correlation"),
    "prodtest_close": ("after",),
    "prodtest_connect": ("refuse",),
    "reset_peer": ("timeout",),
    "slicer": ("average_size", "size_variation", "delay"),
    "slow_close": ("delay",),
    "timeout": ("timeout",),
}
"""The attributes of each toxic. `packet_loss` is of Toxiproxy 2.13, `prodtest_` of the embedded server."""


def _field_of(attribute: str) -> str:
    return "after_time" if attribute == "after" else attribute


_ATTRIBUTES = {_field_of(name) for names in TOXICS.values() for name in names}


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    title: str
    load: Load = Load()
    steady_for: str = "10s"
    control_for: str = "10s"
    recover_for: str = "15s"
    steady: dict[str, str]
    fault: list[FaultSpec]
    expect: dict[str, str]


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A hypothesis about faults: steady state, the faults, and what is expected while they are there."""

    name: str
    title: str
    load: Load
    steady_for: float
    control_for: float
    recover_for: float
    steady: tuple[Limit, ...]
    faults: tuple[FaultSpec, ...]
    expect: tuple[Limit, ...]

    @property
    def seconds(self) -> float:
        """How long the load runs: steady state, control run, faults, recovery."""
        last = max(fault.start + fault.seconds for fault in self.faults)
        return self.steady_for + self.control_for + last + self.recover_for

    def plan(self) -> list[str]:
        """Say every action and its undo, one a line, in the order of time."""
        load = f"{self.load.scenario} at {self.load.rate:g}/s"
        lines = [
            f"       load {load} for {self.seconds:g} s",
            f"       steady state for {self.steady_for:g} s",
        ]
        if self.control_for:
            lines.append(f"       control run without a fault for {self.control_for:g} s")
        steps: list[tuple[float, str]] = []
        for fault in self.faults:
            where = fault.provider or fault.proxy or "service"
            undo = "start it again when it has ended" if fault.signal else "remove it, verify"
            steps.append((fault.start, f"{where}: {fault.what}"))
            steps.append((fault.start + fault.seconds, f"{where}: {undo}"))
        lines += [f"{at:5g} s {text}" for at, text in sorted(steps, key=lambda step: step[0])]
        return [*lines, *(f"       expect {limit.metric} {limit.text}" for limit in self.expect)]


def read_experiment(path: Path) -> Experiment:
    """Read and check an experiment file; UsageError says file, key and what was expected."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    file = decode_toml(table, _File, str(path))
    try:
        for fault in file.fault:
            _check(fault)
        experiment = Experiment(
            name=path.stem,
            title=file.title,
            load=file.load,
            steady_for=parse_duration(file.steady_for),
            control_for=parse_duration(file.control_for),
            recover_for=parse_duration(file.recover_for),
            steady=parse_limits(file.steady),
            faults=tuple(sorted(file.fault, key=lambda fault: fault.start)),
            expect=parse_limits(file.expect),
        )
    except (UsageError, ScriptError) as error:
        raise UsageError(f"{path}: {error}") from None
    if file.load.profile != "steady":
        raise UsageError(f"{path}: [load] profile: faults are judged under steady load; leave it out")
    for table_name in ("steady", "fault", "expect"):
        if not getattr(file, table_name):
            raise UsageError(f"{path}: [{table_name}] is empty; an experiment without it can show nothing")
    return experiment


def _check(fault: FaultSpec) -> None:
    seams = [bool(fault.provider), bool(fault.proxy), bool(fault.signal)]
    if sum(seams) != 1:
        raise UsageError("a [[fault]] names exactly one of provider, proxy and signal")
    if fault.seconds > 3600 or fault.start > 3600:
        raise UsageError("a fault starts and lasts at most one hour")
    if fault.provider:
        fault.as_fault()
    elif fault.proxy:
        if fault.down == bool(fault.toxic):
            raise UsageError('a fault on a proxy has either down = true or toxic = "..."')
        if fault.toxic and fault.toxic not in TOXICS:
            raise UsageError(unknown_name("toxic", fault.toxic, TOXICS))
        _check_attributes(fault)
        if not 0 <= fault.toxicity <= 1:
            raise UsageError(f"toxicity lies between 0 and 1, not {fault.toxicity:g}")


def _check_attributes(fault: FaultSpec) -> None:
    """Refuse what the toxic does not have: it would be ignored in silence."""
    own = {_field_of(name) for name in TOXICS.get(fault.toxic, ())}
    for name in sorted(_ATTRIBUTES - own):
        if getattr(fault, name) != getattr(_NOTHING, name):
            what = f"toxic {fault.toxic}" if fault.toxic else "down"
            raise UsageError(f"{what} has no {name}; it takes: {', '.join(sorted(own)) or 'nothing'}")
    if fault.toxic == "bandwidth" and fault.rate < 1:
        raise UsageError(
            "a bandwidth needs a rate in KB a second; 0 stalls some Toxiproxies and limits no other"
        )
    if fault.toxic == "slicer" and not 0 <= fault.size_variation <= fault.average_size > 0:
        raise UsageError("a slicer needs an average_size above 0 and a size_variation from 0 to it")
    if fault.toxic:
        fault.as_toxic()


_NOTHING = FaultSpec()
