"""Run a failed test again: from its replay file, and right after it failed with ever smaller faults."""

import re
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from _pytest._code.code import ExceptionRepr
from _pytest.runner import runtestprotocol

from langchain_prodtest.errors import UsageError
from langchain_prodtest.replay import Rehearsal, Replay, read_replay, smaller, write_replay
from langchain_prodtest.script import Fault, Request, text_of
from langchain_prodtest.verdict import FAKES, FOUND, REPLAY, SEED

__all__ = ["note", "select", "shrink", "start"]

FOLDER = Path(".prodtest", "replays")
TRIES, SECONDS = 8, 30.0  # for one test, and for all tests of a run
REQUESTS = (1, 2, 4)

# What a test failed with: the exception's type and the line of the test function.
Site = tuple[str, int]
SITE = pytest.StashKey[Site | None]()
_SPENT = pytest.StashKey[float]()


def start(config: pytest.Config, file: Path) -> None:
    """Let the run consist of what a replay file names."""
    try:
        replay = read_replay(file)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[REPLAY] = replay
    if replay.is_bare:
        return
    path, *rest = replay.test.split("::")
    if not (config.rootpath / path).is_file():
        raise pytest.UsageError(
            f"replay file {file}: {path} is not in {config.rootpath}. Run it in the project of that test"
        )
    config.args = ["::".join([str(config.rootpath / path), *rest])]


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the one case that a replay names, and of a bare name the first case in each subclass."""
    replay = config.stash[REPLAY]
    wanted: dict[object, pytest.Item] = {}
    for item in items:
        name = getattr(item, "originalname", "") if replay.is_bare and _is_production(item) else item.nodeid
        if name == replay.test:
            wanted.setdefault(getattr(item, "cls", None), item)
    kept = list(wanted.values())
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
    if not items and replay.is_bare:
        raise pytest.UsageError(
            f"no subclass of ProductionTests with {replay.test} was collected. "
            "Name its file: pytest --prodtest-replay FILE tests/test_mine.py"
        )


def note(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Write the replay file of a test that failed, and name it in the failure."""
    item.stash[SITE] = _site(item, call)
    if not report.failed or REPLAY in item.config.stash or not _is_replayable(item):
        return
    replay = _replay_of(item, report)
    slug = re.sub(r"[^\w.-]+", "-", item.nodeid.rpartition("/")[2]).strip("-")[:100]
    path = FOLDER / f"{slug}-{zlib.crc32(item.nodeid.encode()):08x}.json"
    write_replay(item.config.rootpath / path, replay)
    item.stash[FOUND] = path, replay
    if isinstance(report.longrepr, ExceptionRepr):
        report.longrepr.addsection("replay", f"Run it again alone: pytest --prodtest-replay {path}")


def shrink(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Run a test that failed again with smaller faults, and keep in its file the smallest that still fails.

    Bounded: TRIES for each test, and no further try once those of this run have taken SECONDS.
    """
    path, best = item.stash[FOUND]
    config, site, tries = item.config, item.stash[SITE], TRIES
    untried = _simpler(best)
    while tries and config.stash.get(_SPENT, 0.0) < SECONDS and (tried := next(untried, None)):
        tries -= 1
        if _fails_with(item, nextitem, tried) == site:
            best, untried = tried, _simpler(tried)
    write_replay(config.rootpath / path, best)


def _simpler(replay: Replay) -> Iterator[Replay]:
    if replay.fault is None:
        return
    if replay.requests is None:
        for requests in REQUESTS:
            yield msgspec.structs.replace(replay, requests=requests)
    for fault in smaller(replay.fault):
        yield msgspec.structs.replace(replay, fault=fault)


def _fails_with(item: pytest.Item, nextitem: pytest.Item | None, replay: Replay) -> Site | None:
    """Run the whole test anew, unseen; return what it failed with."""
    began = time.monotonic()
    item.config.stash[REPLAY], item.stash[FAKES], item.stash[SITE] = replay, [], None
    item._report_sections.clear()
    try:
        runtestprotocol(item, log=False, nextitem=nextitem)
    finally:
        del item.config.stash[REPLAY]
        spent = item.config.stash.get(_SPENT, 0.0)
        item.config.stash[_SPENT] = spent + time.monotonic() - began
    return item.stash[SITE]


def _replay_of(item: pytest.Item, report: pytest.TestReport) -> Replay:
    gave = _gave(item)
    faults: list[Fault] = []
    for fault, _ in gave:
        if fault not in faults:
            faults.append(fault)
    crash = getattr(report.longrepr, "reprcrash", None)
    return Replay(
        test=item.nodeid,
        fault=faults[0] if len(faults) == 1 else None,
        seed=item.stash.get(SEED, None),
        provider=gave[0][1].provider if gave else "",
        model=gave[0][1].model if gave else "",
        prompt=text_of(gave[0][1].messages[-1:]) if gave else "",
        failure=crash.message.removeprefix("Failed: ") if crash else "",
    )


def _gave(item: pytest.Item) -> list[tuple[Fault, Request]]:
    journals = [fake.journal for fake in item.stash.get(FAKES, [])]
    return [pair for journal in journals if isinstance(journal, Rehearsal) for pair in journal.gave]


def _site(item: pytest.Item, call: pytest.CallInfo[None]) -> Site | None:
    if call.excinfo is None:
        return None
    code = getattr(getattr(item, "obj", None), "__code__", None)
    lines = [entry.lineno for entry in call.excinfo.traceback if entry.frame.code.raw is code]
    return call.excinfo.typename, lines[-1] if lines else 0


def _is_replayable(item: pytest.Item) -> bool:
    return _is_production(item) or any(mark.kwargs.get("faults") for mark in item.iter_markers("prodtest"))


def _is_production(item: pytest.Item) -> bool:
    home = "langchain_prodtest.conformance.production"
    return any(base.__module__ == home for base in getattr(getattr(item, "cls", None), "__mro__", ()))
