"""Replay files: one failed test or finding as a small JSON file, to be run again as a unit test.

Written by pytest for a failed test of `ProductionTests` or with `faults=`, and for a failed finding of an
experiment; read by `pytest --prodtest-replay FILE`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from langchain_prodtest.errors import ScriptError, UsageError
from langchain_prodtest.evidence import write_atomically
from langchain_prodtest.script import Fault, Reply, Request, Script, Step

__all__ = ["Rehearsal", "Replay", "read_replay", "smaller", "write_replay"]


class Replay(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True,
    tag_field="schema", tag="prodtest-replay/1",
):  # fmt: skip
    """What failed, and all that is needed to let it fail again.

    `test` is a pytest node id, or the bare name of a test of ProductionTests: that is run for each subclass.
    `fault` takes the place of each Fault that the test scripts (None: they stay as they are), in the first
    `requests` requests that it is for (None: in all). `seed` makes the nonces in the prompts of
    ProductionTests, `prompt` is what was asked, `failure` what was said.
    """

    test: str
    fault: Fault | None = None
    requests: int | None = None
    seed: int | None = None
    provider: str = ""
    model: str = ""
    prompt: str = ""
    failure: str = ""

    @property
    def is_bare(self) -> bool:
        """Whether `test` is a bare name."""
        return "::" not in self.test


def read_replay(path: Path) -> Replay:
    """Read a replay file; UsageError says what is wrong with it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Replay)
    except OSError as error:
        raise UsageError(f"replay file {path}: {error.strerror}") from None
    except (msgspec.DecodeError, ScriptError) as error:
        text = f"replay file {path}: {error}. It is written by a failed test; let that fail again"
        raise UsageError(text) from None


def write_replay(path: Path, replay: Replay) -> None:
    """Write a replay file, whole or not at all; only what differs from the defaults is written."""
    told = msgspec.to_builtins(replay)
    if replay.fault is not None:
        told["fault"] = _told(replay.fault)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")


def smaller(fault: Fault) -> Iterator[Fault]:
    """Yield faults of the same kind that are simpler, the simplest first.

    They come earlier in the answer (not before it, if the fault is inside), sooner, or without body,
    headers, Retry-After and framing.
    """
    for field in ("body", "headers", "retry_after", "framing"):
        yield from _with(fault, field, getattr(Fault(status=500), field))
    for field in ("after", "after_bytes"):
        place = getattr(fault, field)
        for less in sorted({1, place // 2, place - 1}):
            if 0 < less < place:
                yield from _with(fault, field, less)


def _with(fault: Fault, field: str, value: Any) -> Iterator[Fault]:
    if getattr(fault, field) != value:
        try:
            yield Fault(**{**_told(fault), field: value})
        except ScriptError:
            return


def _told(fault: Fault) -> dict[str, Any]:
    plain = {**msgspec.structs.asdict(Fault(status=500)), "status": None}
    return {name: value for name, value in msgspec.structs.asdict(fault).items() if value != plain[name]}


class Rehearsal(Script):
    """A Script that keeps the Faults it `gave`, with the requests, and gives those of a Replay instead."""

    def __init__(
        self, default: Callable[[Request], Reply] | None = None, replay: Replay | None = None
    ) -> None:
        super().__init__(default)
        self._replay = replay
        self.gave: list[tuple[Fault, Request]] = []

    def next(self, request: Request) -> Step | None:
        """Return the step that answers `request`, as Script does."""
        with self._lock:
            step = super().next(request)
            if not isinstance(step, Fault):
                return step
            self.gave.append((step, request))
            if self._replay is None:
                return step
            left = self._replay.requests
            spared = left is not None and len(self.gave) > left
        return self.default(request) if spared else self._replay.fault or step
