"""The configuration: `prodtest.toml`, or `[tool.prodtest]` in pyproject.toml, as frozen structs."""

import hashlib
import ipaddress
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from langchain_prodtest.errors import UsageError, unknown_name
from langchain_prodtest.evidence import Subject
from langchain_prodtest.limit import Limit, parse_duration, parse_limits

__all__ = [
    "Answer",
    "Config",
    "Gate",
    "Load",
    "Proxy",
    "Target",
    "check_target",
    "decode_toml",
    "find_config",
    "load_config",
]

T = TypeVar("T")


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the answers of a service with a protocol of its own are read; see `load.protocols.mapped`."""

    framing: Literal["sse", "ndjson", "json"] = "sse"
    text: str = ""
    done: str = ""
    error: str = ""


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The service under test.

    `url` is where its answers are asked for. With `command` the rig starts it: `{port}` in command, url and
    env is a free port, `{NAME}` in env the host:port of the proxy NAME. `ready` is the path that answers 200
    once it is ready. `allow` lists the hosts besides loopback that load and faults may be sent to. `body`
    replaces the protocol's JSON body, `{prompt}` and `{model}` in it are filled in; `$NAME` in `headers` is
    an environment variable.
    """

    url: str = ""
    protocol: str = "sse"
    command: str = ""
    env: dict[str, str] = {}
    ready: str = "/readyz"
    model: str = "default"
    headers: dict[str, str] = {}
    body: dict[str, Any] = {}
    answer: Answer = Answer()
    allow: list[str] = []


class Proxy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Toxiproxy proxy; `upstream` is host:port, or "fake:openai" for the fake provider of that name."""

    name: str
    upstream: str
    listen: str = "127.0.0.1:0"


class Load(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Open load: `count` arrivals of `scenario` at `rate` per second; `deadline` is a user's patience.

    `profile` adds phases to that steady part (a ramp before it, a spike after it), `arrivals` says how
    regularly they come.
    """

    scenario: str = "chat"
    rate: float = 10.0
    count: int = 300
    deadline: str = "30s"
    profile: str = "steady"
    arrivals: str = "constant"

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 10_000:
            raise ValueError(f"rate is arrivals per second, above 0 and at most 10000, not {self.rate}")
        if not 0 < self.count <= 10_000_000:
            raise ValueError(f"count is a number of arrivals from 1 to 10 million, not {self.count}")

    @property
    def patience(self) -> float:
        """The deadline in seconds."""
        return parse_duration(self.deadline)


class Gate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What promotion asks for: globs on kind/name that must be there, and how old evidence may be."""

    require: tuple[str, ...] = ("tests/*", "load/*", "chaos/*")
    max_age: str = "24h"


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    target: Target = Target()
    subject: Subject = Subject()
    proxy: list[Proxy] = []
    load: Load = Load()
    slo: dict[str, str] = {}
    gate: Gate = Gate()


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The whole configuration; `path` is None when there was none and defaults hold."""

    path: Path | None = None
    target: Target = Target()
    subject: Subject = Subject()
    proxies: tuple[Proxy, ...] = ()
    load: Load = Load()
    slo: tuple[Limit, ...] = ()
    gate: Gate = Gate()

    @property
    def root(self) -> Path:
        """The folder that relative paths and `.prodtest/` count from."""
        return self.path.parent if self.path else Path.cwd()


DEFAULT_SLO = {"chat.success": ">= 98%", "chat.ttft.p95": "<= 2s"}


def find_config(start: Path) -> Path | None:
    """Return prodtest.toml, or pyproject.toml with [tool.prodtest], in `start` or above; None if neither.

    The environment variable PRODTEST_CONFIG goes before both; the search ends at the top of a repository.
    """
    if given := os.environ.get("PRODTEST_CONFIG"):
        return Path(given)
    for folder in (start, *start.parents):
        own, project = folder / "prodtest.toml", folder / "pyproject.toml"
        if own.is_file():
            return own
        if project.is_file() and _own_table(_parse(project)) is not None:
            return project
        if (folder / ".git").exists():
            return None
    return None


def load_config(path: Path | None) -> Config:
    """Read and check a configuration; None gives the defaults. UsageError names file, key and valid names."""
    if path is None:
        return _build(None, _File())
    table = _parse(path)
    if path.name == "pyproject.toml":
        own = _own_table(table)
        table = {} if own is None else own
    return _build(path, decode_toml(table, _File, str(path)))


def decode_toml(table: dict[str, Any], into: type[T], where: str) -> T:
    """Decode a TOML table into a struct; an unknown key is a UsageError that names the nearest valid one."""
    if not isinstance(table, dict):
        raise UsageError(f"{where}: expected a table, got {type(table).__name__}")
    _refuse_unknown_keys(table, into, where)
    try:
        return msgspec.convert(table, into)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}: {error}") from None


def check_target(url: str, allow: list[str]) -> None:
    """Refuse a target that is neither loopback nor listed in [target] allow."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:  # such as "http://[::1"
        host = ""
    if not url.startswith(("http://", "https://")) or not host or "\\" in url:  # a \ ends the host for some
        raise UsageError(f'[target] url "{url}" is not an http or https URL')
    if host not in {name.lower() for name in allow} and not _is_loopback(host):
        raise UsageError(
            f'"{host}" is not on the allow-list, nothing was sent. '
            f'If load and faults may go there: [target] allow = ["{host}"]'
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _build(path: Path | None, file: _File) -> Config:
    where = str(path) if path else "defaults"
    try:
        slo = parse_limits(file.slo or DEFAULT_SLO)
        parse_duration(file.gate.max_age)
        parse_duration(file.load.deadline)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
    return Config(
        path=path,
        target=file.target,
        subject=_complete(file, path.parent if path else Path.cwd()),
        proxies=tuple(file.proxy),
        load=file.load,
        slo=slo,
        gate=file.gate,
    )


def _complete(file: _File, root: Path) -> Subject:
    """Fill what the file leaves open: from PRODTEST_REVISION and PRODTEST_IMAGE, then from git."""
    digest = hashlib.sha256(msgspec.json.encode(file)).hexdigest()[:16]
    return Subject(
        revision=file.subject.revision or os.environ.get("PRODTEST_REVISION", "") or _git_revision(root),
        image=file.subject.image or os.environ.get("PRODTEST_IMAGE", ""),
        config=file.subject.config or digest,
    )


def _git_revision(root: Path) -> str:
    def git(*args: str) -> str:
        try:
            return subprocess.run(  # noqa: S603
                ["git", "-C", str(root), *args],  # noqa: S607
                capture_output=True, text=True, timeout=10, check=True,
            ).stdout.strip()  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return ""

    revision = git("rev-parse", "HEAD")
    return f"{revision}-dirty" if revision and git("status", "--porcelain") else revision


def _own_table(pyproject: dict[str, Any]) -> Any:
    tool = pyproject.get("tool")
    return tool.get("prodtest") if isinstance(tool, dict) else None


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None


def _refuse_unknown_keys(table: dict[str, Any], into: type[Any], where: str) -> None:
    """Say which key is wrong and what it should be; msgspec alone would name only the key."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(into)}
    for key, value in table.items():
        if key not in fields:
            raise UsageError(f"{where}: {unknown_name('key', key, fields)}")
        kinds = getattr(fields[key], "__args__", (fields[key],))
        for inner in [k for k in kinds if isinstance(k, type) and issubclass(k, msgspec.Struct)]:
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict):
                    _refuse_unknown_keys(item, inner, f"{where} [{key}]")
