"""Addresses in Go's `host:port` notation, and which of them a server may use."""

import ipaddress
from collections.abc import Sequence

from langchain_prodtest.errors import ToxiproxyError

__all__ = ["UNIX", "Allowed", "NoAddressError", "hosts_of", "join_address", "split_address"]

UNIX = "unix:"
"""What the address of a UNIX socket begins with; its path follows."""


class NoAddressError(ToxiproxyError):
    """A text is no address; it says so in Go's words."""


class Allowed:
    """The addresses a server may listen on and connect to: loopback and those given.

    Each of these is an IP address, a network, or else a host name.
    """

    def __init__(self, given: Sequence[str] = ()) -> None:
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self._names = {"localhost"}
        for each in given:
            try:
                self._networks.append(ipaddress.ip_network(each, strict=False))
            except ValueError:
                self._names.add(each.lower())

    def check(self, host: str) -> None:
        """Refuse (ToxiproxyError 400) a host that is not allowed."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            allowed = host.lower() in self._names
        else:
            allowed = address.is_loopback or any(address in network for network in self._networks)
        if not allowed:
            raise ToxiproxyError(
                f'"{host}" is not allowed: this server listens on and connects to loopback addresses '
                f"and what --allow names",
                400,
            )


def split_address(text: str, allowed: Allowed) -> tuple[str, int]:
    """Return host and port of `127.0.0.1:80`, `[::1]:80`, `localhost:80` or `:80` (loopback).

    NoAddressError for what is no address, ToxiproxyError for a host that is not allowed; both of status 400.
    """
    host, colon, port = text.rpartition(":")
    if not colon:
        raise NoAddressError(f"address {text}: missing port in address", 400)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise NoAddressError(f"address {text}: too many colons in address", 400)
    host = host or "127.0.0.1"
    allowed.check(host)
    if port and not (port.isascii() and port.isdigit()):
        raise NoAddressError(f"lookup tcp/{port}: unknown port", 400)
    if int(port or "0") > 65535:
        raise NoAddressError(f"address {port}: invalid port", 400)
    return host, int(port or "0")


def hosts_of(host: str) -> tuple[str, ...]:
    """Return the IP addresses of an address or of localhost, in the order to try; () for another name."""
    if host == "localhost":
        return ("127.0.0.1", "::1")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return ()
    return (host,)


def join_address(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
