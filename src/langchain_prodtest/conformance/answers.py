"""Answers: what is cut, repeated or missing never looks like a whole answer."""

from typing import TYPE_CHECKING

import msgspec
import pytest

from langchain_prodtest.conformance.manners import OUTAGES, Manners, fail, faults, named, not_applicable
from langchain_prodtest.script import Fault, Reply

if TYPE_CHECKING:
    from langchain_prodtest.conformance.trial import Trial

__all__ = ["AnswerTests"]

SLICE = 0.0002  # seconds between two bytes
CUTS = ("clean-end", "eof", "reset-inside", "garbage", "error-event", "html-200")
ABROAD = " Zürich, 東京 🛫"  # two, three and four bytes a letter in UTF-8


def abroad(reply: Reply) -> Reply:
    """Return a short stream whose text ends in letters of several bytes."""
    return msgspec.structs.replace(reply, text=reply.text + ABROAD, chunks=4)


class AnswerTests(Manners):
    """Streams that break, outages, structured answers that end too early."""

    @pytest.mark.parametrize("fault", faults(*CUTS))
    def test_a_cut_answer_is_not_presented_as_complete(self, trial: "Trial", fault: Fault) -> None:
        """The provider's stream is cut or damaged; the user gets the whole answer or sees that it failed."""
        self._needs_streaming(trial)
        with trial.providers.journal.always(fault):
            got = trial.stream()
        if self._presented(got) and not self._right(got):
            fail(
                f"the stream was cut ({named(fault)}), and the user got as a complete answer {got.how}",
                "an error, or the whole answer",
                "Refuse an answer without a normal finish_reason in its response_metadata.",
            )

    def test_nothing_is_said_twice(self, trial: "Trial") -> None:
        """A stream breaks after its first words; a second try does not repeat what was read."""
        self._needs_streaming(trial)
        trial.providers.journal.add(Fault(how="reset", after=8), then_default=True)
        got = trial.stream()
        head = got.right[:20]
        if got.text.count(head) > got.right.count(head):
            fail(
                f"the stream broke and was tried again, and the user read {got.text[:120]!r}",
                "nothing twice",
                "Do not retry a stream of which something was shown; raise instead.",
            )

    def test_an_answer_is_right_however_it_is_sliced(self, trial: "Trial") -> None:
        """The stream comes a few bytes at a time, cut inside lines and inside letters."""
        self._needs_streaming(trial)
        if trial.healthy.calls[-1].body.get("response_format"):
            not_applicable("a structured answer holds no further text")
        trial.providers.journal.default = lambda request: abroad(self.reply(request))
        with trial.providers.journal.always(Fault(how="drip", delay=SLICE)):
            got = trial.stream()
        if self._presented(got) and got.text.replace(ABROAD, "").strip() != got.right.strip():
            fail(
                f"the stream was sliced, and the user got as a complete answer {got.how}",
                f"{got.right[:40]!r}... with {ABROAD!r} at its end",
                "Split the bytes at line ends before you decode them, and keep what is left for the next.",
            )

    @pytest.mark.parametrize("fault", faults("reset-first"))
    def test_a_stream_that_breaks_before_its_first_word_is_survived(
        self, trial: "Trial", fault: Fault
    ) -> None:
        """Nothing was shown yet; the user gets the right answer by a second try or a fallback."""
        self._needs_streaming(trial)
        trial.providers.journal.add(fault, then_default=True)
        got = trial.stream()
        if not self._right(got):
            fail(
                f"the stream broke before its first word, and the user got {got.how}",
                "the right answer: nothing had been shown",
                "Retry around the model call: a client's own retries end with the response's head.",
            )

    @pytest.mark.parametrize("fault", OUTAGES, ids=named)
    def test_an_outage_is_not_an_answer(self, trial: "Trial", fault: Fault) -> None:
        """No provider answers; the user gets an error, not a text that looks like an answer."""
        with trial.providers.journal.always(fault):
            got = trial.invoke()
        if self._presented(got):
            fail(
                f"no provider answered ({named(fault)}), and the user got as an answer {got.how}",
                "an error, or a value that admits_failure() knows",
                "Let it raise (on_failure='error'), or override admits_failure().",
            )

    def test_the_answer_is_passed_on_as_it_comes(self, trial: "Trial") -> None:
        """The user reads the first text while the provider is still sending."""
        self._needs_streaming(trial)
        count = len(Reply(trial.healthy.text).pieces())
        with trial.providers.journal.always(
            Reply(trial.healthy.text, per_chunk=min(0.1, self.deadline / 4 / count))
        ):
            got = trial.stream()
        if got.first_while_open is False:
            fail(
                "the provider streamed its answer, and the user read nothing before its end",
                "the first text while the provider is still sending",
                "Yield each piece as it comes; do not collect the stream.",
            )

    def test_a_cut_structured_answer_is_refused(self, trial: "Trial") -> None:
        """The answer that was to fit a schema ends at the token limit; no half of it is used."""
        asked = trial.healthy.calls[-1]
        if not asked.body.get("response_format"):
            not_applicable("no structured answer (response_format) is asked for")
        whole = self.reply(asked)
        cut = Reply(whole.text[: len(whole.text) // 2], finish="length")
        with trial.providers.journal.always(cut):
            got = trial.invoke()
        if self._presented(got):
            fail(
                f"a structured answer ended at the token limit, and the user got {got.how}",
                "an error",
                "Refuse finish_reason 'length', and parse strictly (json.loads, not a partial parser).",
            )
