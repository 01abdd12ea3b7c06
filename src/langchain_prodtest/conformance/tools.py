"""Tools: they run once, never on cut arguments, and not for ever."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from langchain_prodtest.conformance.manners import OUTAGES, Manners, fail, named
from langchain_prodtest.conformance.samples import has_tool_result, written
from langchain_prodtest.script import Fault, Reply, Request, ToolCall

if TYPE_CHECKING:
    from langchain_prodtest.conformance.trial import Trial

__all__ = ["ToolTests"]


class ToolTests(Manners):
    """A model that calls tools, on a provider that fails in between."""

    @pytest.mark.parametrize("missing", [20, 12, 4])
    def test_a_cut_tool_call_is_never_run(self, trial: "Trial", missing: int) -> None:
        """The stream ends `missing` characters before the end of a tool call's arguments."""
        self._needs_streaming(trial)
        call = self._needs_tool(trial)
        cut = Fault(how="clean_end", after=2 + (len(written(call.args)) - missing) // 4)
        trial.providers.journal.default = self._once(call)
        with trial.providers.journal.always(cut):
            got = trial.stream()
        if got.tools:
            fail(
                f"the arguments of a tool call were cut, and the tool ran: {got.tools[0][:160]}",
                "that it does not run: cut arguments are repaired into others",
                "Refuse a message without a normal finish_reason, or whose argument text is not JSON.",
            )

    @pytest.mark.parametrize("fault", OUTAGES, ids=named)
    def test_a_tool_runs_once_though_the_next_call_fails(self, trial: "Trial", fault: Fault) -> None:
        """The model call after a tool fails once; trying again does not run the tool again."""
        call = self._needs_tool(trial)
        trial.providers.journal.default = self._once(call)
        trial.providers.journal.add(Reply(tool_calls=[call]), fault, then_default=True)
        got = trial.invoke()
        repeated = [text for text, times in Counter(got.tools).items() if times > 1]
        if repeated:
            fail(
                f"the model call after a tool failed, and the tool ran again: {repeated[0][:160]}",
                "one run for one request",
                "Retry the model call, not the whole agent; or give the tool an idempotency key.",
            )

    def test_a_model_that_never_stops_is_stopped(self, trial: "Trial") -> None:
        """The model asks for a tool each time; the loop ends within `max_model_calls` requests."""
        call = self._needs_tool(trial)
        trial.providers.journal.add(*[Reply(tool_calls=[call])] * (self.max_model_calls + 1))
        got = trial.invoke()
        if len(got.calls) > self.max_model_calls:
            fail(
                f"the model called a tool each time, and was asked more than {self.max_model_calls} times",
                f"an end after at most {self.max_model_calls} (max_model_calls)",
                "Limit it: ModelCallLimitMiddleware(run_limit=...), or recursion_limit in the config.",
            )
        self._in_time(got, "the model called a tool each time")

    def _once(self, call: ToolCall) -> Callable[[Request], Reply]:
        """Return a model that calls a tool, and answers when that has answered."""
        return lambda request: (
            self.reply(request) if has_tool_result(request.messages) else Reply(tool_calls=[call])
        )
