"""One attempt to reach the network: where to, from which thread, from which lines."""

import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from langchain_prodtest.isolation.frames import lines_of, packages, users_line

__all__ = ["Attempt", "describe", "describe_late", "describe_local", "describe_open", "witness"]

COMMAND = 160  # characters shown of a command line
SHOWN = 4  # packages named in "through": the way from socket to caller, innermost first


@dataclass(frozen=True, kw_only=True)  # not a msgspec.Struct: every active run pays for this import
class Attempt:
    """A refused connection, datagram or look-up.

    `through` holds the innermost line in each package on the way, innermost package first; `line` is the
    innermost line of the user's own code, in this thread or else in the main thread. `when` is a phrase such
    as "during test_a.py::test_b". `process` tells which child of the test it was, "" for the test itself.
    """

    host: str
    port: int | None
    how: str
    thread: str
    through: tuple[str, ...]
    line: str
    when: str
    process: str = ""

    @property
    def target(self) -> str:
        """host:port, or the host alone for a look-up without a port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host


def witness(host: str, port: int | None, how: str, when: str, root: Path, process: str = "") -> Attempt:
    """Return the Attempt that the calling thread is making; `root` is where the user's own code lies.

    A child may run code that lies elsewhere, in a temporary folder for example.
    """
    lines = lines_of(sys._getframe(1))
    thread = threading.current_thread()
    line = users_line(lines, root)
    if not line and thread is not threading.main_thread():
        main = sys._current_frames().get(threading.main_thread().ident or 0)
        line = users_line(lines_of(main), root)
    if not line and process:
        line = users_line(lines, Path("/"))
    return Attempt(
        host=host,
        port=port,
        how=how,
        thread=thread.name,
        through=packages(lines),
        line=line,
        when=when,
        process=process,
    )


def describe(attempts: Sequence[Attempt], swallowed: bool) -> str:
    """Return what to tell about attempts on one target; `swallowed` when the test passed all the same."""
    first = attempts[0]
    times = f" ({len(attempts)} attempts)" if len(attempts) > 1 else ""
    lines = [
        f"A network call tried to leave the test: {first.target}{times}",
        f'  {first.how} from thread "{first.thread}"{_through(first)}',
        *([f"  in the child process {first.process[:COMMAND]}"] if first.process else []),
        f"  {first.when}{f', at {first.line}' if first.line else ''}",
    ]
    if swallowed:
        lines.append("  The error was swallowed, so the test itself passed.")
    return "\n".join([*lines, _remedy(first.host)])


def describe_open(host: str, port: int, when: str) -> str:
    """Return what to tell about a connection that was not seen before it existed."""
    lines = [
        f"A network connection left the test: {host}:{port}",
        "  open at its end; what made it has sockets of its own, such as gRPC, libcurl or a Rust client",
        f"  {when}",
    ]
    return "\n".join([*lines, _remedy(host)])


def describe_local(attempt: Attempt) -> str:
    """Return what to tell about a connection to a port of this machine that is none of the run's."""
    allow = f'@pytest.mark.prodtest(allow_hosts=["localhost:{attempt.port}"])'
    lines = [
        f"The test connected to {attempt.target}, where a process listens that this run did not start",
        f"  {attempt.when}{f', at {attempt.line}' if attempt.line else ''}",
        f"Start it in a fixture, or allow it: {allow}, or prodtest_allow_hosts in pytest's configuration.",
    ]
    return "\n".join(lines)


def describe_late(test: str, what: str, attempt: Attempt) -> str:
    """Return what to tell about a call, `what`, to a fake of a test that had ended."""
    lines = [
        f"A fake of {test} was called after that test had ended: {what}",
        f'  from thread "{attempt.thread}"{_through(attempt)}',
        f"  {attempt.when}{f', at {attempt.line}' if attempt.line else ''}",
        "Let the test wait for what it starts (join threads, await tasks), and build its clients itself.",
    ]
    return "\n".join(lines)


def _remedy(host: str) -> str:
    allow = f'allow the host: @pytest.mark.prodtest(allow_hosts=["{host}"])'
    if host.endswith("smith.langchain.com"):
        return f"Turn tracing off (LANGSMITH_TRACING=false), use the `fake_langsmith` fixture, or {allow}"
    return f"Let the `fake_providers` fixture answer it, or {allow}"


def _through(attempt: Attempt) -> str:
    return f", through {' <- '.join(attempt.through[:SHOWN])}" if attempt.through else ""
