"""Operations of a store that fail as scripted, then work again; each is journalled as a Call."""

import asyncio
import time
from typing import Any

import msgspec

from langchain_prodtest.fakes.faults import ScriptedConnectionError, exception_for
from langchain_prodtest.measure import now
from langchain_prodtest.script import Call, Fault, Script, Step

__all__ = ["LOST", "Operations"]

LOST = Fault(how="clean_end", after=1)  # a write that is confirmed and not kept


class Operations:
    """What one store is asked. A Reply's `first_token` is the time that an operation takes."""

    def __init__(self, name: str) -> None:
        self.name, self.journal = name, Script()

    def serve(self, operation: str, text: str) -> bool:
        """Let one operation pass or fail; False if it is to be lost (LOST)."""
        call, step = self._begin(operation, text)
        time.sleep(_wait(step))
        return self._end(call, step)

    async def aserve(self, operation: str, text: str) -> bool:
        """As `serve`, without blocking the event loop."""
        call, step = self._begin(operation, text)
        await asyncio.sleep(_wait(step))
        return self._end(call, step)

    def _begin(self, operation: str, text: str) -> tuple[Call, Step | None]:
        call = Call(
            id=0,
            provider=self.name,
            operation=operation,
            messages=[{"role": "user", "content": text}],
            received=now(),
        )
        return call, self.journal.next(call)

    def _end(self, call: Call, step: Step | None) -> bool:
        failed = isinstance(step, Fault)
        ending: dict[str, Any] = {"closed_by": "fault"} if failed else {"closed_by": "server", "status": 200}
        self.journal.record(msgspec.structs.replace(call, ended=now(), **ending))
        if isinstance(step, Fault) and step is not LOST:
            raise exception_for(step) or ScriptedConnectionError(f"scripted Fault: {step.how}")
        return not failed


def _wait(step: Step | None) -> float:
    if step is None:
        return 0.0
    return step.delay if isinstance(step, Fault) else step.first_token
