"""A LangSmith that keeps the runs it is sent, for tests of what is traced."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from langsmith import Client, run_trees
from langsmith._internal import _context

__all__ = ["FakeLangSmith", "Traced", "traced"]


class Traced(msgspec.Struct, kw_only=True):
    """One run as it was sent: `kind` is LangSmith's run type, `parent` the id of the run around it."""

    id: str
    name: str
    kind: str
    parent: str = ""
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    error: str = ""
    ended: bool = False


class FakeLangSmith(Client):
    """A client that sends nothing; `recorded` holds what it was to send, oldest first. Thread-safe."""

    def __init__(self) -> None:
        super().__init__(api_url="http://127.0.0.1:1", api_key="not-a-secret", auto_batch_tracing=False)
        self._runs: dict[str, Traced] = {}
        self._lock_of_runs = threading.Lock()

    @property
    def recorded(self) -> list[Traced]:
        """The runs that were begun."""
        with self._lock_of_runs:
            return list(self._runs.values())

    def create_run(self, name: str, inputs: dict[str, Any], run_type: Any, **given: Any) -> None:
        """Keep a run that begins."""
        run = Traced(
            id=str(given.get("id")),
            name=name,
            kind=str(run_type),
            parent=str(given.get("parent_run_id") or ""),
            inputs=inputs,
        )
        with self._lock_of_runs:
            self._runs[run.id] = run
        self._end(run, given)

    def update_run(self, run_id: Any, **given: Any) -> None:
        """Keep how a run ended."""
        with self._lock_of_runs:
            run = self._runs.get(str(run_id))
        if run is not None:
            self._end(run, given)

    def _end(self, run: Traced, given: dict[str, Any]) -> None:
        run.outputs = given.get("outputs") or run.outputs
        run.error = given.get("error") or run.error
        run.ended = run.ended or given.get("end_time") is not None


@contextmanager
def traced() -> Iterator[FakeLangSmith]:
    """Turn tracing on, in every thread, and keep what is traced while the block runs."""
    client = FakeLangSmith()
    before: dict[str, Any] = {"client": run_trees._CLIENT, "enabled": _context._GLOBAL_TRACING_ENABLED}
    run_trees.configure(client=client, enabled=True)
    try:
        yield client
    finally:
        run_trees.configure(**before)
