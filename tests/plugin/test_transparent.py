"""`transparent=True`: the clients keep their production URLs, and what depends on them."""

from collections.abc import Callable

import pytest

Run = Callable[..., pytest.RunResult]


def test_clients_with_production_urls_reach_the_fakes(pytester: pytest.Pytester, run: Run) -> None:
    """Usage in streams is on, as in production: a base URL of one's own would switch it off."""
    pytester.makepyfile(
        """
        import asyncio
        import pytest
        from langchain_anthropic import ChatAnthropic
        from langchain_openai import ChatOpenAI
        from langchain_prodtest import Fault, Reply, Usage

        pytestmark = pytest.mark.prodtest(transparent=True)

        def test_openai(fake_providers):
            fake_providers.openai.script(Reply("hello", usage=Usage(input=7, output=2)))
            model = ChatOpenAI(model="gpt-x")
            assert model.openai_api_base is None
            chunks = list(model.stream("hi"))
            assert sum(chunks[1:], chunks[0]).usage_metadata["total_tokens"] == 9

        @pytest.mark.parametrize("turn", [1, 2])
        def test_asynchronously(fake_providers, turn):
            fake_providers.script(Fault(status=503), Reply("hello"), Reply("bonjour"))
            async def ask():
                first = await ChatOpenAI(model="gpt-x").ainvoke("hi")
                second = await ChatAnthropic(model="claude-opus-4-1").ainvoke("hi")
                return first.text, second.text
            assert asyncio.run(ask()) == ("hello", "bonjour")
            assert [call.provider for call in fake_providers.calls] == ["openai", "openai", "anthropic"]
        """
    )
    run("-p", "langchain_prodtest").assert_outcomes(passed=3)
