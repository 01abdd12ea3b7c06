"""A tool that does nothing but keep books: what it was called with, and what that did to the world."""

import time
from typing import Any

from langchain_core.tools import BaseTool
from pydantic import PrivateAttr, create_model

from langchain_prodtest.fakes.faults import ScriptedConnectionError, exception_for
from langchain_prodtest.script import Fault, Request, Script

__all__ = ["RecordingTool"]


class RecordingTool(BaseTool):
    """Answer `result` to every call, and record it.

    A run that was refused changed nothing; one whose answer was lost did.
    """

    name: str = "record"
    description: str = "Do what is asked."
    result: Any = "done"
    _runs: list[dict[str, Any]] = PrivateAttr(default_factory=list)
    _effects: list[dict[str, Any]] = PrivateAttr(default_factory=list)
    _faults: Script = PrivateAttr(default_factory=Script)

    def __init__(self, name: str, takes: dict[str, type] | None = None, **settings: Any) -> None:
        """Make a tool; `takes` gives the types of its arguments, `settings` are fields of this class."""
        fields: dict[str, Any] = {argument: (kind, ...) for argument, kind in (takes or {}).items()}
        schema = create_model(name, **fields)
        super().__init__(name=name, args_schema=schema, **settings)

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The arguments of each run, oldest first."""
        return list(self._runs)

    @property
    def effects(self) -> list[dict[str, Any]]:
        """The arguments of the runs that changed the world, oldest first."""
        return list(self._effects)

    def fail(self, *faults: Fault) -> None:
        """Let the next runs fail, one for each fault.

        After `refuse` and a status nothing was done; after `reset` and `eof` it was, and only the answer is
        missing.
        """
        self._faults.add(*faults, then_default=True)

    @property
    def repeated(self) -> list[dict[str, Any]]:
        """The effects that were there before with the same arguments: each is one too many."""
        return [effect for n, effect in enumerate(self._effects) if effect in self._effects[:n]]

    def _run(self, *args: Any, run_manager: Any = None, config: Any = None, **given: Any) -> Any:
        self._runs.append(given)
        fault = self._faults.next(Request(provider="tool", operation=self.name))
        if not isinstance(fault, Fault):
            self._effects.append(given)
            return self.result
        if fault.how not in (None, "refuse"):
            self._effects.append(given)
        time.sleep(fault.delay)
        raise exception_for(fault) or ScriptedConnectionError(f"scripted Fault: {fault.how}")
