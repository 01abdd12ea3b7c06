"""A model that does not stream: somebody turned it off when a streamed tool call made trouble.

Everything around it streams, so that the answer is right, and comes in one piece at its end.
"""

from typing import TYPE_CHECKING

import msgspec

from langchain_prodtest.demo.defects.defect import Defect

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from langchain_prodtest.demo.agent import Parts, Patience, Provider


def _plant(parts: "Parts") -> "Parts":
    def model(provider: "Provider", patience: "Patience") -> "BaseChatModel":
        return parts.model(provider, patience).model_copy(update={"disable_streaming": True})

    return msgspec.structs.replace(parts, model=model)


DEFECT = Defect(
    name="not_streamed",
    says="the model does not stream, so that the whole answer comes at its end",
    caught_by=("chat.streamed",),
    experiment="load",
    may_also={
        "chat.ttft.p95": "the first text comes when the last would have",
        "timeout.total": "a read time-out meant for one chunk now covers the whole answer",
    },
    plant=_plant,
)
