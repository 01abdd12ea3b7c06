"""Economy: what a runnable that caches, routes or embeds promises to ask for, and no more."""

import math
from typing import TYPE_CHECKING

from langchain_prodtest.conformance.manners import Manners, fail, not_applicable
from langchain_prodtest.script import Fault

if TYPE_CHECKING:
    from langchain_prodtest.conformance.trial import Trial

__all__ = ["EconomyTests"]

TEXTS = 41


class EconomyTests(Manners):
    """Caches that are keyed rightly, models that fit the question, embeddings in batches."""

    def test_a_question_gets_its_own_answer(self, trial: "Trial") -> None:
        """Two questions that differ in their last letters get two answers, each its own."""
        first, second = trial.invoke(), trial.invoke()
        if first.text and first.text == second.text:
            fail(
                f"two different questions got the same answer, {second.how}",
                "each its own",
                "Key what is kept by the whole request: every message, the model, its settings and tools.",
            )

    def test_an_identical_question_is_answered_once(self, trial: "Trial") -> None:
        """The same question asked again is answered without the provider (`caches`)."""
        self._needs_cache()
        got = trial.invoke()
        again = trial.again(got)
        if again.calls or not self._right(again):
            fail(
                f"the same question came again; the provider was asked {len(again.calls)} more times, and "
                f"the user got {again.how}",
                "the same answer, without a request",
                "Keep answers by their request (set_llm_cache, or one of your own), for all users of it.",
            )

    def test_a_failure_is_not_kept(self, trial: "Trial") -> None:
        """The same question asked again after an outage gets its answer (`caches`)."""
        self._needs_cache()
        with trial.providers.journal.always(Fault(status=503)):
            got = trial.invoke()
        again = trial.again(got)
        if not self._right(again):
            fail(
                f"the provider was well again, and the same question got {again.how}",
                "its answer: a failure is not kept",
                "Keep complete answers only.",
            )

    def test_each_question_goes_to_the_model_for_it(self, trial: "Trial") -> None:
        """A question of `routes` is answered by the model declared for it, and by no other."""
        if not self.routes:
            not_applicable("no routes are declared; set routes to the model of an easy and a hard question")
        for text, model in self.routes.items():
            asked = {call.model for call in trial.invoke(about=text).calls}
            if asked != {model}:
                fail(
                    f"the question {text!r} was answered by {', '.join(sorted(asked)) or 'no model'}",
                    f"by {model} alone (routes)",
                    "Choose the model before the question is sent, from what routes declares.",
                )

    def test_texts_are_embedded_in_batches(self, trial: "Trial") -> None:
        """Many texts need no more requests than batches of `embeddings_batch` (`embed()`)."""
        texts = [f"Text number {number}." for number in range(TEXTS)]
        before = len(trial.providers.calls)
        trial.run(lambda: self.embed(trial.runnable, texts))
        count = len([call for call in trial.providers.calls[before:] if call.operation == "embeddings"])
        most = math.ceil(TEXTS / self.embeddings_batch)
        if not 0 < count <= most:
            fail(
                f"{TEXTS} texts were embedded with {count} requests",
                f"1 to {most}: batches of {self.embeddings_batch} (embeddings_batch)",
                "Give embed_documents all texts at once, and the client a chunk_size.",
            )

    def _needs_cache(self) -> None:
        if not self.caches:
            not_applicable("no cache is declared; set caches = True")
