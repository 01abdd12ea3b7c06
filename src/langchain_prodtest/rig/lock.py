"""One experiment at a time on one rig, across processes."""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from langchain_prodtest.errors import UsageError

__all__ = ["locked"]


@contextmanager
def locked(rig: str) -> Iterator[None]:
    """Hold the lock of the rig with this name; UsageError names the holder. It is freed when we die."""
    digest = hashlib.sha256(rig.encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"prodtest-{os.getuid()}-{digest}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            raise UsageError(
                f"another experiment (process {holder}) runs on this rig ({rig}); wait for it, or stop it"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)
