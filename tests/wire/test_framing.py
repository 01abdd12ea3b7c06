"""Responses become exactly these HTTP/1.1 bytes."""

import re

import pytest

from langchain_prodtest.wire.framing import Write, frame
from langchain_prodtest.wire.response import Ending, Response

WHOLE = Response(status=200, headers={"content-type": "application/json"}, parts=[(0.5, b"{}")])
STREAM = Response(
    status=200, headers={}, parts=[(0.0, b"a" * 26), (0.2, b"\xc3\xbc")], streamed=True, closing=1
)


def sent(writes: list[Write]) -> bytes:
    return re.sub(rb"date: [^\r]+ GMT\r\n", b"date: D\r\n", b"".join(write.data for write in writes))


def test_a_whole_answer_carries_its_length() -> None:
    assert sent(frame(WHOLE, keep_alive=False, chunks=True)) == (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ndate: D\r\ncontent-length: 2\r\n"
        b"connection: close\r\n\r\n{}"
    )


def test_head_and_body_of_a_whole_answer_are_one_write_at_its_time() -> None:
    (write,) = frame(WHOLE, keep_alive=True, chunks=True)
    assert (write.at, write.body) == (0.5, 2)
    assert b"\r\nconnection: keep-alive\r\n\r\n" in write.data


def test_a_stream_is_one_chunk_an_event_and_a_last_chunk() -> None:
    writes = frame(STREAM, keep_alive=False, chunks=True)
    assert sent(writes) == (
        b"HTTP/1.1 200 OK\r\ndate: D\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        b"1a\r\n" + b"a" * 26 + b"\r\n2\r\n\xc3\xbc\r\n0\r\n\r\n"
    )
    assert [(write.at, write.body) for write in writes] == [(0.0, 0), (0.0, 26), (0.2, 2), (0.2, 0)]


@pytest.mark.parametrize("ending", ["eof", "reset", "hang"])
def test_a_stream_that_ends_badly_has_no_last_chunk(ending: Ending) -> None:
    spoiled = Response(status=200, headers={}, parts=[(0.0, b"a")], streamed=True, ending=ending)
    assert sent(frame(spoiled, keep_alive=False, chunks=True)).endswith(b"1\r\na\r\n")


def test_a_late_clean_end_delays_only_the_last_chunk() -> None:
    late = Response(status=200, headers={}, parts=[(0.1, b"a")], streamed=True, pause=2.0, spoiled=True)
    assert [write.at for write in frame(late, keep_alive=False, chunks=True)] == [0.0, 0.1, 2.1]


def test_a_client_without_chunks_gets_a_body_that_the_close_ends() -> None:
    raw = sent(frame(STREAM, keep_alive=True, chunks=False))
    assert raw == b"HTTP/1.1 200 OK\r\ndate: D\r\nconnection: close\r\n\r\n" + b"a" * 26 + b"\xc3\xbc"


def test_a_promised_length_wins_over_what_is_sent() -> None:
    cut = Response(status=200, headers={}, parts=[(0.0, b"{")], length=2, ending="eof")
    assert b"content-length: 2\r\n" in sent(frame(cut, keep_alive=False, chunks=True))


def test_without_a_head_nothing_is_written() -> None:
    silent = Response(status=200, headers={}, parts=[], head=False, ending="reset")
    assert frame(silent, keep_alive=False, chunks=True) == []


def test_a_status_without_a_phrase_of_its_own_is_sent() -> None:
    busy = Response(status=529, headers={}, parts=[(0.0, b"{}")])
    assert sent(frame(busy, keep_alive=False, chunks=True)).startswith(b"HTTP/1.1 529 \r\n")
