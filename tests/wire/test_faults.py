"""What each Fault does to a healthy response, before any byte is framed."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.script import Fault, Reply, Request, ToolCall
from langchain_prodtest.wire.faults import faulty, spoil
from langchain_prodtest.wire.framing import frame
from langchain_prodtest.wire.openai import OpenAI
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


@pytest.mark.parametrize(
    ("after", "sent"),
    [
        (1, [b"open", b"open", b"one", b"two", b"finish", b"[DONE]"]),
        (3, [b"open", b"one", b"two", b"two", b"finish", b"[DONE]"]),
        (99, [b"open", b"one", b"two", b"finish", b"[DONE]", b"[DONE]"]),
    ],
)
def test_a_duplicated_event_comes_twice(after: int, sent: list[bytes]) -> None:
    assert data(spoil(stream(), Fault(how="duplicate", after=after), GARBAGE)) == sent


@pytest.mark.parametrize(
    ("after", "sent"),
    [
        (1, [b"one", b"open", b"two", b"finish", b"[DONE]"]),
        (2, [b"open", b"two", b"one", b"finish", b"[DONE]"]),
        (99, [b"open", b"one", b"two", b"[DONE]", b"finish"]),
    ],
)
def test_two_neighbours_change_places_and_the_times_stay(after: int, sent: list[bytes]) -> None:
    spoiled = spoil(stream(), Fault(how="reorder", after=after), GARBAGE)
    assert data(spoiled) == sent
    assert [at for at, _ in spoiled.parts] == [at for at, _ in stream().parts]


@pytest.mark.parametrize("how", ["duplicate", "reorder"])
def test_without_a_stream_there_are_no_events_to_rearrange(how: str) -> None:
    with pytest.raises(ScriptError, match="about streams"):
        spoil(whole(), msgspec.convert({"how": how, "after": 1}, Fault), GARBAGE)


@pytest.mark.parametrize(("how", "ending"), [("reset", "reset"), ("eof", "eof"), ("stall", "hang")])
@given(after=st.integers(1, 40))
def test_a_stream_can_be_cut_at_any_byte_but_the_last_event_never_begins(
    how: str, ending: str, after: int
) -> None:
    spoiled = spoil(stream(), msgspec.convert({"how": how, "after_bytes": after}, Fault), GARBAGE)
    assert b"".join(data(spoiled)) == b"openonetwofinish"[:after]
    assert (spoiled.ending, all(data(spoiled))) == (ending, True)


@given(after=st.integers(1, 40))
def test_a_clean_end_at_a_byte_never_says_that_the_answer_is_complete(after: int) -> None:
    spoiled = spoil(stream(), Fault(how="clean_end", after_bytes=after), GARBAGE)
    assert (b"".join(data(spoiled)), spoiled.ending) == (b"openonetwo"[:after], "end")


def head_and_body(response: Response) -> tuple[bytes, bytes]:
    head, _, body = b"".join(
        write.data for write in frame(response, keep_alive=False, chunks=True)
    ).partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize("how", ["eof", "reset", "stall"])
@pytest.mark.parametrize(("healthy", "size", "kept"), [(stream(), 22, b"op"), (whole(), len(BODY), BODY[:2])])
def test_a_cut_body_is_framed_as_asked(healthy: Response, size: int, kept: bytes, how: str) -> None:
    def framed(framing: str) -> tuple[bytes, bytes]:
        fault = msgspec.convert({"how": how, "after_bytes": 2, "framing": framing}, Fault)
        return head_and_body(spoil(healthy, fault, GARBAGE))

    head, body = framed("length")
    assert (b"content-length: %d" % size in head, body) == (True, kept)
    head, body = framed("chunked")
    assert (b"transfer-encoding: chunked" in head, body) == (True, b"2\r\n%b\r\n" % kept)
    head, body = framed("close")
    assert (b"content-length" in head or b"chunked" in head, body) == (False, kept)


@pytest.mark.parametrize("healthy", [stream(), whole()])
def test_a_clean_end_is_clean_under_each_framing(healthy: Response) -> None:
    def framed(framing: str) -> tuple[bytes, bytes, str]:
        fault = msgspec.convert({"how": "clean_end", "after_bytes": 2, "framing": framing}, Fault)
        spoiled = spoil(healthy, fault, GARBAGE)
        return *head_and_body(spoiled), spoiled.ending

    head, body, ending = framed("length")
    assert (b"content-length: 2" in head, len(body), ending) == (True, 2, "end")
    _, body, ending = framed("chunked")
    assert (body.endswith(b"0\r\n\r\n"), ending) == (True, "end")
    head, body, ending = framed("close")
    assert (b"content-length" in head, len(body), ending) == (False, 2, "eof")


def test_a_delayed_clean_end_of_a_body_with_a_length_is_late_at_its_last_byte() -> None:
    fault = Fault(how="clean_end", after=2, framing="length", delay=2.0)
    assert [at for at, _ in spoil(stream(), fault, GARBAGE).parts] == [0.0, 2.1]


# -- with a provider's codec ------------------------------------------------------------------------------

OPENAI = OpenAI()
TEXT = Reply("Grüße aus Köln", chunks=2)


def asked(*, streamed: bool = True) -> Request:
    options = {"stream_options": {"include_usage": True}}
    return Request(provider="openai", model="m", messages=[], stream=streamed, body=options)


def made(fault: Fault, *, streamed: bool = True) -> Response:
    return faulty(OPENAI, fault, TEXT, asked(streamed=streamed))


@pytest.mark.parametrize(
    ("what", "absent"),
    [("finish", b'"finish_reason":"stop"'), ("usage", b'"prompt_tokens"'), ("terminal", b"[DONE]")],
)
def test_what_is_missing_is_left_out_and_the_rest_is_there(what: str, absent: bytes) -> None:
    marks = [b'"finish_reason":"stop"', b'"prompt_tokens"', b"[DONE]", "Köln".encode()]
    body = b"".join(data(made(msgspec.convert({"how": "missing", "what": what}, Fault))))
    assert [mark for mark in marks if mark not in body] == [absent]


def test_what_a_stream_does_not_have_cannot_be_missing() -> None:
    plain = Request(provider="openai", model="m", messages=[], stream=True)
    with pytest.raises(ScriptError, match="no usage that could be missing"):
        faulty(OPENAI, Fault(how="missing", what="usage"), TEXT, plain)
    with pytest.raises(ScriptError, match="about streams"):
        made(Fault(how="missing", what="usage"), streamed=False)


@pytest.mark.parametrize(("after", "before"), [(0, 0), (2, 2), (99, 3)])
def test_an_error_event_ends_the_stream(after: int, before: int) -> None:
    response = made(Fault(how="error_event", after=after, delay=1.0))
    assert data(response)[:-1] == data(response)[:before]
    assert len(data(response)) == before + 1
    assert json.loads(data(response)[-1].removeprefix(b"data: "))["error"]["type"] == "server_error"
    assert (response.parts[-1][0], response.ending, response.spoiled) == (1.0, "end", True)


@pytest.mark.parametrize(
    ("how", "kind", "body"),
    [
        ("html", "text/html", b"<!doctype html>"),
        ("empty", "application/json", b"{}"),
        ("error_body", "application/json", b'{"error":'),
        ("error_event", "application/json", b'{"error":'),
    ],
)
def test_another_body_comes_with_status_200(how: str, kind: str, body: bytes) -> None:
    response = made(msgspec.convert({"how": how, "delay": 0.5}, Fault), streamed=False)
    ((at, sent),) = response.parts
    assert (response.status, response.headers["content-type"], at) == (200, kind, 0.5)
    assert sent.startswith(body)
    assert response.headers["x-request-id"]


@pytest.mark.parametrize("how", ["html", "empty", "error_body"])
def test_another_body_comes_instead_of_a_stream_too(how: str) -> None:
    response = made(msgspec.convert({"how": how}, Fault))
    assert (response.streamed, len(response.parts)) == (False, 1)


def test_a_stream_can_be_cut_inside_a_character_and_inside_arguments() -> None:
    call = Reply(tool_calls=[ToolCall("greet", {"name": "Grüße"})])
    whole_body = b"".join(data(faulty(OPENAI, Fault(how="drip"), call, asked())))
    inside = whole_body.index("ü".encode()) + 1
    cut = faulty(OPENAI, Fault(how="eof", after_bytes=inside), call, asked())
    assert len(b"".join(data(cut))) == inside
    with pytest.raises(UnicodeDecodeError):
        b"".join(data(cut)).decode()


def test_a_status_is_no_way_to_spoil_an_answer() -> None:
    with pytest.raises(ValueError, match="503"):
        spoil(stream(), Fault(status=503), GARBAGE)
