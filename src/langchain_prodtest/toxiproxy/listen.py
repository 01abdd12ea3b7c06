"""Listening sockets: where they may be, and the original's words when that is impossible."""

import contextlib
import os
import socket

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.address import NoAddressError, hosts_of, join_address, split_address
from langchain_prodtest.toxiproxy.policy import Policy

__all__ = ["BACKLOG", "bind", "listen_error", "listen_on", "resolve", "resolve_new"]

BACKLOG = 1024


def resolve(listen: str, policy: Policy) -> str:
    """Return an address to listen on as it is shown; ToxiproxyError for none, or one that is not allowed."""
    try:
        host, port = split_address(listen or ":0", policy.allowed)
    except NoAddressError as error:
        raise NoAddressError(str(error), 500 if policy.strict else 400) from None
    ips = hosts_of(host)
    if not ips:
        raise ToxiproxyError(f'"{host}" is no IP address: a listener needs one', 400)
    return join_address(ips[0], port)


def resolve_new(listen: str, policy: Policy) -> tuple[str, int]:
    """Return host and port of a listener that is to come; ToxiproxyError as `resolve`, in other words."""
    try:
        return split_address(resolve(listen, policy), policy.allowed)
    except NoAddressError as error:
        raise ToxiproxyError(f"listen tcp: {error}", error.status) from None


def bind(listen: str, policy: Policy) -> tuple[socket.socket, str]:
    """Return a socket that holds the address, and the address as it is shown; ToxiproxyError if none can."""
    host, port = resolve_new(listen, policy)
    with contextlib.ExitStack() as stack:
        try:
            sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            stack.callback(sock.close)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
        except OSError as error:
            raise listen_error(join_address(host, port), error) from None
        stack.pop_all()
        return sock, join_address(host, sock.getsockname()[1])


def listen_on(sock: socket.socket) -> None:
    """Let clients connect, from now on or again."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.listen(BACKLOG)


def listen_error(address: str, error: OSError) -> ToxiproxyError:
    """Return the original's error (status 500) for what the system said."""
    reason = os.strerror(error.errno or 0).lower()
    return ToxiproxyError(f"listen tcp {address}: bind: {reason}", 500)
