"""The defects that can be planted in the reference service: one file each, replacing one part."""

from typing import TYPE_CHECKING

from langchain_prodtest.demo.defects import (
    blocking_handler,
    double_retry,
    masked_failure,
    no_drain,
    no_timeout,
    not_streamed,
    silent_truncation,
)
from langchain_prodtest.demo.defects.defect import Defect
from langchain_prodtest.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from langchain_prodtest.demo.agent import Parts

__all__ = ["DEFECTS", "Defect", "plant"]

DEFECTS: tuple[Defect, ...] = (
    double_retry.DEFECT,
    no_timeout.DEFECT,
    silent_truncation.DEFECT,
    masked_failure.DEFECT,
    no_drain.DEFECT,
    blocking_handler.DEFECT,
    not_streamed.DEFECT,
)


def plant(name: str, parts: "Parts") -> "Parts":
    """Return `parts` with the defect called `name` in them, unchanged for ""; UsageError if there is none."""
    if not name:
        return parts
    for defect in DEFECTS:
        if defect.name == name:
            return defect.plant(parts)
    raise UsageError(unknown_name("defect", name, [defect.name for defect in DEFECTS]))
