"""The protocols of providers against a server whose every byte the vendors' own clients accept."""

from typing import Any

import pytest

from langchain_prodtest.config import Target
from langchain_prodtest.load.protocols import find_protocol
from langchain_prodtest.load.stream import Client
from langchain_prodtest.measure import now
from langchain_prodtest.outcome import Outcome, decide
from langchain_prodtest.script import Fault, Reply, Script, answer_for, new_nonce
from langchain_prodtest.wire import FakeServer

CASES: dict[str, tuple[Any, Outcome]] = {
    "healthy": (None, Outcome.OK),
    "cut": (Fault(how="clean_end", after=5), Outcome.BROKEN_STREAM),
    "reset": (Fault(how="reset", after=5), Outcome.BROKEN_STREAM),
    "error": (Fault(how="error_event", after=5), Outcome.ERROR_IN_BAND),
    "500": (Fault(status=500), Outcome.HTTP_ERROR),
    "soft": (Reply("I am sorry."), Outcome.SOFT_FAILURE),
}


@pytest.mark.parametrize("how", CASES)
@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_what_a_provider_does_comes_to_its_outcome(name: str, how: str) -> None:
    step, outcome = CASES[how]
    protocol, script, nonce = find_protocol(Target(protocol=name)), Script(), new_nonce(1, 2)
    if step is not None:
        script.add(step)
    with FakeServer(script, {name: name}) as server:
        client = Client(f"http://{server.address}/{name}{protocol.path}", protocol)
        exchange = client.ask(f"Hello? ({nonce})", nonce, now() + 20)
    assert decide(exchange.answer, answer_for(nonce)) is outcome
    if how == "healthy":
        assert exchange.tokens > 5
