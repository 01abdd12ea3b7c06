"""A blocking call on the event loop: each question is sent to an audit service by a synchronous client.

While one request waits for the audit service, no other request, no stream and no probe gets on. At 0.2 s a
call the whole process serves five requests a second, however many it is asked for.
"""

import time
from typing import TYPE_CHECKING

import msgspec

from langchain_prodtest.demo.defects.defect import Defect

if TYPE_CHECKING:
    from langchain_prodtest.demo.agent import Parts

AUDIT_ROUND_TRIP = 0.2  # seconds; stands for requests.post(AUDIT_URL, json=...)


def _audit(message: str) -> None:
    time.sleep(AUDIT_ROUND_TRIP)


def _plant(parts: "Parts") -> "Parts":
    return msgspec.structs.replace(parts, audit=_audit)


DEFECT = Defect(
    name="blocking_handler",
    says="a synchronous call in the request handler blocks the event loop",
    caught_by=("chat.ttft.p95",),
    experiment="load",
    may_also={
        "chat.success": "requests that waited too long meet the deadline or the client's patience",
        "chat.e2e.p95": "everything waits for the blocked loop",
        "chat.gap.p95": "streams stand still while the loop is blocked",
        "chat.streamed": "tokens pile up while the loop is blocked, and come together",
        "timeout.total": "a deadline cannot fire while the loop is blocked",
        "drain.sigterm": "the backlog outlives the grace period",
        "recovery.rto": "the backlog outlives the fault",
    },
    plant=_plant,
)
