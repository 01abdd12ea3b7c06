"""A checkpointer for LangGraph whose failures are scripted."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.memory import InMemorySaver

from langchain_prodtest.fakes.operations import LOST, Operations
from langchain_prodtest.script import Call, Fault, Match, Reply

__all__ = ["Operation", "ScriptedSaver"]

Operation = Literal["get", "list", "put", "put_writes"]


class ScriptedSaver(InMemorySaver):
    """Keep checkpoints in memory; the next operations of a kind fail, are slow, or are lost, as scripted."""

    def __init__(self) -> None:
        super().__init__()
        self._operations = Operations("fake_saver")

    @property
    def calls(self) -> list[Call]:
        """The finished operations, oldest first; a message holds the thread's id."""
        return self._operations.journal.calls

    def fail(self, *faults: Fault, operation: Operation = "put") -> None:
        """Let the next operations of this kind fail, one for each fault; those after them work again."""
        self._operations.journal.add(*faults, match=Match(operation=operation), then_default=True)

    def slow(self, *seconds: float, operation: Operation = "put") -> None:
        """Let the next operations of this kind take so long; asynchronous ones do not block the loop."""
        slow = [Reply(first_token=wait) for wait in seconds]
        self._operations.journal.add(*slow, match=Match(operation=operation), then_default=True)

    def lose(self, count: int = 1, operation: Literal["put", "put_writes"] = "put") -> None:
        """Let the next writes of this kind be confirmed and not kept."""
        self._operations.journal.add(*[LOST] * count, match=Match(operation=operation), then_default=True)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint that `config` names, or the thread's last."""
        self._operations.serve("get", _thread(config))
        return super().get_tuple(config)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `get_tuple`."""
        await self._operations.aserve("get", _thread(config))
        return super().get_tuple(config)

    def list(self, config: RunnableConfig | None, **criteria: Any) -> Iterator[CheckpointTuple]:
        """Yield the thread's checkpoints, the newest first."""
        self._operations.serve("list", _thread(config))
        yield from super().list(config, **criteria)

    async def alist(self, config: RunnableConfig | None, **criteria: Any) -> AsyncIterator[CheckpointTuple]:
        """As `list`."""
        await self._operations.aserve("list", _thread(config))
        for found in super().list(config, **criteria):
            yield found

    def put(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:  # fmt: skip
        """Keep a checkpoint and return the config that names it."""
        kept = self._operations.serve("put", _thread(config))
        return super().put(config, checkpoint, metadata, new_versions) if kept else _named(config, checkpoint)

    async def aput(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:  # fmt: skip
        """As `put`."""
        kept = await self._operations.aserve("put", _thread(config))
        return super().put(config, checkpoint, metadata, new_versions) if kept else _named(config, checkpoint)

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Keep what a task wrote."""
        if self._operations.serve("put_writes", _thread(config)):
            super().put_writes(config, writes, task_id, task_path)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As `put_writes`."""
        if await self._operations.aserve("put_writes", _thread(config)):
            super().put_writes(config, writes, task_id, task_path)


def _thread(config: RunnableConfig | None) -> str:
    return str(config["configurable"]["thread_id"]) if config else ""


def _named(config: RunnableConfig, checkpoint: Checkpoint) -> RunnableConfig:
    """Return the config that a kept checkpoint would have."""
    given = config["configurable"]
    named = {"thread_id": given["thread_id"], "checkpoint_ns": given.get("checkpoint_ns", "")}
    return {"configurable": {**named, "checkpoint_id": checkpoint["id"]}}
