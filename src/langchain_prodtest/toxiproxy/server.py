"""The server process: HTTP/1.1 in front of the API, until a signal or the death of its parent."""

import asyncio
import os
import random
import signal
from http import HTTPStatus
from pathlib import Path

import httptools

from langchain_prodtest.errors import UsageError
from langchain_prodtest.toxiproxy.address import hosts_of, join_address
from langchain_prodtest.toxiproxy.api import Api
from langchain_prodtest.toxiproxy.collection import Collection
from langchain_prodtest.toxiproxy.config_file import load
from langchain_prodtest.toxiproxy.message import PLAIN, Answer, Request
from langchain_prodtest.toxiproxy.policy import Policy

__all__ = ["run"]

_LARGEST = 1 << 20
_IDLE = 60.0
_XID = "0123456789abcdefghijklmnopqrstuv"


class _Parser:
    """Collects whole requests out of the bytes of one client."""

    def __init__(self) -> None:
        self.ready: list[tuple[Request, bool]] = []
        self.size = 0
        self._http = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        """Take bytes; httptools.HttpParserError if they are no HTTP/1.x."""
        self.size += len(data)
        self._http.feed_data(data)

    def on_message_begin(self) -> None:
        self._url, self._headers, self._body = b"", dict[str, str](), bytearray()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        url = httptools.parse_url(self._url)
        request = Request(
            method=self._http.get_method().decode("latin-1"),
            path=(url.path or b"/").decode("latin-1"),
            query=(url.query or b"").decode("latin-1"),
            headers=self._headers,
            body=bytes(self._body),
        )
        self.ready.append((request, self._http.should_keep_alive()))
        self.size = 0


class Server:
    """Serves an API over HTTP/1.1 on a loopback address."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._clients: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> str:
        """Listen and return the address; OSError if the port is taken."""
        self._server = await asyncio.start_server(self._serve, (hosts_of(host) or (host,))[0], port)
        address = self._server.sockets[0].getsockname()
        return join_address(address[0], address[1])

    async def close(self) -> None:
        """Stop listening and drop all clients."""
        if self._server is not None:
            self._server.close()
        for writer in self._clients:
            writer.transport.abort()
        for task in self._clients.values():
            if task is not None:
                task.cancel()  # It may be following events, without an end.
        await asyncio.gather(*(task for task in self._clients.values() if task), return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients[writer] = asyncio.current_task()
        try:
            await _talk(self._api, reader, writer)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            pass  # The client is gone, or has been silent for too long; or we are.
        finally:
            writer.close()
            del self._clients[writer]


async def _talk(api: Api, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    parser = _Parser()
    while True:
        async with asyncio.timeout(_IDLE):
            data = await reader.read(65536)
        if not data:
            return
        broken = False
        try:
            parser.feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            broken = True
        for request, keep in parser.ready:
            answer = await api.answer(request)
            await _send(writer, answer, keep, body=request.method != "HEAD")
            if not keep:
                return
        if broken:
            await _send(writer, Answer(400, b"400 Bad Request", PLAIN, routed=False), False)
            return
        parser.ready.clear()
        if parser.size > _LARGEST:
            await _send(writer, Answer(413, content_type="", routed=False), False)
            return


async def _send(writer: asyncio.StreamWriter, answer: Answer, keep: bool, body: bool = True) -> None:
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", "Server: langchain-prodtest"]
    if answer.content_type:
        lines.append(f"Content-Type: {answer.content_type}")
    if answer.nosniff:
        lines.append("X-Content-Type-Options: nosniff")
    if answer.routed:
        lines.append(f"X-Toxiproxy-Request-Id: {''.join(random.choices(_XID, k=20))}")
    if answer.location:
        lines.append(f"Location: {answer.location}")
    if answer.stream is not None:
        lines.append("Transfer-Encoding: chunked")
    elif answer.status != 204:
        lines.append(f"Content-Length: {len(answer.body)}")
    if not keep:
        lines.append("Connection: close")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
    writer.write(head + answer.body if body else head)
    await writer.drain()
    if answer.stream is not None:
        async for part in answer.stream:
            writer.write(b"%x\r\n%b\r\n" % (len(part), part))
            await writer.drain()


async def run(host: str, port: int, policy: Policy, parent: int | None, config: Path | None) -> None:
    """Serve until SIGTERM, SIGINT or the death of process `parent`; prints one line with the address.

    UsageError if the port is taken or the file `config` is bad.
    """
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    proxies = Collection(policy)
    server = Server(Api(proxies))
    try:
        address = await server.start(host, port)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {join_address(host, port)}: {os.strerror(error.errno or 0)}. "
            "Choose another --port, or 0 for a free one."
        ) from None
    try:
        if config is not None:
            await load(config, proxies)
    except BaseException:
        await server.close()
        raise
    print(f"Toxiproxy listens on http://{address}", flush=True)
    watches = [asyncio.create_task(proxies.obey_stop_file())]
    if parent is not None:
        watches.append(asyncio.create_task(_watch_parent(parent, done)))
    await done.wait()
    for watch in watches:
        watch.cancel()
    await server.close()
    await proxies.close()


async def _watch_parent(parent: int, done: asyncio.Event) -> None:
    while _lives(parent):  # noqa: ASYNC110 - another process tells nobody that it ends
        await asyncio.sleep(0.5)
    done.set()


def _lives(pid: int) -> bool:
    """Say whether a process runs; one that is dead but not yet waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("latin-1")
    except OSError:
        return not Path("/proc/self/stat").exists()
    return stat.rpartition(")")[2].split()[0] not in "ZX"
