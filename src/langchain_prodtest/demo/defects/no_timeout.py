"""No time limit anywhere: no deadline for the request, and none for a read.

`ChatOpenAI` hands `timeout=None` to the SDK unless told otherwise, which switches off even the SDK's own ten
minutes. A provider that accepts and never answers then holds the request for ever.
"""

from typing import TYPE_CHECKING

import msgspec

from langchain_prodtest.demo.defects.defect import Defect

if TYPE_CHECKING:
    from langchain_prodtest.demo.agent import Parts, Patience
    from langchain_prodtest.demo.settings import Settings


def _patience(settings: "Settings") -> "Patience":
    from langchain_prodtest.demo.agent import Patience

    return Patience(read=None, total=None)


def _plant(parts: "Parts") -> "Parts":
    return msgspec.structs.replace(parts, patience=_patience)


DEFECT = Defect(
    name="no_timeout",
    says="neither a read from the provider nor the whole request has a time limit",
    caught_by=("timeout.total",),
    experiment="black-hole",
    may_also={
        "chat.success": "requests that hang never get an answer",
        "recovery.rto": "requests that hang outlive the fault",
    },
    plant=_plant,
)
