"""One POST over a loopback socket, and its answer as it comes; leaving the block closes the connection."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httptools

__all__ = ["Answer", "events", "exchange"]


class Answer:
    """The answer of a server: status, content type, and the body while it is being received."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self.status, self.content_type = 0, ""
        self._reader, self._parser = reader, httptools.HttpResponseParser(self)
        self._body, self._headed, self._ended = bytearray(), False, False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep what says how the body is read."""
        if name.lower() == b"content-type":
            self.content_type = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self.status, self._headed = self._parser.get_status_code(), True

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """The body is whole."""
        self._ended = True

    async def head(self) -> None:
        """Wait for status and headers."""
        while not self._headed:
            await self._receive()

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; ConnectionError if it is cut."""
        while self._body or not self._ended:
            if self._body:
                part = bytes(self._body)
                self._body.clear()
                yield part
            else:
                await self._receive()

    async def text(self) -> str:
        """Return the whole body."""
        return b"".join([part async for part in self.parts()]).decode("utf-8", "replace")

    async def _receive(self) -> None:
        data = await self._reader.read(65536)
        if not data:
            raise ConnectionError("the service closed the connection before the end of its answer")
        self._parser.feed_data(data)


@asynccontextmanager
async def exchange(port: int, path: str, body: bytes, headers: Mapping[str, str]) -> AsyncIterator[Answer]:
    """POST a JSON body to 127.0.0.1 and give the answer once its head is there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = {
        "host": f"127.0.0.1:{port}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        **headers,
    }
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    try:
        writer.write("\r\n".join(lines).encode("latin-1") + body)
        answer = Answer(reader)
        await answer.head()
        yield answer
    finally:
        writer.transport.abort()


async def events(answer: Answer) -> AsyncIterator[tuple[str, str]]:
    """Yield (name, data) of each server-sent event (WHATWG HTML, 9.2); one without a name is a `message`."""
    left = b""
    name, data = "", list[str]()
    async for part in answer.parts():
        *lines, left = (left + part).split(b"\n")
        for line in lines:
            field, _, value = line.rstrip(b"\r").decode("utf-8", "replace").partition(":")
            if field == "event":
                name = value.removeprefix(" ")
            elif field == "data":
                data.append(value.removeprefix(" "))
            elif not field and not value:
                if data:
                    yield name or "message", "\n".join(data)
                name, data = "", []
