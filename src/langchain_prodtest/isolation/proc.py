"""The TCP sockets of this machine, as Linux tells them in /proc; elsewhere there are none to be seen."""

import ipaddress
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Peer", "connected", "family", "listening", "owned_by"]

ESTABLISHED, LISTEN = "01", "0A"  # linux/include/net/tcp_states.h


class Peer(NamedTuple):
    """The other end of an established connection; `inode` is the number of this end."""

    inode: int
    host: str
    port: int


def connected() -> list[Peer]:
    """Return the peers of all established connections in this network namespace."""
    return [
        Peer(inode, _host(remote[0]), int(remote[1], 16))
        for state, _, remote, inode in _sockets()
        if state == ESTABLISHED
    ]


def listening() -> dict[int, set[int]]:
    """Return, by port, the inodes of the sockets that listen on it."""
    found: dict[int, set[int]] = {}
    for state, local, _, inode in _sockets():
        if state == LISTEN:
            found.setdefault(int(local[1], 16), set()).add(inode)
    return found


def owned_by(pid: int) -> set[int]:
    """Return the inodes of the sockets that a process has open; none if it is gone or someone else's."""
    found, folder = set(), f"/proc/{pid}/fd"
    try:
        for name in os.listdir(folder):  # noqa: PTH208 - this runs after every test
            found.add(_link(f"{folder}/{name}"))
    except OSError:
        pass
    return found - {0}


def family(pid: int) -> set[int]:
    """Return a process with all its descendants that still live, and whose forebears do."""
    parents = dict(_parents())
    found, new = {pid}, {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new}
        found |= new
    return found


def _sockets() -> Iterator[tuple[str, list[str], list[str], int]]:
    """Give state, local and remote address (in hex) and inode of each socket."""
    for name in ("tcp", "tcp6"):
        try:
            rows = Path(f"/proc/self/net/{name}").read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            yield fields[3], fields[1].split(":"), fields[2].split(":"), int(fields[9])


def _host(digits: str) -> str:
    """Return an address from the words that the kernel prints in the order of this machine's bytes."""
    words = re.findall("." * 8, digits)
    address = ipaddress.ip_address(b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words))
    return str(getattr(address, "ipv4_mapped", None) or address)


def _link(path: str) -> int:
    try:
        kind, _, inode = os.readlink(path).partition(":[")  # noqa: PTH115
    except OSError:  # closed a moment ago
        return 0
    return int(inode[:-1]) if kind == "socket" else 0


def _parents() -> Iterator[tuple[int, int]]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            yield int(stat.parent.name), int(stat.read_text("utf-8", "replace").rpartition(")")[2].split()[1])
        except OSError:  # it ended a moment ago
            continue
