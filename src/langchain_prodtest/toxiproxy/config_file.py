"""The configuration file: the proxies that a server starts with, as a JSON array like that of /populate."""

import sys
from pathlib import Path

from langchain_prodtest.errors import ToxiproxyError, UsageError
from langchain_prodtest.toxiproxy.collection import Collection
from langchain_prodtest.toxiproxy.message import decode
from langchain_prodtest.toxiproxy.wanted import WantedProxy

__all__ = ["load"]


async def load(path: Path, proxies: Collection) -> None:
    """Create the proxies of a file; UsageError names the first bad entry, and then there are none.

    In strict mode that is only said on standard error, and the entries before it stay, as in the original.
    """
    try:
        _create(path, proxies)
    except UsageError as error:
        if not proxies.policy.strict:
            for proxy in proxies.all():
                await proxies.remove(proxy.name)
            raise
        print(error, file=sys.stderr, flush=True)


def _create(path: Path, proxies: Collection) -> None:
    try:
        entries = decode(path.read_bytes())
    except (OSError, ToxiproxyError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if not isinstance(entries, list):
        raise UsageError(
            f'{path} must hold a list of proxies: [{{"name": ..., "listen": ..., "upstream": ...}}]'
        )
    for number, entry in enumerate(entries, 1):
        try:
            wanted = WantedProxy(entry)
            wanted.check(proxies.policy.allowed)
            proxies.create(wanted)
        except ToxiproxyError as error:
            name = entry.get("name") if isinstance(entry, dict) else entry
            raise UsageError(f"{path}: proxy {number} ({name!r:.80}): {error}. Correct this entry.") from None
