"""Planted answers: reported for what they are by a sound protocol, and a broken one is found out."""

from collections.abc import Sequence
from typing import Any

import pytest

from langchain_prodtest.load.framing import Event
from langchain_prodtest.load.proof import PHASE, PLANTED, plant, proven
from langchain_prodtest.load.protocols.sse import Sse
from langchain_prodtest.load.reading import Reading
from langchain_prodtest.measure import Sample


class TakesAllForText(Sse):
    def read(self, event: Event) -> Reading:
        return Reading(text=event.data, ending="complete")


class NeverEnds(Sse):
    def read(self, event: Event) -> Reading:
        return Sse.read(self, event)._replace(ending="")


class SpeaksTwice(Sse):
    def speak(self, pieces: Sequence[str]) -> bytes:
        return super().speak([*pieces, *pieces])


def planted(protocol: Any) -> list[Sample]:
    kept: list[Sample] = []
    plant(protocol, "chat", seed=7, keep=kept.append)
    return kept


def test_each_planted_answer_is_reported_in_a_phase_of_its_own() -> None:
    samples = planted(Sse())
    assert [(sample.outcome, sample.phase) for sample in samples] == [(outcome, PHASE) for outcome in PLANTED]
    assert proven(samples) == ""


@pytest.mark.parametrize("protocol", [TakesAllForText(), NeverEnds(), SpeaksTwice()])
def test_a_broken_protocol_is_found_out(protocol: Any) -> None:
    assert proven(planted(protocol)).startswith(f"planted answers ({', '.join(PLANTED)}) were reported as ")


def test_what_was_not_planted_is_no_proof() -> None:
    assert proven([]).endswith("were reported as nothing")
    assert proven(2 * planted(Sse()))
