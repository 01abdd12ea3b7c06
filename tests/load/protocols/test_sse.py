import pytest

from langchain_prodtest.load.framing import Event
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
