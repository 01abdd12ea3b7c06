"""What passes between the process that has the scripts and one that answers: Calls, and connections.

Each message is four bytes of length, one of its kind, and its content; a file may come along.
"""

import mmap
import os
import socket
import struct
import threading
from array import array
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from langchain_prodtest.script import Match
from langchain_prodtest.steps import Fault, Reply

__all__ = ["CALL", "CONNECTION", "PLAN", "READY", "Board", "Link", "Message", "Plan"]

PLAN, READY, CALL, CONNECTION = b"prac"
_HEAD = struct.Struct(">IB")
_READ = 256 * 1024
_FILES = 16


class Plan(msgspec.Struct, frozen=True):
    """What a worker, an answering process, is told when it starts. Its `number` is 1 to `workers`."""

    number: int
    workers: int
    host: str
    port: int
    mounts: dict[str, str]
    token: str
    keys: list[str]
    answers: list[tuple[Match, Reply | None, Fault | None]]


class Message(NamedTuple):
    """One message; `file` is the descriptor that came along, which is now the reader's to close."""

    kind: int
    content: bytes
    file: int = -1


class Link:
    """One end of a pair of connected sockets. It may be written and read by different threads."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self.ended = False
        self._data = bytearray()
        self._files: deque[int] = deque()
        self._sending = threading.Lock()

    def send(self, kind: int, content: bytes = b"", file: int = -1) -> None:
        """Send a message; it blocks while the other end is behind."""
        data = _HEAD.pack(len(content), kind) + content
        with self._sending:
            sent = 0 if file < 0 else socket.send_fds(self.socket, [data], [file])
            self.socket.sendall(memoryview(data)[sent:])

    def receive(self) -> Message | None:
        """Wait for the next message; None when the other end is closed."""
        while (message := self._next()) is None and not self.ended:
            self._read(0)
        return message

    def waiting(self) -> Iterator[Message]:
        """Return the messages that have come; `ended` tells whether more can."""
        while not self.ended:
            try:
                self._read(socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            while (message := self._next()) is not None:
                yield message

    def _read(self, flags: int) -> None:
        try:
            data, extra, *_ = self.socket.recvmsg(_READ, socket.CMSG_SPACE(_FILES * 4), flags)
        except ConnectionError:
            data, extra = b"", []
        self._data += data
        for _, _, files in extra:
            self._files.extend(array("i", files))
        self.ended = not data

    def _next(self) -> Message | None:
        if len(self._data) < _HEAD.size:
            return None
        length, kind = _HEAD.unpack_from(self._data)
        end = _HEAD.size + length
        if len(self._data) < end:
            return None
        content = bytes(self._data[_HEAD.size : end])
        del self._data[:end]
        with_file = kind in (PLAN, CONNECTION)
        return Message(kind, content, self._files.popleft() if with_file else -1)


class Board:
    """Numbers in memory that all processes share.

    Place 0 is 1 while every request needs the owner; place N is how many exchanges are open at worker N.
    """

    def __init__(self, file: int, workers: int) -> None:
        size = (workers + 1) * 4
        os.ftruncate(file, size)
        self._places = memoryview(mmap.mmap(file, size)).cast("I")

    def __getitem__(self, place: int) -> int:
        return self._places[place]

    def __setitem__(self, place: int, number: int) -> None:
        self._places[place] = number

    def open(self) -> int:
        """Return how many exchanges are open at all workers."""
        return sum(self._places[1:])
