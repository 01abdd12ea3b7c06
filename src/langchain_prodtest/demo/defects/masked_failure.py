"""An outage becomes an answer: the retry middleware is left at `on_failure="continue"`.

Its default, once the retries are used up, is to return "Model call failed after 2 attempts ..." as the
model's message. Nothing was raised, so the fallback outside of it is never asked, and the reader gets the
text as a complete answer with status 200.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from langchain_prodtest.demo.defects.defect import Defect

if TYPE_CHECKING:
    from langchain.agents.middleware import AgentMiddleware

    from langchain_prodtest.demo.agent import Parts


def _retry() -> "AgentMiddleware[Any, Any, Any]":
    from langchain.agents.middleware import ModelRetryMiddleware

    return ModelRetryMiddleware(max_retries=1, initial_delay=0.2)


def _plant(parts: "Parts") -> "Parts":
    return msgspec.structs.replace(parts, retry=_retry)


DEFECT = Defect(
    name="masked_failure",
    says="an outage is answered with the text of an error, and the fallback is never asked",
    caught_by=("stream.masked_failure",),
    experiment="provider-outage",
    may_also={
        "chat.success": "the text of an error is not the answer",
        "stream.silent_truncation": "a cut answer is followed by the text of an error and marked as done",
    },
    plant=_plant,
)
