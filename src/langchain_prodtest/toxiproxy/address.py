"""Addresses in Go's `host:port` notation, loopback only: no name is ever looked up."""

import ipaddress

from langchain_prodtest.errors import ToxiproxyError

__all__ = ["hosts_of", "join_address", "split_address"]


def split_address(text: str) -> tuple[str, int]:
    """Return host and port of `127.0.0.1:80`, `[::1]:80`, `localhost:80` or `:80` (loopback).

    ToxiproxyError: status 500 and Go's words for what is no address, 400 for a host that is not loopback.
    """
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ToxiproxyError(f"address {text}: missing port in address", 500)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ToxiproxyError(f"address {text}: too many colons in address", 500)
    host = host or "127.0.0.1"
    hosts_of(host)
    if port and not (port.isascii() and port.isdigit()):
        raise ToxiproxyError(f"lookup tcp/{port}: unknown port", 500)
    if int(port or "0") > 65535:
        raise ToxiproxyError(f"address {port}: invalid port", 500)
    return host, int(port or "0")


def hosts_of(host: str) -> tuple[str, ...]:
    """Return the IP addresses to try for `host`, in order; a host that is not loopback is refused (400)."""
    if host == "localhost":
        return ("127.0.0.1", "::1")
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ToxiproxyError(
            f'"{host}" is not loopback: this server listens on and connects to loopback addresses only', 400
        )
    return (host,)


def join_address(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
