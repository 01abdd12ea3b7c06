"""Where a recorded provider is, and what it is asked."""

import ssl
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from langchain_prodtest.config import check_target
from langchain_prodtest.errors import UsageError
from langchain_prodtest.wire.arrival import Arrival
from langchain_prodtest.wire.codec import Codec
from langchain_prodtest.wire.front import provider_of

__all__ = ["HOP_BY_HOP", "Upstream", "upstreams"]

HOP_BY_HOP = frozenset(
    {
        *("connection", "content-length", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    }
)
"""Names of headers that are about one connection (RFC 9110, 7.6.1), and the length, a matter of framing."""

_OURS = HOP_BY_HOP | {"accept-encoding", "expect", "host"}
_PORTS = {"http": 80, "https": 443}


class Upstream(NamedTuple):
    """A provider's API; `path` is what its paths begin with. With `tls`, its certificate must hold."""

    host: str
    port: int
    authority: str
    path: str
    tls: ssl.SSLContext | None

    def request(self, arrival: Arrival, path: str) -> bytes:
        """Return what is sent for an arrived request to `path`: it itself, for one answer, not compressed."""
        lines = [
            f"{arrival.method} {self.path}{path} HTTP/1.1".encode("latin-1"),
            b"host: " + self.authority.encode("latin-1"),
            *(
                name + b": " + value
                for name, value in arrival.headers
                if name.lower().decode("latin-1") not in _OURS
            ),
            b"accept-encoding: identity",
            b"connection: close",
        ]
        if arrival.body or arrival.method not in ("GET", "HEAD", "DELETE", "OPTIONS"):
            lines.append(b"content-length: %d" % len(arrival.body))
        return b"\r\n".join([*lines, b"", arrival.body])


def upstreams(urls: Iterable[str], allow: list[str], providers: Mapping[str, Codec]) -> dict[str, Upstream]:
    """Return the providers at these URLs by name; a URL is that of the API, with or without its version.

    The name is known from the host, or is the end of the path (as at a server of fakes), or is written before
    it: `openai=https://gateway.example`. UsageError: a name that is not known, one given twice, or a host
    that is neither loopback nor in `allow`.
    """
    found: dict[str, Upstream] = {}
    for given in urls:
        name, named, url = given.partition("=")
        if not named or name not in providers:
            name, url = "", given
        check_target(url, allow)
        parts = urlsplit(url)
        path = parts.path.rstrip("/")
        name = name or provider_of(parts.hostname or "")
        ends = (
            known for known, codec in providers.items() if path.removesuffix(codec.base).endswith(f"/{known}")
        )
        name = name or next(ends, "")
        if not name or name in found:
            known = ", ".join(providers)
            what = f"{name} has two upstreams" if name else f"which provider is at {url}?"
            raise UsageError(f"{what} Write --upstream NAME=URL, once for each NAME: {known}")
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        port = parts.port or _PORTS[parts.scheme]
        authority = parts.netloc.rpartition("@")[2]
        path = path.removesuffix(providers[name].base)
        found[name] = Upstream(parts.hostname or "", port, authority, path, tls)
    return found


def _ends_with(path: str, name: str, providers: Mapping[str, Codec]) -> bool:
    return path.removesuffix(providers[name].base).endswith(f"/{name}")
