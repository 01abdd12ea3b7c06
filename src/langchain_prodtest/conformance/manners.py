"""How the runnable under test is used, and what counts as its answer; a subclass says what differs."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from langchain_prodtest.catalogue import cases
from langchain_prodtest.conformance.samples import fitting
from langchain_prodtest.script import Call, Fault, Match, Reply, Request, ToolCall, answer_for

if TYPE_CHECKING:
    from langchain_prodtest.conformance.trial import Got, Trial

__all__ = ["OUTAGES", "Manners", "fail", "faults", "named", "not_applicable"]

OUTAGES = (Fault(status=503), Fault(how="reset"))


class Manners:
    """What the tests need to know of a runnable; the defaults fit chat models, agents and graphs."""

    deadline: float = 10.0
    """Seconds in which every request must end, whatever the provider does."""
    max_amplification: float = 3
    """Provider requests that one model call may become, all layers and the fallback together."""
    min_wait: float = 0.1
    """Seconds that retries of one request wait before them, on average."""
    max_model_calls: int = 25
    """Provider requests that one question may cost when the model never stops to call tools."""
    max_concurrency: int | None = None
    """Provider requests that may be open at once; None where no limit is promised."""
    fallback: str = ""
    """Model or provider that answers when the first one fails; "" where there is none."""
    caches: bool = False
    """Whether a question that was answered is answered again without the provider."""
    routes: Mapping[str, str] = MappingProxyType({})
    """By question, the model that answers it: an easy one and a hard one, say."""
    embeddings_batch: int = 16
    """Texts that one request for embeddings holds, where there are as many."""
    sync: bool = False
    """Whether `invoke` and `stream` are used instead of `ainvoke` and `astream`."""

    def question(self, runnable: Any, text: str) -> Any:
        """Return the input that asks `text`: messages for a graph, for anything else the text."""
        from langchain_prodtest.conformance.trial import innermost

        is_graph = hasattr(innermost(runnable), "stream_mode")
        return {"messages": [("user", text)]} if is_graph else text

    def arguments(self) -> dict[str, Any]:
        """Return further keyword arguments of each call, such as `config` and `context`."""
        return {}

    def embed(self, runnable: Any, texts: list[str]) -> Any:
        """Let what is under test embed these texts (such as: add documents); return None or an awaitable."""
        not_applicable("nothing is embedded; override embed()")

    def text(self, value: Any) -> str:
        """Return the text that a user reads in what the runnable returned, or in one streamed piece."""
        from langchain_prodtest.conformance.trial import text_of

        return text_of(value)

    def admits_failure(self, value: Any) -> bool:
        """Tell whether what was returned (of a stream: the text) says that there is no answer."""
        return False

    def reply(self, request: Request) -> Reply:
        """Return what the model answers when all is well; it must hold the request's nonce."""
        return Reply(answer_for(request.nonce))

    def tool_call(self, tools: list[dict[str, Any]]) -> ToolCall:
        """Return a right call of one of the tools that the model was offered (in OpenAI's shape)."""
        functions = [tool["function"] for tool in tools if "function" in tool]
        chosen = max(functions, key=lambda function: '"string"' in str(function).replace("'", '"'))
        return ToolCall(chosen["name"], fitting(chosen.get("parameters", {})))

    def _presented(self, got: "Got") -> bool:
        return got.ended and got.error is None and not self.admits_failure(got.value)

    def _right(self, got: "Got") -> bool:
        return self._presented(got) and got.text.strip() == got.right.strip()

    def _in_time(self, got: "Got", what: str) -> None:
        if not got.ended:
            fail(
                f"{what}, and the request had not ended after {got.seconds:.1f} s",
                f"an end within {self.deadline:g} s (deadline)",
                "Bound the whole request (asyncio.timeout around it): `timeout=` bounds one read only.",
            )

    def _needs_streaming(self, trial: "Trial", way: str = "stream") -> None:
        if way == "stream" and not any(call.stream for call in trial.stream().calls):
            not_applicable("the provider is not asked for a stream")

    def _needs_tool(self, trial: "Trial") -> ToolCall:
        tools = trial.healthy.calls[0].tools
        if not tools:
            not_applicable("the model is offered no tool")
        return self.tool_call(tools)

    def _first_of_two(self, trial: "Trial") -> Match:
        if not self.fallback:
            not_applicable("no fallback is declared; set fallback to its model or provider")
        first = trial.healthy.calls[0]
        return Match(provider=first.provider, model=first.model)

    def _is_fallback(self, call: Call) -> bool:
        return self.fallback in (call.model, call.provider)


def fail(what: str, expected: str, remedy: str) -> NoReturn:
    """Fail the test: what happened, what was expected, the one thing to do."""
    pytest.fail(f"{what[0].upper()}{what[1:]}.\n  Expected: {expected}.\n{remedy}", pytrace=False)


def not_applicable(why: str) -> NoReturn:
    """Skip the test: it cannot be decided for this runnable."""
    pytest.skip(f"not applicable: {why}")


def faults(*wanted: str) -> list[Any]:
    """Return cases of the catalogue as parameters of a test, under their names."""
    return [pytest.param(case.step, id=case.name) for case in cases(wanted)]


def named(value: object) -> str:
    """Return the id of a test's parameter: of a Fault, its status or how."""
    return str(value.status or value.how) if isinstance(value, Fault) else str(value)
