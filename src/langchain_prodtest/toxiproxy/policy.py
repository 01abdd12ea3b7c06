"""What a server allows and how exactly it imitates: one object that all its proxies share."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from langchain_prodtest.toxiproxy.address import Allowed

__all__ = ["MAX_FAULTS", "Policy", "stop_file"]


MAX_FAULTS = 100


def stop_file() -> Path:
    """Return the file that ends all faults: PRODTEST_STOP_FILE, else .prodtest/stop."""
    return Path(os.environ.get("PRODTEST_STOP_FILE") or ".prodtest/stop").absolute()


@dataclass(frozen=True, slots=True)
class Policy:
    """How a server behaves.

    `seed` makes draws and jitter reproducible: they depend on it, the names of proxy and toxic, and the
    number of the connection. `strict` imitates Toxiproxy 2.12 where the default is safer. With a `token`
    every request must carry it. `/metrics` exists if one of its two kinds is on. At most
    `max_faults` toxics and disabled proxies are there at once; while `stop_file` exists there are none.
    """

    seed: str
    strict: bool = False
    token: str | None = None
    proxy_metrics: bool = False
    runtime_metrics: bool = False
    allowed: Allowed = field(default_factory=Allowed)
    max_faults: int = MAX_FAULTS
    stop_file: Path | None = None

    @property
    def version(self) -> str:
        """The Toxiproxy that is imitated."""
        return "2.12.0" if self.strict else "2.13.0"
