import pytest

from langchain_prodtest.errors import UsageError
from langchain_prodtest.load.framing import Event, EventParser
from langchain_prodtest.load.protocols import find_protocol
from langchain_prodtest.load.protocols.sse import Sse
from langchain_prodtest.load.reading import Reading


def test_the_prompt_is_sent_as_a_message() -> None:
    assert Sse().body('say "hi"') == b'{"message":"say \\"hi\\""}'


@pytest.mark.parametrize(
    ("event", "reading"),
    [
        (Event("token", '{"text": "hi"}'), Reading(text="hi")),
        (Event("token", '{"text": ""}'), Reading()),
        (Event("done", '{"finish": "stop"}'), Reading(ending="complete")),
        (Event("error", '{"message": "no"}'), Reading(ending="error_event", detail="no")),
        (Event("metadata", "{}"), Reading()),
        (Event("message", "hello"), Reading()),
    ],
)
def test_each_event_says_what_the_protocol_defines(event: Event, reading: Reading) -> None:
    assert Sse().read(event) == reading


@pytest.mark.parametrize("data", ["<html>", '{"word": "hi"}', '{"text": 1}', "[]", ""])
def test_a_token_that_is_not_what_it_should_be_is_an_error_and_never_text(data: str) -> None:
    reading = Sse().read(Event("token", data))
    assert (reading.text, reading.ending) == ("", "error_event")
    assert "unreadable token" in reading.detail


def test_it_understands_what_it_speaks() -> None:
    readings = [Sse().read(event) for event in EventParser().feed(Sse().speak(['say "hi"', " now"]))]
    assert readings == [Reading(text='say "hi"'), Reading(text=" now"), Reading(ending="complete")]


def test_an_unknown_protocol_names_the_nearest() -> None:
    with pytest.raises(UsageError, match='Did you mean "sse"'):
        find_protocol("ssee")
