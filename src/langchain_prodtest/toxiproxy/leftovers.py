"""Names of injected toxics, which say whose they are, and the sweep of those that nobody holds any more."""

import itertools
import os
import re
import socket

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.client import Proxy, Toxiproxy
from langchain_prodtest.toxiproxy.watchdog import start_time

__all__ = ["DOWN", "PREFIX", "own_name", "sweep"]

PREFIX = "prodtest-"
DOWN = "-down"
"""The end of the name of a toxic that marks a proxy as disabled by us; nothing else would say so."""
_numbers = itertools.count(1)


def own_name() -> str:
    """Return a new name for a toxic: prodtest-<host>-<pid>-<start of the process>-<number>."""
    return f"{PREFIX}{_host()}-{os.getpid()}-{start_time(os.getpid()) or 0}-{next(_numbers)}"


def sweep(toxiproxy: Toxiproxy) -> list[str]:
    """Undo what killed runs have left behind: their toxics, and the proxies they had disabled.

    Returns what was done, a line each. ToxiproxyError if a run that is alive, or that ran on another host,
    has faults in place: nobody can tell whether that one is over.
    """
    done = []
    for proxy in toxiproxy.proxies().values():
        for name in proxy.toxics():
            if name.startswith(PREFIX):
                _check_over(proxy, name)
                done += _remove(proxy, name)
    return done


def _remove(proxy: Proxy, name: str) -> list[str]:
    done = []
    if name.endswith(DOWN) and not proxy.enabled:
        proxy.enable()
        done.append(f'enabled proxy "{proxy.name}"')
    proxy.destroy_toxic(name)
    return [*done, f'removed toxic {name} from proxy "{proxy.name}"']


def _check_over(proxy: Proxy, name: str) -> None:
    match = re.fullmatch(rf"{PREFIX}(.+)-(\d+)-(\d+)-\d+(?:{DOWN})?", name)
    if match is None:
        return
    host, pid, started = match[1], int(match[2]), int(match[3])
    if host != _host() or (started and start_time(pid) == started):
        raise ToxiproxyError(
            f'proxy "{proxy.name}" has the fault {name} of process {pid} on {host}. '
            "Wait for the end of that run, or remove the toxic if it is over."
        )


def _host() -> str:
    return re.sub(r"\W", "_", socket.gethostname()) or "host"
