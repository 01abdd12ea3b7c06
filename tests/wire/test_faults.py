"""What each Fault does to a healthy response, before any byte is framed."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_prodtest.script import Fault
from langchain_prodtest.wire.faults import spoil
from langchain_prodtest.wire.response import Response

GARBAGE = b"data: {not json\n\n"
BODY = '{"text":"Grüße aus Köln"}'.encode()


def stream() -> Response:
    parts = [(0.0, b"open"), (0.1, b"one"), (0.2, b"two"), (0.2, b"finish"), (0.2, b"[DONE]")]
    return Response(status=200, headers={}, parts=parts, streamed=True, closing=3)


def whole(body: bytes = BODY) -> Response:
    return Response(status=200, headers={}, parts=[(0.3, body)])


def data(response: Response) -> list[bytes]:
    return [data for _, data in response.parts]


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        (Fault(how="refuse"), "reset"),
        (Fault(how="reset", delay=0.5), "reset"),
        (Fault(how="eof"), "eof"),
        (Fault(how="hang"), "hang"),
        (Fault(how="hang", after=3), "hang"),
    ],
)
@pytest.mark.parametrize("healthy", [stream(), whole()])
def test_before_the_head_no_byte_is_sent(healthy: Response, fault: Fault, ending: str) -> None:
    spoiled = spoil(healthy, fault, GARBAGE)
    assert (spoiled.head, spoiled.parts, spoiled.ending) == (False, [], ending)
    assert spoiled.pause == fault.delay
    assert spoiled.spoiled


@pytest.mark.parametrize(("how", "ending"), [("reset", "reset"), ("eof", "eof"), ("stall", "hang")])
@pytest.mark.parametrize(
    ("after", "sent"),
    [(1, [b"open"]), (3, [b"open", b"one", b"two"]), (99, [b"open", b"one", b"two", b"finish"])],
)
def test_a_cut_stream_has_exactly_the_first_events_and_never_the_last(
    how: str, ending: str, after: int, sent: list[bytes]
) -> None:
    spoiled = spoil(stream(), msgspec.convert({"how": how, "after": after, "delay": 0.7}, Fault), GARBAGE)
    assert data(spoiled) == sent
    assert (spoiled.head, spoiled.ending, spoiled.pause, spoiled.spoiled) == (True, ending, 0.7, True)


@pytest.mark.parametrize("how", ["reset", "eof", "stall"])
@given(after=st.integers(1, 60))
def test_a_cut_body_promises_the_length_of_the_whole(how: str, after: int) -> None:
    spoiled = spoil(whole(), msgspec.convert({"how": how, "after": after}, Fault), GARBAGE)
    assert data(spoiled) == [BODY[: min(after, len(BODY) - 1)]]
    assert spoiled.length == len(BODY)


def test_a_body_can_be_cut_inside_a_character() -> None:
    inside = BODY.index("ü".encode()) + 1
    (cut,) = data(spoil(whole(), Fault(how="eof", after=inside), GARBAGE))
    with pytest.raises(UnicodeDecodeError):
        cut.decode()


@pytest.mark.parametrize(("after", "events"), [(1, 1), (2, 2), (3, 3), (4, 3), (99, 3)])
def test_a_clean_end_never_says_that_the_answer_is_complete(after: int, events: int) -> None:
    spoiled = spoil(stream(), Fault(how="clean_end", after=after), GARBAGE)
    assert data(spoiled) == data(stream())[:events]
    assert (spoiled.ending, spoiled.spoiled) == ("end", True)


@given(after=st.integers(1, 60))
def test_a_clean_end_of_a_body_promises_what_it_sends(after: int) -> None:
    spoiled = spoil(whole(), Fault(how="clean_end", after=after), GARBAGE)
    assert data(spoiled) == [BODY[: min(after, len(BODY) - 1)]]
    assert spoiled.length is None


@pytest.mark.parametrize(("after", "place"), [(0, 0), (2, 2), (4, 4), (99, 4)])
def test_garbage_comes_in_between_and_the_answer_goes_on(after: int, place: int) -> None:
    spoiled = spoil(stream(), Fault(how="garbage", after=after), GARBAGE)
    assert data(spoiled) == [*data(stream())[:place], GARBAGE, *data(stream())[place:]]
    assert (spoiled.ending, spoiled.spoiled) == ("end", False)


def test_garbage_delays_itself_and_all_that_follows() -> None:
    spoiled = spoil(stream(), Fault(how="garbage", after=2, delay=1.0), GARBAGE)
    assert [at for at, _ in spoiled.parts] == [0.0, 0.1, 1.2, 1.2, 1.2, 1.2]


@given(after=st.integers(0, 60))
def test_a_body_with_garbage_is_not_json_wherever_it_comes(after: int) -> None:
    (body,) = data(spoil(whole(), Fault(how="garbage", after=after), GARBAGE))
    with pytest.raises(ValueError, match=r"."):
        json.loads(body)


@pytest.mark.parametrize("healthy", [stream(), whole()])
def test_a_drip_sends_the_same_bytes_one_by_one_at_even_times(healthy: Response) -> None:
    spoiled = spoil(healthy, Fault(how="drip", delay=0.5), GARBAGE)
    assert b"".join(data(spoiled)) == b"".join(data(healthy))
    assert {len(byte) for byte in data(spoiled)} == {1}
    times = [at for at, _ in spoiled.parts]
    assert times == pytest.approx([times[0] + 0.5 * i for i in range(len(times))])
    assert spoiled.ending == "end"


def test_a_status_is_no_way_to_spoil_an_answer() -> None:
    with pytest.raises(ValueError, match="503"):
        spoil(stream(), Fault(status=503), GARBAGE)
