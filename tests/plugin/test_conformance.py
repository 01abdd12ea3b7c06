"""`ProductionTests` in pytest: collected by subclass, skipped with reasons, overridden, xfailed, isolated."""

from collections.abc import Callable

import pytest

SUITE = """
    import socket
    import pytest
    from langchain_core.runnables import RunnableLambda
    from langchain_openai import ChatOpenAI
    from langchain_prodtest import ProductionTests

    async def home(text):
        try:
            socket.getaddrinfo("collector.invalid", 443)
        except OSError:
            pass
        return await ChatOpenAI(model="m").ainvoke(text)

    class TestCallsHome(ProductionTests):
        @pytest.fixture
        def runnable(self, fake_providers):
            return RunnableLambda(home)

        def test_nothing_is_said_twice(self):
            assert True

        @pytest.mark.xfail(reason="a bare model has no such guard")
        def test_an_outage_is_not_an_answer(self):
            assert False

    class TestNothing(ProductionTests):
        pass
"""
CHOSEN = "nothing_else or said_twice or outage_is_not or within_the_limit or (TestNothing and usage)"


def test_a_subclass_is_a_suite(pytester: pytest.Pytester, run: Callable[..., pytest.RunResult]) -> None:
    """Egress, swallowed by the runnable, fails its test; the rest is as for any test class."""
    pytester.makepyfile(test_mine=SUITE)
    result = run("-p", "langchain_prodtest", "-rs", "-k", f"({CHOSEN}) and not (TestNothing and not usage)")
    result.assert_outcomes(passed=2, xfailed=1, skipped=1, errors=3)
    text = result.stdout.str()
    assert "A network call tried to leave the test: collector.invalid:443" in text
    assert "not applicable: no limit is declared; set max_concurrency" in text
    assert "TestNothing does not say what it tests" in text
