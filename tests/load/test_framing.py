import pytest

from langchain_prodtest.load.framing import MAX_EVENT, Event, EventParser, FramingError

STREAM = (
    "\ufeff: a comment\n"
    'event: token\ndata: {"text": "héllo €"}\n\n'
    "data: one\ndata:two\ndata:  three\nid: 7\nretry: 10\n\n"
    "event: ping\n\n"
    "data\n\n"
    "event: done\ndata: {}\n\n"
    "data: never finished"
)
EVENTS = [
    Event("token", '{"text": "héllo €"}'),
    Event("message", "one\ntwo\n three"),
    Event("ping", ""),
    Event("message", ""),
    Event("done", "{}"),
]


def encoded(line_end: str) -> bytes:
    return STREAM.replace("\n", line_end).encode()


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_place_to_cut_a_stream_gives_the_same_events(line_end: str) -> None:
    """Cut between CR and LF, inside a UTF-8 character or a field name, the events are the same."""
    data = encoded(line_end)
    for cut in range(len(data) + 1):
        parser = EventParser()
        assert parser.feed(data[:cut]) + parser.feed(data[cut:]) == EVENTS, cut


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_stream_in_single_bytes_gives_the_same_events(line_end: str) -> None:
    parser = EventParser()
    assert [e for i in encoded(line_end) for e in parser.feed(bytes([i]))] == EVENTS


def test_an_event_is_given_with_its_last_byte_and_not_later() -> None:
    parser = EventParser()
    assert parser.feed(b"data: x\r\n") == []
    assert parser.feed(b"\r") == [Event("message", "x")]
    assert parser.feed(b"\n") == []


def test_a_byte_that_is_not_utf_8_is_replaced() -> None:
    assert EventParser().feed(b"data: \xff\n\n") == [Event("message", "\ufffd")]


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 70_000, b"data: " + b"x" * 70_000 + b"\n"])
def test_an_event_without_end_is_refused_before_it_fills_the_memory(piece: bytes) -> None:
    parser = EventParser()
    for _ in range(MAX_EVENT // len(piece) - 1):
        assert parser.feed(piece) == []
    with pytest.raises(FramingError, match="larger than"):
        parser.feed(piece * 3)
