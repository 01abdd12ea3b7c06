"""Each defect is really there: where the healthy service does right, the planted one does wrong."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from fastapi import FastAPI

from langchain_prodtest.demo import defects
from langchain_prodtest.demo.agent import HEALTHY, build
from langchain_prodtest.demo.defects import DEFECTS, Defect, blocking_handler, plant
from langchain_prodtest.demo.service import create_app
from langchain_prodtest.demo.settings import read
from langchain_prodtest.errors import UsageError
from langchain_prodtest.measure import find_metric
from langchain_prodtest.script import Fault, Match, Reply, answer_for

if TYPE_CHECKING:
    from tests.demo.conftest import Event, Fakes, Service

FIRST = Match(provider="openai")


def _service(fakes: "Fakes", defect: str, deadline: float = 20) -> FastAPI:
    environ = {**fakes.environ, "DEMO_DEFECT": defect, "DEADLINE_SECONDS": str(deadline)}
    return create_app(build(read(environ)))


async def _ask(app: FastAPI, message: str) -> "list[Event]":
    """Ask `app` without a server in between, and return the events."""
    body, sent = json.dumps({"message": message}).encode(), bytearray()
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()
        asked = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.extend(message.get("body", b""))

    head = {"method": "POST", "path": "/chat", "query_string": b"", "asgi": {"version": "3.0"}}
    await app({"type": "http", "headers": [(b"content-type", b"application/json")], **head}, receive, send)
    events = [event.split("\n") for event in sent.decode().split("\n\n") if event]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in events]


# -- what they declare ---------------------------------------------------------------------------------


def test_every_file_of_a_defect_is_in_the_list_under_its_own_name() -> None:
    files = {file.stem for file in Path(defects.__file__).parent.glob("*.py")} - {"__init__", "defect"}
    assert sorted(defect.name for defect in DEFECTS) == sorted(files)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_replaces_exactly_one_part(defect: Defect) -> None:
    planted = plant(defect.name, HEALTHY)
    changed = [
        f for f in msgspec.structs.fields(HEALTHY) if getattr(planted, f.name) is not getattr(HEALTHY, f.name)
    ]
    assert len(changed) == 1


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_declares_metrics_that_exist_and_no_metric_twice(defect: Defect) -> None:
    declared = [*defect.caught_by, *defect.may_also]
    assert [find_metric(name).pattern for name in declared]
    assert len(set(declared)) == len(declared)
    assert defect.says


def test_no_defect_is_planted_unless_named_and_an_unknown_name_is_an_error() -> None:
    assert plant("", HEALTHY) is HEALTHY
    with pytest.raises(UsageError, match='Did you mean "no_drain"'):
        plant("no_drian", HEALTHY)


# -- what they do --------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_double_retry_sends_six_requests_where_two_are_right(fakes: "Fakes", nonce: str) -> None:
    soon = Fault(status=503, headers={"retry-after-ms": "1"})
    with fakes.script.always(soon, match=FIRST):
        events = await _ask(_service(fakes, "double_retry"), f"hello {nonce}")
    assert events[-1][0] == "done"
    assert fakes.providers(7) == ["openai"] * 6 + ["backup"]


@pytest.mark.asyncio
async def test_no_timeout_waits_for_ever_where_the_deadline_has_passed(fakes: "Fakes") -> None:
    app = _service(fakes, "no_timeout", deadline=0.2)
    with fakes.script.always(Fault(how="hang")), pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await _ask(app, "hello")


@pytest.mark.asyncio
async def test_silent_truncation_marks_half_an_answer_as_done(
    fakes: "Fakes", nonce: str, text: Callable[["list[Event]"], str]
) -> None:
    with fakes.script.always(Fault(how="clean_end", after=5), match=FIRST):
        events = await _ask(_service(fakes, "silent_truncation"), f"hello {nonce}")
    assert text(events)
    assert text(events) != answer_for(nonce)
    assert answer_for(nonce).startswith(text(events))
    assert events[-1][0] == "done"


@pytest.mark.asyncio
async def test_masked_failure_answers_with_the_text_of_an_error_and_leaves_the_fallback_idle(
    fakes: "Fakes", nonce: str, text: Callable[["list[Event]"], str]
) -> None:
    with fakes.script.always(Fault(status=503), match=FIRST):
        events = await _ask(_service(fakes, "masked_failure"), f"hello {nonce}")
    assert text(events).startswith("Model call failed after 2 attempts")
    assert events[-1][0] == "done"
    assert fakes.providers(2) == ["openai", "openai"]


def test_no_drain_cuts_the_open_stream_at_sigterm(start: Callable[..., "Service"], fakes: "Fakes") -> None:
    service = start(DEMO_DEFECT="no_drain")
    fakes.script.add(Reply("word " * 60, per_chunk=0.05))
    stream = service.open("hello")
    assert stream.next() == ("token", {"text": "word"})
    service.terminate()
    assert "done" not in [name for name, _ in stream.rest()]
    service.process.wait(20)


@pytest.mark.asyncio
async def test_blocking_handler_serves_one_request_at_a_time(fakes: "Fakes", nonce: str) -> None:
    """Five questions asked at once cannot take less than five audits; ten a second are above capacity."""
    app = _service(fakes, "blocking_handler")
    started = time.monotonic()
    answers = await asyncio.gather(*(_ask(app, f"hello {nonce}") for _ in range(5)))
    assert [events[-1][0] for events in answers] == ["done"] * 5
    assert time.monotonic() - started >= 5 * blocking_handler.AUDIT_ROUND_TRIP
    assert 1 / blocking_handler.AUDIT_ROUND_TRIP < 10
