"""Start or attach everything an experiment needs, in order; stop it in reverse, whatever happens."""

import math
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from langchain_prodtest.chaos.experiment import Experiment, FaultSpec
from langchain_prodtest.chaos.run import SLACK, Injected, LoadRun
from langchain_prodtest.config import Config, Proxy, check_target
from langchain_prodtest.errors import ToxiproxyError, UsageError, unknown_name
from langchain_prodtest.evidence import Run
from langchain_prodtest.measure import now
from langchain_prodtest.record import Exit
from langchain_prodtest.rig.load import offered
from langchain_prodtest.rig.lock import locked
from langchain_prodtest.rig.service import Service, Signalled, free_port
from langchain_prodtest.script import Call, Match, Reply, Request, Script, answer_for
from langchain_prodtest.toxiproxy import client
from langchain_prodtest.toxiproxy.faults import inject, rehearse
from langchain_prodtest.toxiproxy.leftovers import sweep
from langchain_prodtest.toxiproxy.resolve import Resolved, resolve
from langchain_prodtest.toxiproxy.undo import Watchdog
from langchain_prodtest.wire.server import FakeServer

__all__ = ["Rig"]

FIRST_TOKEN, PER_CHUNK = 0.05, 0.03  # seconds; a fake model's pace, about 0.8 s an answer
Progress = Callable[[str, str], None]


class Rig:
    """The service under test with everything around it; a context manager.

    With [target] command the service is started, else the one at [target] url is used. `progress` is told a
    part's name and what became of it. What was started is registered with a watchdog first, which ends it
    and undoes faults if this process is killed.
    """

    def __init__(self, config: Config, run: Run, toxiproxy: str | None, progress: Progress) -> None:
        self.config, self.run, self.progress = config, run, progress
        self._given = toxiproxy
        self._stack = ExitStack()
        self._script = Script(default=_paced)
        self._proxies: dict[str, client.Proxy] = {}
        self._mounts: dict[str, str] = {}
        self._service: Service | None = None
        self._signalled: list[Signalled] = []
        self._first_call = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # -- what an experiment asks for (chaos.run.Rig) ---------------------------------------------------

    @contextmanager
    def start_load(self, experiment: Experiment) -> Iterator[LoadRun]:
        """Offer the experiment's load; the journal of calls and exits starts anew."""
        self._check_names(experiment)
        self._first_call = len(self._script.calls)
        self._signalled.clear()
        count = round(experiment.load.rate * (experiment.seconds + SLACK))
        scratch = self.run.path / f".{experiment.name}"
        scratch.mkdir(exist_ok=True)
        try:
            with offered(experiment.load, count, self.url, self.config.root, scratch, self._guard) as load:
                yield load
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def inject(self, fault: FaultSpec) -> AbstractContextManager[Injected]:
        """Put a fault in place at its seam."""
        if fault.seam == "provider":
            return self._provider_fault(fault)
        if fault.seam == "proxy":
            toxic = None if fault.down else fault.as_toxic()
            return inject(self._proxies[fault.proxy], self._watchdog, down=fault.down, toxic=toxic)
        return self._process_fault(fault)

    def calls(self) -> list[Call]:
        """Return the finished provider calls since the load started."""
        return self._script.calls[self._first_call :]

    def exits(self) -> list[Exit]:
        """Return the service's exits since the load started."""
        return [signalled.exit for signalled in self._signalled if signalled.exit]

    @contextmanager
    def guarding(self, pid: int) -> Iterator[None]:
        """Have the process ended, should this one be killed while the block runs."""
        release = self._guard(pid)
        try:
            yield
        finally:
            release()

    # -- starting ------------------------------------------------------------------------------------

    def _start(self, stack: ExitStack) -> None:
        target = self.config.target
        port = str(free_port())
        self.url = target.url.replace("{port}", port)
        check_target(self.url, target.allow)
        if not target.command:
            _check_reachable(self.url)
        stack.enter_context(locked(self.url if not target.command else f"{self.config.root}:{port}"))
        self._watchdog = stack.enter_context(Watchdog())
        self._mounts = {p.name: p.upstream.removeprefix("fake:") for p in self.config.proxies if _is_fake(p)}
        fakes = stack.enter_context(FakeServer(self._script, self._mounts)) if self._mounts else None
        if fakes:
            self.progress("fakes", f"{', '.join(self._mounts)} on {fakes.address}")
        if self.config.proxies:
            resolved = stack.enter_context(resolve(self._given, watchdog=self._watchdog))
            self.progress("toxiproxy", f"{resolved.kind}, {urlsplit(resolved.url).netloc}")
            for line in sweep(resolved.client()) if resolved.kind == "given" else []:
                self.progress("toxiproxy", f"left by an earlier run: {line}")
            for proxy in self.config.proxies:
                self._create(stack, resolved, proxy, fakes)
        if target.command:
            self._service = Service(
                target.command.replace("{port}", port),
                self.url,
                target.ready,
                self._environment(target.env, port, fakes),
                _free_name(self.run.path, "service", ".log"),
                self._guard,
            )
            stack.callback(self._service.stop)
            self._service.start()
            self.progress("service", "1 replica, ready")

    def _create(self, stack: ExitStack, resolved: Resolved, proxy: Proxy, fakes: FakeServer | None) -> None:
        """Use the proxy of this name if a given Toxiproxy has it; else create it, destroy it at the end.

        UsageError if the one it has leads elsewhere: it is somebody else's, and none of its traffic is ours.
        """
        toxiproxy = client.Toxiproxy(resolved.url)
        upstream = fakes.address if fakes and _is_fake(proxy) else proxy.upstream
        found = toxiproxy.get_proxy(proxy.name)
        if found is None:
            undo = self._watchdog.add_http(
                "DELETE", resolved.url + client.path_of(proxy.name), headers=toxiproxy.headers
            )
            try:
                found = toxiproxy.create(upstream=upstream, name=proxy.name, listen=proxy.listen)
            except ToxiproxyError as error:
                if error.status:  # It was not created, so what has this name is not ours to delete.
                    self._watchdog.done(undo)
                raise
            stack.callback(self._watchdog.done, undo)
            stack.callback(found.destroy)
        elif found.upstream != upstream or _port(proxy.listen) not in ("0", _port(found.listen)):
            raise UsageError(
                f'the Toxiproxy at {resolved.url} has a proxy "{proxy.name}" already, from {found.listen} to '
                f"{found.upstream}; here it is to lead from {proxy.listen} to {upstream}. "
                "Is it somebody else's? Then give [[proxy]] another name; else remove it there."
            )
        self._proxies[proxy.name] = found

    def _environment(self, env: Mapping[str, str], port: str, fakes: FakeServer | None) -> dict[str, str]:
        """Fill {port}, {NAME} (host:port of a proxy) and {NAME.url} (its provider's base URL) in."""
        names: dict[str, object] = {"port": port}
        for name, proxy in self._proxies.items():
            url = (
                fakes.url(name).replace(fakes.address, proxy.listen) if fakes and name in self._mounts else ""
            )
            names[name] = _Address(proxy.listen, url)
        filled = {}
        for key, value in env.items():
            try:
                filled[key] = value.format(**names)
            except (KeyError, AttributeError, IndexError, ValueError) as error:
                hint = unknown_name("placeholder", str(error).strip("'"), names)
                raise UsageError(f'[target] env {key} = "{value}": {hint}') from None
        return filled

    def _guard(self, pid: int) -> Callable[[], None]:
        """Have the watchdog end this process if we die; the answer takes that back."""
        undo = self._watchdog.add_kill(pid)
        return lambda: self._watchdog.done(undo)

    # -- faults --------------------------------------------------------------------------------------

    @contextmanager
    def _provider_fault(self, fault: FaultSpec) -> Iterator[Injected]:
        match = Match(provider=fault.provider)
        with self._script.always(fault.as_fault(), match, lease=fault.seconds + 5):
            injected = _Span()
            yield injected
        injected.gone = now()

    @contextmanager
    def _process_fault(self, fault: FaultSpec) -> Iterator[Injected]:
        if self._service is None:
            raise UsageError(
                "a [[fault]] with signal needs [target] command: the rig signals what it started"
            )
        signalled = self._service.signal(fault.signal)
        self._signalled.append(signalled)
        try:
            yield signalled
        finally:
            signalled.wait()

    def _check_names(self, experiment: Experiment) -> None:
        """Refuse a fault that cannot be put in place here, before anything happens."""
        for fault in experiment.faults:
            if fault.provider and fault.provider not in self._mounts:
                raise UsageError(unknown_name("fake provider", fault.provider, self._mounts))
            if fault.proxy and fault.proxy not in self._proxies:
                raise UsageError(unknown_name("proxy", fault.proxy, self._proxies))
            if fault.signal and self._service is None:
                raise UsageError("a [[fault]] with signal needs [target] command")
        for fault in experiment.faults:
            if fault.toxic:
                rehearse(self._proxies[fault.proxy].client, self._watchdog, fault.as_toxic())


class _Span:
    """When a fault took effect and was gone."""

    def __init__(self) -> None:
        self.effective = now()
        self.gone = math.nan


class _Address(str):
    """A proxy's host:port in a format string; `.url` is the base URL of the fake provider behind it."""

    url: str

    def __new__(cls, address: str, url: str) -> Self:
        made = super().__new__(cls, address)
        made.url = url
        return made


def _paced(request: Request) -> Reply:
    return Reply(answer_for(request.nonce), first_token=FIRST_TOKEN, per_chunk=PER_CHUNK)


def _port(listen: str) -> str:
    return listen.rpartition(":")[2]


def _is_fake(proxy: Proxy) -> bool:
    return proxy.upstream.startswith("fake:")


def _free_name(folder: Path, stem: str, suffix: str) -> Path:
    """Return a name that is not taken, and take it: rigs of one run share its folder."""
    for number in range(1, 1000):
        path = folder / (f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}")
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            continue
        return path
    raise UsageError(f"{folder} already holds 999 {stem} files")


def _check_reachable(url: str) -> None:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=5).close()
    except OSError as error:
        raise UsageError(
            f"{parts.hostname}:{port} does not answer ({error}). Start the service, or give [target] command"
        ) from None
