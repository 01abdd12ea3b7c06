"""The hard wall: this process and its children in an empty network namespace (Linux), loopback only.

What audit hooks cannot see, gRPC, libcurl, Rust or a child in another language, has no network there either.
"""

import ctypes
import os
import socket
import struct
import sys
from pathlib import Path

from langchain_prodtest.errors import UsageError

__all__ = ["enter"]

# linux/sched.h, linux/sockios.h, linux/if.h
CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1

ENTERED = "PRODTEST_NETNS"  # in the environment: the namespace, for children that are to enter one too


def enter() -> None:
    """Leave the network for good, unless this process was started inside already.

    UsageError: not on Linux, with more than one thread (the others would keep the network), or where the
    kernel forbids it.
    """
    if sys.platform != "linux":
        raise UsageError(
            "--prodtest-isolate=netns needs Linux; leave it out, or run the tests in a container"
        )
    if os.environ.get(ENTERED, "") == _current():
        return
    others = [name for name in _threads() if int(name) != os.getpid()]
    if others:
        raise UsageError(
            f"--prodtest-isolate=netns: {len(others)} threads run already, and would keep the network. "
            "Load the plugin that starts them later (-p no:NAME), or run: unshare -rn pytest ..."
        )
    try:
        _enter()
    except OSError as error:
        raise UsageError(
            f"--prodtest-isolate=netns: the kernel gives no network namespace ({error.strerror}). "
            "Run as root, allow user namespaces, or run without a network (docker run --network none)."
        ) from None
    os.environ[ENTERED] = _current()


def _enter() -> None:
    uid, gid = os.getuid(), os.getgid()
    try:
        _unshare(CLONE_NEWNET)
    except PermissionError:
        _unshare(CLONE_NEWUSER | CLONE_NEWNET)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    _bring_loopback_up()


def _current() -> str:
    return os.readlink("/proc/self/ns/net")  # noqa: PTH115 - the target is no path


def _threads() -> list[str]:
    return os.listdir("/proc/self/task")  # noqa: PTH208


def _unshare(flags: int) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _bring_loopback_up() -> None:
    import fcntl  # not on Windows

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
