"""Record exchanges with a real provider: forward requests to it, and write down what it answers.

Bytes of the answer go to the client as they come; a copy of them is read for the cassette, which is written
anew after each exchange, before the client has the end of the answer.
"""

import asyncio
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from langchain_prodtest.errors import UsageError
from langchain_prodtest.wire.arrival import Arrival, Limits, Reader
from langchain_prodtest.wire.cassette import Recording, formatted, heard, save
from langchain_prodtest.wire.codec import Rejected
from langchain_prodtest.wire.connection import reset
from langchain_prodtest.wire.framing import CONTINUE, frame
from langchain_prodtest.wire.providers import PROVIDERS
from langchain_prodtest.wire.response import refuse
from langchain_prodtest.wire.transcript import Transcript, Unrecordable
from langchain_prodtest.wire.upstream import Upstream

__all__ = ["Recorder", "record"]

_CONNECT = 15.0  # seconds in which a provider accepts the connection
_READ = 64 * 1024
_TURNS = 10  # of the loop, in which closed transports end

Say = Callable[[str], None]


class Recorder:
    """Forwards what is asked of `/<provider>/...` to its upstream, and writes the cassette `out`.

    The first exchange replaces a cassette that is there. One that cannot be recorded, or that the client
    left, is not in it, and `warn` is told. UsageError: `out` is in no folder that exists.
    """

    def __init__(self, upstreams: Mapping[str, Upstream], out: Path, warn: Say) -> None:
        if not out.parent.is_dir() or out.is_dir():
            raise UsageError(f"cannot write the cassette {out}. Name a file in a folder that exists.")
        self._upstreams, self._out, self._warn = upstreams, out, warn
        self.recordings: list[bytes] = []
        self._serving: set[asyncio.Task[None]] = set()

    async def run(self, port: int, announce: Say, told: asyncio.Event) -> None:
        """Listen on loopback until `told`; `announce` is given a line with the base URL of each provider."""
        try:
            server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        except OSError as error:
            raise UsageError(
                f"cannot listen on port {port}: {error.strerror}. Free it or choose another."
            ) from None
        taken = server.sockets[0].getsockname()[1]
        for name in self._upstreams:
            announce(f"{name}  http://127.0.0.1:{taken}/{name}{PROVIDERS[name].base}")
        await told.wait()
        server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a connection, or give it up when the client leaves."""
        writer.transport.set_write_buffer_limits(0)
        try:
            async with asyncio.timeout(Limits().seconds):
                arrival = await _arrived(reader, writer)
            answering = asyncio.ensure_future(self._answer(arrival, writer))
            leaving = asyncio.ensure_future(_left(reader))
            try:
                await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if answering.done():
                    answering.result()
                else:
                    self._warn("not recorded: the client left before the answer was whole")
            finally:
                answering.cancel()
                leaving.cancel()
        except (TimeoutError, OSError, EOFError):
            pass  # a client that says nothing, or has gone
        finally:
            writer.close()

    async def _answer(self, arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        mount = arrival.target.removeprefix("/").partition("/")[0]
        try:
            if arrival.rejected is not None:
                raise arrival.rejected
            if mount not in self._upstreams:
                known = ", ".join(self._upstreams)
                raise Rejected(404, f'Nobody records for "/{mount}". Recorded are: {known}')
            await self._forward(arrival, mount, writer)
        except Rejected as rejected:
            codec = PROVIDERS[mount if mount in PROVIDERS else next(iter(self._upstreams))]
            response = refuse(codec, rejected.status, str(rejected))
            writer.writelines(write.data for write in frame(response, keep_alive=False, chunks=True))
            await writer.drain()

    async def _forward(self, arrival: Arrival, mount: str, writer: asyncio.StreamWriter) -> None:
        upstream, loop = self._upstreams[mount], asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with asyncio.timeout(_CONNECT):
                source, target = await asyncio.open_connection(upstream.host, upstream.port, ssl=upstream.tls)
        except (OSError, TimeoutError) as error:
            self._warn(f"not recorded: {upstream.authority} cannot be reached: {error}")
            raise Rejected(502, f"{upstream.authority} cannot be reached: {error}") from None
        try:
            target.write(upstream.request(arrival, arrival.target.removeprefix(f"/{mount}")))
            transcript, data, lost = Transcript(arrival.method), b"-", False
            while data and not transcript.whole:
                try:
                    data = await source.read(_READ)
                except OSError:
                    data, lost = b"", True
                transcript.feed(data, loop.time() - begun)
                if not data or transcript.whole:
                    self._keep(arrival, transcript, lost)
                writer.write(data)
                await writer.drain()
        finally:
            target.transport.abort()
        if lost:
            reset(writer.transport)

    def _keep(self, arrival: Arrival, transcript: Transcript, lost: bool) -> None:
        """Write the cassette with this exchange in it."""
        asked, redaction = heard(arrival)
        try:
            recording = Recording(request=asked, response=transcript.told(lost, redaction))
            self.recordings.append(formatted(recording))
            save(self._out, self.recordings)
        except Unrecordable as why:
            self._warn(f"not recorded: {asked.method} {asked.path}: {why}")
        except UsageError as error:
            self._warn(str(error))


async def _arrived(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Arrival:
    """Return the request that a client sends; EOFError if it leaves instead."""
    requests = Reader(Limits(), keep_alive=False)
    while not requests.arrived:
        data = await reader.read(_READ)
        if not data:
            raise EOFError
        requests.feed(data)
        if requests.expects:
            requests.expects = False
            writer.write(CONTINUE)
    return requests.arrived[0]


async def _left(reader: asyncio.StreamReader) -> None:
    while await reader.read(_READ):
        pass


def record(upstreams: Mapping[str, Upstream], out: Path, port: int, announce: Say, warn: Say) -> int:
    """Record until SIGINT or SIGTERM; return the number of exchanges that are in the cassette."""
    recorder = Recorder(upstreams, out, warn)

    async def run() -> None:
        told = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        await recorder.run(port, announce, told)

    asyncio.run(run())
    return len(recorder.recordings)
