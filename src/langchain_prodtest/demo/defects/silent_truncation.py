"""The end of the stream is taken for the end of the answer: nobody looks for a finish reason.

No client raises when a provider, or a hop before it, ends the body cleanly but too early. The half answer is
then marked as done, and a half tool call is repaired and run.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from langchain_prodtest.demo.defects.defect import Defect

if TYPE_CHECKING:
    from langchain.agents.middleware import AgentMiddleware

    from langchain_prodtest.demo.agent import Parts


def _guards() -> "list[AgentMiddleware[Any, Any, Any]]":
    return []


def _plant(parts: "Parts") -> "Parts":
    return msgspec.structs.replace(parts, guards=_guards)


DEFECT = Defect(
    name="silent_truncation",
    says="an answer that was cut cleanly is presented as complete",
    caught_by=("stream.silent_truncation",),
    experiment="cut-streams",
    may_also={
        "chat.success": "cut answers are not the right answer",
        "stream.masked_failure": "a cut answer presented as complete is not the answer either",
    },
    plant=_plant,
)
