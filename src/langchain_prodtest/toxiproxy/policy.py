"""What a server allows and how exactly it imitates: one object that all its proxies share."""

from dataclasses import dataclass

__all__ = ["Policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    """How a server behaves.

    `seed` makes draws and jitter reproducible: they depend on it, the names of proxy and toxic, and the
    number of the connection. `strict` imitates Toxiproxy 2.12 where the default is safer. With a `token`
    every request must carry it. `/metrics` exists if one of its two kinds is on.
    """

    seed: str
    strict: bool = False
    token: str | None = None
    proxy_metrics: bool = False
    runtime_metrics: bool = False

    @property
    def version(self) -> str:
        """The Toxiproxy that is imitated."""
        return "2.12.0" if self.strict else "2.13.0"
