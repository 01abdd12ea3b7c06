"""What one event of an answer says."""

from typing import Literal, NamedTuple

__all__ = ["Reading"]


class Reading(NamedTuple):
    """`text` is answer text; the terminal marker or an in-band error sets `ending`, `detail` explains it."""

    text: str = ""
    ending: Literal["", "complete", "error_event"] = ""
    detail: str = ""
