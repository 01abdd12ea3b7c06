"""Retries, time and fallback: what a sick provider does to a request."""

import email.utils
import math
import time
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from langchain_prodtest.checks.retry import amplification
from langchain_prodtest.conformance.manners import OUTAGES, Manners, fail, faults, named, not_applicable
from langchain_prodtest.conformance.samples import is_same_model
from langchain_prodtest.record import Record, Window
from langchain_prodtest.script import Fault, Match, Reply

if TYPE_CHECKING:
    from langchain_prodtest.conformance.trial import Trial

__all__ = ["RetryTests"]

PERMANENT = (400, 401, 403, 404, 413, 422)
SILENCES = (
    (Fault(how="hang"), "invoke"),
    (Fault(how="stall", after=4), "stream"),
    (Fault(how="drip", delay=0.5), "invoke"),
    (Fault(how="drip", delay=0.5), "stream"),
)
WAITS = {"1": 1.0, "date": 1.0, "86400": 0.0, "soon": 0.0}
"""Retry-After, and the seconds that must pass before the same model is asked again."""


class RetryTests(Manners):
    """A provider that fails, refuses, asks to wait, or says nothing."""

    @pytest.mark.parametrize("fault", faults("transient"))
    def test_one_transient_failure_is_survived(self, trial: "Trial", fault: Fault) -> None:
        """The provider fails once; the user gets the right answer."""
        trial.providers.journal.add(fault, then_default=True)
        got = trial.invoke()
        if not self._right(got):
            fail(
                f"the provider failed once ({named(fault)}) and the user got {got.how}",
                "the right answer, by a second try or a fallback",
                "Give the model max_retries=2, or put one retry around it.",
            )

    @pytest.mark.parametrize("status", PERMANENT)
    def test_a_request_that_is_wrong_is_sent_once(self, trial: "Trial", status: int) -> None:
        """A status that says "do not repeat" is not repeated to the same model."""
        with trial.providers.journal.always(Fault(status=status)):
            got = trial.invoke()
        most = max(Counter((call.provider, call.model, call.digest) for call in got.calls).values())
        if most > 1:
            fail(
                f"a request that was refused with {status} was sent {most} times",
                "once: the same request is refused again",
                "Retry on 408, 409, 429 and 5xx only (retry_on=...).",
            )

    @pytest.mark.parametrize("wait", WAITS)
    def test_retry_after_is_obeyed_within_the_deadline(self, trial: "Trial", wait: str) -> None:
        """A wait that fits is kept before the same model is asked again; one that does not ends the try."""
        given = email.utils.formatdate(time.time() + 3, usegmt=True) if wait == "date" else wait
        trial.providers.journal.add(Fault(status=429, retry_after=given), then_default=True)
        got = trial.invoke()
        self._in_time(got, f"the provider answered 429 with Retry-After: {given}")
        first, *later = got.calls
        again = [call for call in later if is_same_model(call, first)]
        if again and again[0].received - first.ended < WAITS[wait] - 0.05:
            fail(
                f"Retry-After: {given}, and the model was asked again "
                f"{again[0].received - first.ended:.2f} s later",
                "no earlier request to the same model",
                "Leave waiting to the client (max_retries of the model), or ask a fallback instead.",
            )

    @pytest.mark.parametrize("fault", OUTAGES, ids=named)
    def test_retries_do_not_multiply(self, trial: "Trial", fault: Fault) -> None:
        """While the first model is down, a model call is at most `max_amplification` provider requests."""
        first = trial.healthy.calls[0]
        match = Match(provider=first.provider, model=first.model) if self.fallback else Match()
        started = time.time()
        with trial.providers.journal.always(fault, match=match):
            got = trial.invoke()
        window = Window(what=named(fault), seam="provider", start=started, end=math.inf)
        measured = amplification(Record(samples=[], calls=got.calls, faults=[window]))
        if measured is not None and (measured.worst or 0) > self.max_amplification:
            fail(
                measured.detail,
                f"at most {self.max_amplification:g} (max_amplification)",
                "Keep one retry layer: max_retries=0 on the model, or drop the other.",
            )

    def test_retries_wait_between_each_other(self, trial: "Trial") -> None:
        """A model that is down is not asked again at once, each time."""
        first = trial.healthy.calls[0]
        match = Match(provider=first.provider, model=first.model)
        with trial.providers.journal.always(Fault(status=503), match=match):
            got = trial.invoke()
        tries = [call for call in got.calls if is_same_model(call, first)]
        waits = [later.received - before.ended for before, later in pairwise(tries)]
        if len(waits) < 2:
            not_applicable("fewer than two retries are made")
        if sum(waits) < self.min_wait * len(waits):
            fail(
                f"the model was down and asked again after {', '.join(f'{wait:.3f}' for wait in waits)} s",
                f"{self.min_wait:g} s or more on average (min_wait), more each time",
                "Wait longer before each retry (initial_delay, backoff_factor), or leave that to the client.",
            )

    @pytest.mark.parametrize(("fault", "way"), SILENCES, ids=named)
    def test_the_deadline_holds(self, trial: "Trial", fault: Fault, way: str) -> None:
        """The provider hangs, stalls or drips; the request ends within `deadline`, well or not."""
        with trial.providers.journal.always(fault):
            got = trial.stream() if way == "stream" else trial.invoke()
        self._in_time(got, f"the provider was silent ({fault.how}, {way})")

    @pytest.mark.parametrize("way", ["invoke", "stream"])
    def test_cancelling_ends_the_provider_s_work(self, trial: "Trial", way: str) -> None:
        """The user leaves; the provider sees its client go instead of working to the end."""
        if self.sync:
            not_applicable("a synchronous call cannot be cancelled")
        self._needs_streaming(trial, way)
        slow = Fault(how="hang")
        if way == "invoke":
            with trial.providers.journal.always(slow):
                got = trial.leave(streaming=False)
        else:
            with trial.providers.journal.always(Reply(trial.healthy.text, per_chunk=1.0)):
                got = trial.leave(streaming=True)
        last = got.calls[-1] if got.calls else None
        if not got.ended or last is None or last.closed_by != "client":
            fail(
                "the user left, and the request to the provider went on",
                "that it is closed by the client at once",
                "Do not shield the model call, and let CancelledError through.",
            )

    def test_the_fallback_answers_in_an_outage_and_only_then(self, trial: "Trial") -> None:
        """It is asked when the first model fails, not before and not after."""
        first = self._first_of_two(trial)
        if any(self._is_fallback(call) for call in trial.healthy.calls):
            fail(
                f"the fallback {self.fallback} was asked though all was well",
                "the first model alone",
                "Let only errors of the first model lead to the fallback.",
            )
        with trial.providers.journal.always(Fault(status=503), match=first):
            got = trial.invoke()
        if not self._right(got) or not any(self._is_fallback(call) for call in got.calls):
            fail(
                f"the first model was down and the user got {got.how}",
                f"the answer of the fallback {self.fallback}",
                "Let the model's errors reach the fallback: on_failure='error' in retries inside of it.",
            )
        if any(self._is_fallback(call) for call in trial.invoke().calls):
            fail(
                f"the fallback {self.fallback} was still asked after the outage",
                "the first model again",
                "Choose the model for each request anew.",
            )

    def test_a_wrong_request_does_not_reach_the_fallback(self, trial: "Trial") -> None:
        """A request that is refused with 400 would be wrong at the fallback too."""
        first = self._first_of_two(trial)
        with trial.providers.journal.always(Fault(status=400), match=first):
            got = trial.invoke()
        if any(self._is_fallback(call) for call in got.calls):
            fail(
                f"a request that was refused with 400 was sent to {self.fallback} too",
                "that it ends there",
                "Name the errors that lead to the fallback; a wrong request is none of them.",
            )
