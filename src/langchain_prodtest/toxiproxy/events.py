"""What happened in the data plane and when: the evidence of when a fault took effect."""

import asyncio
from collections import deque
from typing import Any

from langchain_prodtest.measure import now

__all__ = ["Events"]

_KEPT = 10_000


class Events:
    """The newest 10 000 events as JSON objects: `id` counts from 1, `at` is Unix seconds, `kind` says what.

    Kinds: accept, dial_failed, close (with `cause`), enabled, disabled, toxic_added, toxic_updated,
    toxic_removed, lease_expired, undo_failed, stopped.
    """

    def __init__(self) -> None:
        self._events: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._count = 0
        self._waiting: asyncio.Future[None] | None = None

    def add(self, kind: str, proxy: str, **details: Any) -> None:
        """Record an event that happens now."""
        self._count += 1
        if self._waiting is not None:
            self._waiting.set_result(None)
            self._waiting = None
        self._events.append({"id": self._count, "at": now(), "kind": kind, "proxy": proxy, **details})

    async def more(self, seen: int) -> None:
        """Wait until there is an event whose id is above `seen`."""
        while self._count <= seen:
            self._waiting = self._waiting or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._waiting)

    def since(self, seen: int) -> list[dict[str, Any]]:
        """Return the events whose id is above `seen`, oldest first."""
        return [event for event in self._events if event["id"] > seen]
