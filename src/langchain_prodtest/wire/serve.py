"""Run fake providers alone, in the foreground, until told to stop."""

import asyncio
import importlib
import itertools
import shlex
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

import msgspec

from langchain_prodtest.errors import UsageError
from langchain_prodtest.script import Call, Script
from langchain_prodtest.wire.processes import SharedServer
from langchain_prodtest.wire.replay import Replay
from langchain_prodtest.wire.scripts import Rule
from langchain_prodtest.wire.server import FakeServer

__all__ = ["fastest_loop", "serve"]


def serve(
    host: str,
    port: int,
    mounts: Mapping[str, str],
    journal: Path | None,
    announce: Callable[[str], None],
    *,
    rules: Sequence[Rule] = (),
    transparent: bool = False,
    tls: bool = False,
    unix: Path | None = None,
    token: str = "",
    processes: int = 1,
    replay: Replay | None = None,
    keys: Collection[str] = (),
    warn: Callable[[str], None] = lambda text: None,
) -> None:
    """Answer as the providers in `mounts` until SIGINT or SIGTERM; call it from the main thread.

    Requests are answered by `rules`, else from `replay`, which each scope begins anew, or without one with
    the default answer to their nonce. Each finished exchange is appended to `journal` as one line of JSON.
    Once the port is open, `announce` is called with one line per provider; if `transparent`, with the
    environment as lines for a shell, the last of which is `# ready`; with `tls`, with both. The control API
    is open, and asks for `token` if there is one. Whose real keys reached it is told to `warn`, once each.
    Of several `processes`, see SharedServer.
    UsageError: as FakeServer, a journal that cannot be written, and processes for what cannot be shared.
    """
    if processes > 1 and (transparent or tls or unix):
        raise UsageError(
            "a connection with TLS, to a proxy or on a UNIX socket cannot be handed from process to process; "
            "leave out --processes, or --transparent, --tls and --unix"
        )
    if processes > 1 and replay is not None:
        raise UsageError("one process alone knows which recording is next; leave out --processes")
    with ExitStack() as stack:
        told = stack.enter_context(_signals(signal.SIGINT, signal.SIGTERM))
        file = None if journal is None else stack.enter_context(_appended(journal))
        numbers, look = itertools.count(1), _looker(warn)

        def new() -> Script:
            return _Journalled(file, numbers, replay and replay.again(), look)

        options: dict[str, Any] = {"transparent": transparent, "tls": tls, "unix": unix, "token": token}
        options |= {"keys": keys, "scopes": new, "rules": rules, "loop": fastest_loop()}
        server = stack.enter_context(
            FakeServer(new(), mounts, host, port, **options)
            if processes == 1
            else SharedServer(processes, told.set, new(), mounts, host, port, **options)
        )
        lines = [] if transparent else _urls(server, mounts)
        for line in [*lines, *(_environment(server) if transparent or tls else [])]:
            announce(line)
        told.wait()
        if isinstance(server, SharedServer):
            server.require_whole()


def _urls(server: FakeServer, mounts: Mapping[str, str]) -> list[str]:
    return [f"{mount}  {server.url(mount)}" for mount in mounts]


def _environment(server: FakeServer) -> list[str]:
    variables = server.environment().items()
    return [*(f"export {name}={shlex.quote(value)}" for name, value in variables), "# ready"]


class _Journalled(Script):
    """A Script that writes its journal to a file besides, and has each Call looked at."""

    def __init__(
        self,
        file: BinaryIO | None,
        numbers: Iterator[int],
        replay: Replay | None,
        look: Callable[[Call], None],
    ) -> None:
        super().__init__(replay)
        self._file, self._numbers, self._look = file, numbers, look

    def reset(self) -> None:
        super().reset()
        if isinstance(self.default, Replay):
            self.default = self.default.again()

    def record(self, call: Call) -> None:
        super().record(call)
        self._look(call)
        if self._file is not None:
            line = msgspec.json.encode(msgspec.structs.replace(call, id=next(self._numbers)))
            self._file.write(line + b"\n")
            self._file.flush()


def _looker(warn: Callable[[str], None]) -> Callable[[Call], None]:
    told: set[str] = set()

    def look(call: Call) -> None:
        if call.real_key and call.real_key not in told:
            told.add(call.real_key)
            warn(
                f"A key that looks like a real one of {call.real_key} reached a fake provider, "
                "which keeps it nowhere. Take it out of what talks to fakes."
            )

    return look


@contextmanager
def _appended(journal: Path) -> Iterator[BinaryIO]:
    try:
        file = journal.open("ab")
    except OSError as error:
        raise UsageError(
            f"cannot write the journal {journal}: {error.strerror}. Name a file in a folder that exists."
        ) from None
    with file:
        yield file


@contextmanager
def _signals(*numbers: signal.Signals) -> Iterator[threading.Event]:
    """Give an event that any of the signals sets, in place of what they did before."""
    told = threading.Event()

    def tell(number: int, frame: FrameType | None) -> None:
        told.set()

    before = {number: signal.signal(number, tell) for number in numbers}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def fastest_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes an event loop: uvloop's if it is installed."""
    try:
        loop: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        return asyncio.SelectorEventLoop
    return loop
