"""Several processes on one port: workers answer what needs no script, and their owner all the rest.

The owner has the scripts, scopes, journal and control, and no port. A worker tells it of each exchange before
the client has the whole answer, and hands it connections (see `worker`).
"""

import asyncio
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any

import msgspec

from langchain_prodtest.errors import UsageError
from langchain_prodtest.script import Call, Reply
from langchain_prodtest.wire.arrival import Arrival
from langchain_prodtest.wire.connection import Connection
from langchain_prodtest.wire.link import CALL, PLAN, READY, Board, Link, Message, Plan
from langchain_prodtest.wire.scripts import Rule
from langchain_prodtest.wire.server import FakeServer

__all__ = ["SharedServer"]

_COMMAND = (sys.executable, "-m", "langchain_prodtest.wire.worker")
_SECONDS = 10.0  # in which workers end when they are told to; then they are killed


class SharedServer(FakeServer):
    """A FakeServer with scopes whose port is listened on by `workers` processes of their own.

    Requests that name no scope are answered by any worker while no script needs memory; all others, and the
    control API, by this process. `lost` is called when a worker ends that was not told to.

    UsageError: as FakeServer, and a worker that does not start.
    """

    def __init__(self, workers: int, lost: Callable[[], None], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._workers, self._lost = workers, lost
        self._rules: Sequence[Rule] = options.get("rules", ())
        self._token: str = options.get("token", "")
        self._keys: Collection[str] = options.get("keys", ())
        self._call = msgspec.msgpack.Decoder(Call)
        self._arrival = msgspec.msgpack.Decoder(Arrival | None)
        self._links: list[Link] = []
        self._adopting: set[asyncio.Task[None]] = set()
        self._ending, self._silent = False, asyncio.Event()

    @asynccontextmanager
    async def _listening(self, accept: Callable[[], asyncio.Protocol]) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        with ExitStack() as stack:
            self._port = stack.enter_context(_claimed(self._host, self._port)).getsockname()[1]
            processes = self._hire(stack)
            for link in self._links:
                loop.add_reader(link.socket, self._hear, link)
            self._traffic.settle, self._scopes.changed = self._settle, self._tell_workers
            yield
            await self._end(processes)

    def _hire(self, stack: ExitStack) -> list[subprocess.Popen[bytes]]:
        """Start the workers, and return when they accept connections."""
        file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._board = Board(file.fileno(), self._workers)
        self._tell_workers()
        processes = []
        for number in range(1, self._workers + 1):
            ours, theirs = socket.socketpair()
            with theirs:
                process = subprocess.Popen(  # noqa: S603 - this program itself
                    _COMMAND, stdin=theirs.fileno(), stdout=subprocess.DEVNULL
                )
            processes.append(stack.enter_context(process))
            self._links.append(Link(stack.enter_context(ours)))
            self._links[-1].send(PLAN, msgspec.json.encode(self._plan(number)), file.fileno())
        for link in self._links:
            self._await_ready(link)
        return processes

    def require_whole(self) -> None:
        """UsageError if a worker has ended that was not told to."""
        if any(link.ended for link in self._links):
            raise UsageError("a process of the fake providers was killed; the others end too, start again")

    def _plan(self, number: int) -> Plan:
        answers = [
            (rule.match, *((step, None) if isinstance(step, Reply) else (None, step)))
            for rule in (self._rules if self._scopes.plain else ())
            if (step := rule.always) is not None
        ]
        mounts, keys = dict(self._mounts), list(self._keys)
        return Plan(number, self._workers, self._host, self._port, mounts, self._token, keys, answers)

    def _await_ready(self, link: Link) -> None:
        while (message := link.receive()) is not None:
            if message.kind == READY:
                return
            self._take(message)
        raise UsageError("a process of the fake providers did not start; what it said stands above")

    def _hear(self, link: Link) -> None:
        for message in link.waiting():
            self._take(message)
        if link.ended:
            asyncio.get_running_loop().remove_reader(link.socket)
            if not self._ending:
                self._lost()
            if all(other.ended for other in self._links):
                self._silent.set()

    def _take(self, message: Message) -> None:
        if message.kind == CALL:
            call = self._call.decode(message.content)
            if not call.attempt:
                attempt = self._router.script.attempt(call.digest, scope=call.provider)
                call = msgspec.structs.replace(call, attempt=attempt)
            self._traffic.record(call)
        else:
            arrival = self._arrival.decode(message.content)
            task = asyncio.get_running_loop().create_task(self._adopt(message.file, arrival))
            self._adopting.add(task)
            task.add_done_callback(self._adopting.discard)

    async def _adopt(self, file: int, arrival: Arrival | None) -> None:
        loop, connection = asyncio.get_running_loop(), socket.socket(fileno=file)
        connection.setblocking(False)
        with suppress(OSError):  # the client may have left
            await loop.connect_accepted_socket(
                lambda: Connection(self._traffic, loop, arrival=arrival), connection
            )

    def _settle(self) -> int:
        for link in self._links:
            if not link.ended:
                self._hear(link)
        return self._board.open()

    def _tell_workers(self) -> None:
        self._board[0] = not self._scopes.plain

    async def _end(self, processes: list[subprocess.Popen[bytes]]) -> None:
        """Have the workers close their connections and tell of them; kill those that do not."""
        self._ending = True
        for link in self._links:
            with suppress(OSError):  # a worker that was killed
                link.socket.shutdown(socket.SHUT_WR)
        with suppress(TimeoutError):
            async with asyncio.timeout(_SECONDS):
                await self._silent.wait()
        for process in processes:
            process.kill()


def _claimed(host: str, port: int) -> socket.socket:
    """Return a socket that keeps the port for sockets that share it; OSError if it has another owner."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as alone:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind(address)
        address = alone.getsockname()
    shared = socket.socket(family, kind, protocol)
    try:
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        shared.bind(address)
    except OSError:
        shared.close()
        raise
    return shared
