"""`ProductionTests`: what production does to a runnable, tried in a test."""

from typing import TYPE_CHECKING, Any

import pytest

from langchain_prodtest.conformance.answers import AnswerTests
from langchain_prodtest.conformance.conduct import ConductTests
from langchain_prodtest.conformance.economy import EconomyTests
from langchain_prodtest.conformance.manners import fail
from langchain_prodtest.conformance.retries import RetryTests
from langchain_prodtest.conformance.tools import ToolTests
from langchain_prodtest.fakes.providers import FakeProviders
from langchain_prodtest.verdict import REPLAY, SEED

if TYPE_CHECKING:
    from langchain_prodtest.conformance.trial import Trial

__all__ = ["ProductionTests"]


@pytest.mark.prodtest(strict=False)
class ProductionTests(RetryTests, AnswerTests, ToolTests, EconomyTests, ConductTests):
    """Resilience tests for one runnable: subclass it, and give the fixture `runnable`.

    The runnable is any LangChain Runnable: a chat model, a chain, an agent, a LangGraph graph. Its model
    speaks OpenAI's API, with a client that is built in the fixture, after `fake_providers`.

    A test passes, fails with a remedy, or is skipped as not applicable, with the reason. Each can be
    overridden or marked `xfail` in the subclass. How the runnable is used is told by the methods below; they
    can be overridden too.
    """

    @pytest.fixture
    def runnable(self, fake_providers: FakeProviders) -> Any:
        """Return the runnable under test."""
        fail(
            f"{type(self).__name__} does not say what it tests",
            "a fixture named runnable that builds it",
            "Add to the class: @pytest.fixture\n  def runnable(self, fake_providers): return build_agent()",
        )

    @pytest.fixture
    def trial(self, runnable: Any, fake_providers: FakeProviders, request: pytest.FixtureRequest) -> "Trial":
        """Return the simulated user, who has seen that the runnable answers while the provider is well."""
        from langchain_prodtest.conformance.trial import Trial

        replay = request.config.stash.get(REPLAY, None)
        trial = Trial(runnable, fake_providers, self, request.config.rootpath, replay)
        request.node.stash[SEED] = trial.seed
        healthy = trial.healthy
        if not healthy.calls:
            fail(
                f"the runnable answered {healthy.how} without asking the fake provider",
                "at least one request to it",
                "Build the model's client in the fixture `runnable`, and let that use `fake_providers`.",
            )
        if not self._presented(healthy):
            fail(
                f"the provider was well, and the runnable gave {healthy.how}",
                "an answer",
                "Fit question(), arguments() or reply() of this class to the runnable.",
            )
        return trial
