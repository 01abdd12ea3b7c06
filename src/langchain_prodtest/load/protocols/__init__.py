"""How services are called and their answers read; one file each, listed in PROTOCOLS.

A new protocol is a new file with a class that fits `Protocol`, and one line in PROTOCOLS.
"""

import typing
from collections.abc import Sequence

from langchain_prodtest.errors import UsageError, unknown_name
from langchain_prodtest.load.framing import Event
from langchain_prodtest.load.protocols.sse import Sse
from langchain_prodtest.load.reading import Reading

__all__ = ["PROTOCOLS", "Protocol", "find_protocol"]


class Protocol(typing.Protocol):
    """How one kind of service is asked, and what its events mean."""

    name: str

    def body(self, prompt: str) -> bytes:
        """Return the JSON body that asks `prompt`."""
        ...

    def read(self, event: Event) -> Reading:
        """Return what an event says; an event that says nothing gives an empty Reading."""
        ...

    def speak(self, pieces: Sequence[str]) -> bytes:
        """Return the body of a complete answer that says `pieces`, as such a service would send it."""
        ...


PROTOCOLS: tuple[Protocol, ...] = (Sse(),)


def find_protocol(name: str) -> Protocol:
    """Return the protocol that [target] protocol names; UsageError names the nearest if there is none."""
    for protocol in PROTOCOLS:
        if protocol.name == name:
            return protocol
    raise UsageError(f"[target]: {unknown_name('protocol', name, [p.name for p in PROTOCOLS])}")
