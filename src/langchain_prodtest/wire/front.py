"""An HTTP proxy that is every provider's host at once, for clients that keep their production URLs.

`CONNECT api.openai.com:443` is answered with 200, then with TLS in that name, then as the fake provider;
`GET http://api.openai.com/...` likewise, without the TLS. Nobody else's host is reached, whatever is asked.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from langchain_prodtest.wire.arrival import Arrival
from langchain_prodtest.wire.codec import Rejected
from langchain_prodtest.wire.tls import Authority

__all__ = ["HOSTS", "Front", "host_of", "inside", "provider_of"]

HOSTS = {
    "api.openai.com": "openai",
    "*.openai.azure.com": "azure",
    "*.cognitiveservices.azure.com": "azure",
    "api.anthropic.com": "anthropic",
    "bedrock-runtime.*.amazonaws.com": "bedrock",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral",
    "api.perplexity.ai": "perplexity",
    "generativelanguage.googleapis.com": "gemini",
    "api.cohere.com": "cohere",
    "api.deepseek.com": "deepseek",
    "api.fireworks.ai": "fireworks",
    "integrate.api.nvidia.com": "nvidia",
    "openrouter.ai": "openrouter",
    "api.together.xyz": "together",
    "api.x.ai": "xai",
}
"""The providers of real host names; `*` stands for a region or a resource."""

_LOOPBACK = "127.0.0.1,localhost"


class Front:
    """Tells which mount answers for a host; `authority` vouches for its being that host.

    Where two mounts name the same provider, the first is its host's.
    """

    def __init__(self, mounts: Mapping[str, str], authority: Authority) -> None:
        self.authority = authority
        first = {provider: mount for mount, provider in reversed([*mounts.items()])}
        self._mounts = {host: first[provider] for host, provider in HOSTS.items() if provider in first}

    def mount(self, host: str) -> str | None:
        """Return the mount that answers for `host`; None if nobody does."""
        name = host.lower().rstrip(".")
        return next((mount for known, mount in self._mounts.items() if fnmatchcase(name, known)), None)

    def direct(self, arrival: Arrival) -> Arrival:
        """Lead a request that names a host, as those to a proxy do, to the host's mount, or reject it."""
        if arrival.method != "CONNECT" and arrival.target.startswith("/"):
            return arrival
        host = host_of(arrival.target)
        mount = self.mount(host)
        if mount is not None and arrival.method != "CONNECT":
            return inside(arrival, mount)
        headers = [(name, value) for name, value in arrival.headers if name.lower() != b"host"]
        headers.append((b"host", host.encode()))
        return arrival._replace(headers=headers, rejected=arrival.rejected or self._refusal(host))

    def _refusal(self, host: str) -> Rejected:
        known = ", ".join(self._mounts) or "none"
        return Rejected(
            403, f'No fake provider answers for "{host}", and nothing leaves this machine. Hosts: {known}'
        )

    def environment(self, address: str) -> dict[str, str]:
        """Return the variables that lead a process through the proxy at `address`, and have it trusted."""
        proxies = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
        return {
            **dict.fromkeys(proxies, f"http://{address}"),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), _LOOPBACK),
            "NODE_USE_ENV_PROXY": "1",
            **self.authority.environment(),
        }


def provider_of(host: str) -> str:
    """Return the provider whose host this is, "" if it is nobody's."""
    return next((provider for known, provider in HOSTS.items() if fnmatchcase(host, known)), "")


def inside(arrival: Arrival, mount: str) -> Arrival:
    """Return a request to a provider's own host as one to its mount."""
    scheme, absolute, rest = arrival.target.partition("://")
    path = rest.partition("/")[2] if absolute and not scheme.startswith("/") else arrival.target
    return arrival._replace(target=f"/{mount}/{path.removeprefix('/')}")


def host_of(target: str) -> str:
    """Return the host in `host:port`, or in a URL."""
    authority = re.split("[/?#]", target.partition("://")[2] or target, maxsplit=1)[0].rpartition("@")[2]
    return authority[1:].partition("]")[0] if authority.startswith("[") else authority.partition(":")[0]
