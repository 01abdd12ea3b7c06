"""Reading requests from bytes: framings, limits, and that no bytes make it raise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_prodtest.wire.arrival import Arrival, Limits, Reader

POST = b"POST /openai/v1/chat/completions?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
SMALL = Limits(head_bytes=200, body_bytes=100)


def read(*pieces: bytes, limits: Limits = SMALL, keep_alive: bool = False) -> list[Arrival]:
    reader = Reader(limits, keep_alive)
    for piece in pieces:
        reader.feed(piece)
    return list(reader.arrived)


def rejection(*pieces: bytes, limits: Limits = SMALL) -> int | None:
    (arrival,) = read(*pieces, limits=limits)
    return arrival.rejected.status if arrival.rejected else None


def test_a_request_in_one_read() -> None:
    (arrival,) = read(POST)
    assert (arrival.method, arrival.target) == ("POST", "/openai/v1/chat/completions?x=1")
    assert arrival.headers == [(b"Host", b"h"), (b"Content-Length", b"2")]
    assert (arrival.body, arrival.keep, arrival.chunks, arrival.rejected) == (b"{}", False, True, None)


def test_a_request_byte_by_byte_is_the_same_request() -> None:
    (slow,) = read(*(POST[i : i + 1] for i in range(len(POST))))
    (fast,) = read(POST)
    assert slow._replace(received=0.0) == fast._replace(received=0.0)


def test_a_chunked_body_is_put_together() -> None:
    (arrival,) = read(
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n"
    )
    assert arrival.body == b"{}"


def test_http_1_0_has_no_chunks_and_no_keep_alive() -> None:
    (arrival,) = read(b"GET / HTTP/1.0\r\n\r\n", keep_alive=True)
    assert (arrival.keep, arrival.chunks) == (False, False)


def test_requests_in_a_row_arrive_in_order_with_keep_alive() -> None:
    arrived = read(POST * 2 + POST.replace(b"Host: h", b"Connection: close"), keep_alive=True)
    assert [arrival.keep for arrival in arrived] == [True, True, False]


def test_only_the_first_request_counts_without_keep_alive() -> None:
    assert len(read(POST + POST, POST)) == 1


def test_a_request_to_upgrade_is_read_as_a_plain_one() -> None:
    (arrival,) = read(b"GET /x HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", b"PRI * HTTP/2.0")
    assert (arrival.target, arrival.rejected) == ("/x", None)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nX: " + b"a" * 200 + b"\r\n\r\n",
        b"GET /" + b"a" * 200 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 200,
        b"GET /" + b"a" * 200,
    ],
)
def test_a_head_over_the_limit_is_431_even_if_it_never_ends(head: bytes) -> None:
    assert rejection(head) == 431
    assert rejection(*(head[i : i + 1] for i in range(len(head)))) == 431


def test_a_head_within_the_limit_is_read_whatever_body_came_with_it() -> None:
    body = b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n" + b"a" * 100
    arrived = read(body * 3 + b"GET /" + b"a" * 100, keep_alive=True)
    assert [arrival.rejected for arrival in arrived] == [None] * 3


def test_a_body_announced_over_the_limit_is_413_at_once() -> None:
    assert rejection(b"POST /p HTTP/1.1\r\nContent-Length: 101\r\n\r\n") == 413


def test_a_chunked_body_over_the_limit_is_413() -> None:
    head = b"POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert rejection(head, b"64\r\n" + b"a" * 100 + b"\r\n", b"1\r\na\r\n") == 413
    assert rejection(head + b"65\r\n" + b"a" * 101 + b"\r\n0\r\n\r\n") == 413


def test_a_rejected_request_still_says_what_it_was_for() -> None:
    (arrival,) = read(
        b"POST /openai/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + b"a" * 101 + b"\r\n0\r\n\r\n"
    )
    assert (arrival.method, arrival.target) == ("POST", "/openai/x")


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: two\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
def test_what_is_not_http_is_400(junk: bytes) -> None:
    assert rejection(junk) == 400


def test_after_a_rejection_nothing_more_is_read() -> None:
    assert len(read(b"junk\r\n\r\n", b"junk\r\n\r\n", POST)) == 1


def test_a_client_that_waits_for_100_continue_is_seen_until_its_body_comes() -> None:
    reader = Reader(SMALL, keep_alive=False)
    reader.feed(b"POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
    waiting = reader.expects
    reader.feed(b"{}")
    assert (waiting, reader.expects, len(reader.arrived)) == (True, False, 1)


@pytest.mark.parametrize("length", [b"Content-Length: 101", b"Content-Length: 0"])
def test_nobody_waits_for_100_continue_in_vain(length: bytes) -> None:
    reader = Reader(SMALL, keep_alive=False)
    reader.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\n" + length + b"\r\n\r\n")
    assert (reader.expects, len(reader.arrived)) == (False, 1)


@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_no_bytes_make_it_raise(pieces: list[bytes], keep_alive: bool) -> None:
    assert all(arrival.target or arrival.rejected for arrival in read(*pieces, keep_alive=keep_alive))


@given(st.data())
def test_no_damage_to_a_request_makes_it_raise(data: st.DataObject) -> None:
    raw = bytearray(POST * 2)
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    assert len(read(bytes(raw[:cut]), bytes(raw[cut:]), keep_alive=True)) <= 3
