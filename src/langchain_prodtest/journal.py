"""A journal of any length: its last entries are in memory, those before them on disk."""

import os
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import Generic, TypeVar

import msgspec

__all__ = ["KEPT", "PAGE", "Journal"]

Entry = TypeVar("Entry", bound=msgspec.Struct)

KEPT = 1000  # entries in memory, and up to a page more
PAGE = 256  # entries that go to disk, and come from there, at a time


class Journal(Generic[Entry]):
    """Entries of the type `kind` in order, of which JSON keeps all that matters.

    The file has no name, so that nothing is left of it however the process ends. On a full disk entries
    stay in memory. Not thread-safe: its owner has the lock.
    """

    def __init__(self, kind: type[Entry]) -> None:
        self._encoder = msgspec.json.Encoder(enc_hook=repr)
        self._decoder = msgspec.json.Decoder(kind)
        self._recent: list[Entry] = []
        self._ends = [0]  # where in the file each page ends, and the next begins
        self._file = -1

    def append(self, entry: Entry) -> None:
        """Add an entry at the end."""
        self._recent.append(entry)
        if len(self._recent) >= KEPT + PAGE:
            with suppress(OSError):
                self._write(self._encoder.encode_lines(self._recent[:PAGE]))
                del self._recent[:PAGE]

    def __len__(self) -> int:
        return self._on_disk() + len(self._recent)

    def __iter__(self) -> Iterator[Entry]:
        for number in range(len(self._ends) - 1):
            yield from self._decoder.decode_lines(self._read(number))
        yield from self._recent

    def page(self, start: int) -> bytes:
        """Return lines of JSON for the entry at `start` and some behind it, b"" if there is none."""
        if start >= self._on_disk():
            place = start - self._on_disk()
            return self._encoder.encode_lines(self._recent[place : place + PAGE])
        number, skipped = divmod(start, PAGE)
        return b"".join(self._read(number).splitlines(keepends=True)[skipped:])

    def clear(self) -> None:
        """Forget all entries."""
        self._recent.clear()
        self._ends = [0]
        if self._file >= 0:
            os.ftruncate(self._file, 0)

    def _on_disk(self) -> int:
        return (len(self._ends) - 1) * PAGE

    def _write(self, page: bytes) -> None:
        if self._file < 0:
            with tempfile.TemporaryFile(buffering=0) as file:
                self._file = os.dup(file.fileno())
            weakref.finalize(self, os.close, self._file)
        end, at = self._ends[-1] + len(page), self._ends[-1]
        while at < end:
            at += os.pwrite(self._file, page[at - end :], at)
        self._ends.append(end)

    def _read(self, number: int) -> bytes:
        start, end = self._ends[number : number + 2]
        return os.pread(self._file, end - start, start)
