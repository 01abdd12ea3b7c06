"""Conduct: the books, the event loop, the network, and secrets."""

from typing import TYPE_CHECKING

import pytest

from langchain_prodtest.conformance.manners import Manners, fail, not_applicable
from langchain_prodtest.conformance.samples import BILLED, after, billed, tokens_in
from langchain_prodtest.expect import peak
from langchain_prodtest.fakes.environment import KEY
from langchain_prodtest.script import Fault

if TYPE_CHECKING:
    from langchain_prodtest.conformance.trial import Trial

__all__ = ["ConductTests"]

BLOCK, DELAY = 0.15, 0.35  # seconds: the longest stretch that is no blocking, and the provider's delay


class ConductTests(Manners):
    """What a runnable does beside answering."""

    def test_usage_is_what_the_wire_said(self, trial: "Trial") -> None:
        """The tokens that callbacks and the answer's messages report are those that the provider billed."""
        trial.providers.journal.default = lambda request: billed(self.reply(request))
        got = trial.invoke()
        due = (BILLED.input * len(got.calls), BILLED.output * len(got.calls))
        for where, seen in (("callbacks", got.tokens), ("the messages", tokens_in(got.value) or due)):
            if seen != due:
                fail(
                    f"the provider billed {due[0]} + {due[1]} tokens, and {where} report "
                    f"{'none' if seen is None else f'{seen[0]} + {seen[1]}'}",
                    "the same",
                    "Keep usage_metadata where a message is made from another; set stream_usage=True.",
                )

    def test_the_event_loop_is_not_blocked(self, trial: "Trial") -> None:
        """While the provider takes its time, the event loop gets on with other work."""
        if self.sync:
            not_applicable("no event loop is used (sync = True)")
        trial.providers.journal.default = lambda request: after(DELAY, self.reply(request))
        got = trial.invoke(watch=BLOCK)
        if got.blocks:
            fail(
                f"the event loop stood still for {got.blocks[0]}",
                f"no stretch of more than {BLOCK} s",
                "Await an asynchronous call there, or move it to asyncio.to_thread(...).",
            )

    def test_requests_at_once_stay_within_the_limit(self, trial: "Trial") -> None:
        """Of many questions at once, at most `max_concurrency` are at the provider at a time."""
        if self.max_concurrency is None:
            not_applicable("no limit is declared; set max_concurrency to the one that you promise")
        trial.providers.journal.default = lambda request: after(0.2, self.reply(request))
        most = peak(call for got in trial.together(3 * self.max_concurrency) for call in got.calls)
        if most > self.max_concurrency:
            fail(
                f"{most} requests were at the provider at once",
                f"at most {self.max_concurrency} (max_concurrency)",
                "Share one limiter among all requests: an asyncio.Semaphore, or a rate_limiter of the model.",
            )

    def test_nothing_else_is_called(self, trial: "Trial") -> None:
        """No connection, datagram or look-up leaves the machine; one that does fails the test at its end."""
        got = trial.invoke()
        if not self._right(got):
            fail(
                f"the network was closed, and the user got {got.how}",
                "the right answer: only the provider is needed",
                "Leave out what else is called while a question is answered, or let it fail alone.",
            )

    def test_the_trace_is_passed_on(self, trial: "Trial") -> None:
        """The trace that a user's request came with goes on in the requests to the provider (a Service)."""
        traces = getattr(trial.runnable, "traces", None)
        if traces is None:
            not_applicable("the runnable is not asked over HTTP (Service)")
        got = trial.invoke()
        lost = [call for call in got.calls if traces[-1] not in call.headers.get("traceparent", "")]
        if lost:
            fail(
                f"a request came with a trace, and {len(lost)} of {len(got.calls)} requests to the provider "
                "went without it",
                "the header traceparent with the same trace id",
                "Instrument app and HTTP client (OpenTelemetry), or pass traceparent on in an event hook.",
            )

    def test_the_key_stays_secret(
        self, trial: "Trial", caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A refused key shows in no error, no log, no output, and not when the runnable is printed."""
        with trial.providers.journal.always(Fault(status=401)):
            got = trial.invoke()
        out, err = capfd.readouterr()
        places = {
            "the error": f"{got.error!r} {getattr(got.error, '__cause__', '')!r}",
            "the answer": got.text,
            "the log": caplog.text,
            "the output": out + err,
            "repr(runnable)": repr(trial.runnable),
        }
        told = [place for place, text in places.items() if KEY in text]
        if told:
            fail(
                f"the provider's key is in {' and '.join(told)}",
                "it nowhere",
                "Keep it in a SecretStr, and out of messages.",
            )
