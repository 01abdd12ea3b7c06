"""What a planted defect declares about itself."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from langchain_prodtest.demo.agent import Parts

__all__ = ["Defect"]

Experiment = Literal["load", "provider-outage", "black-hole", "cut-streams", "sigterm"]


class Defect(msgspec.Struct, frozen=True, kw_only=True):
    """A bug that people really write, and the check that must catch it.

    `caught_by` names the metrics that must fail in `experiment`; `may_also` those that may fail beside them
    in any experiment, with the reason. Any other failing check is a false alarm. `plant` replaces the part.
    """

    name: str
    says: str
    caught_by: tuple[str, ...]
    experiment: Experiment
    may_also: dict[str, str] = {}
    plant: "Callable[[Parts], Parts]"
