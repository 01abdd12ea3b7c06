"""What the copy of an answer is taken down as: times, framing, how it ended, JSON or pieces."""

import gzip
from typing import Any

import pytest

from langchain_prodtest.wire.cassette import Answered, Chunk
from langchain_prodtest.wire.redaction import Redaction
from langchain_prodtest.wire.transcript import Transcript, Unrecordable

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}


def told(*pieces: tuple[float, bytes], method: str = "POST", reset: bool = False) -> Answered:
    transcript = Transcript(method)
    for at, data in pieces:
        assert not transcript.whole
        transcript.feed(data, at)
    if not transcript.whole:
        transcript.feed(b"", pieces[-1][0])
    return transcript.told(reset, Redaction())


def with_json(framing: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + framing + b"\r\n\r\n"


def test_each_chunk_has_the_time_at_which_it_came() -> None:
    """Also one that ends inside a character; the end of the answer has its own."""
    pieces = [
        (0.1, CHUNKED),
        (0.25, b"1\r\na\r\n1\r\nb\r\n"),
        (0.50001, b"1\r\n\xc3\r\n"),
        (1.5, b"0\r\n\r\n"),
    ]
    assert told(*pieces) == Answered(
        headers=STREAM,
        chunks=(Chunk(at=0.25, text="a"), Chunk(at=0.25, text="b"), Chunk(at=0.5, base64="ww==")),
        seconds=1.5,
    )


@pytest.mark.parametrize(
    ("pieces", "reset", "expected"),
    [
        ([CHUNKED, b"1\r\na\r\n"], False, {"ends": "cut", "headers": STREAM}),
        ([CHUNKED, b"1\r\na\r\n"], True, {"ends": "reset", "headers": STREAM}),
        ([b"HTTP/1.1 200 OK\r\n\r\n", b"a"], False, {"framing": "close"}),
        ([b"HTTP/1.1 200 OK\r\n\r\n", b"a"], True, {"framing": "close", "ends": "reset"}),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", b"a"], False, {"framing": "length"}),
        (
            [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"a"],
            False,
            {"framing": "length", "ends": "cut", "length": 9},
        ),
    ],
)
def test_framing_and_ending_are_as_they_were(
    pieces: list[bytes], reset: bool, expected: dict[str, Any]
) -> None:
    found = told(*[(0.0, piece) for piece in pieces], reset=reset)
    assert found == Answered(chunks=(Chunk(text="a"),), **expected)


def test_an_answer_without_a_body_has_neither_body_nor_chunks() -> None:
    """Nothing, no content, and what HEAD only tells of; what comes before the answer is forgotten."""
    early = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    assert told((0.0, early + b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n")) == Answered(
        status=204, headers={"x": "y"}
    )
    assert told((0.0, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) == Answered()
    assert told((0.0, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), method="HEAD") == Answered()
    assert told((0.0, CHUNKED), reset=True) == Answered(headers=STREAM, framing="chunked", ends="reset")


def test_json_that_came_at_once_is_a_body_and_what_came_in_time_are_pieces() -> None:
    """With a Content-Length it is one answer, however slowly it came."""
    length, chunked = with_json(b"Content-Length: 8"), with_json(b"Transfer-Encoding: chunked")
    pieces = [(1.0, b"4\r\n[1, \r\n"), (1.05, b"4\r\n2.5]\r\n0\r\n\r\n")]
    assert told((0.0, length), (1.0, b"[1, "), (9.0, b"2.5]")).body == [1, 2.5]
    assert told((0.0, chunked), *pieces) == Answered(headers=JSON, body=[1, 2.5], seconds=1.05)
    slow = told((0.0, chunked), pieces[0], (3.0, pieces[1][1]))
    assert slow.chunks == (Chunk(at=1.0, text="[1, "), Chunk(at=3.0, text="2.5]"))


def test_what_is_no_json_in_spite_of_its_name_are_pieces() -> None:
    assert told((0.0, with_json(b"Content-Length: 4")), (0.0, b"{bad")).chunks == (Chunk(text="{bad"),)
    assert told((0.0, with_json(b"Content-Length: 5")), (0.0, b"1e400")).chunks == (Chunk(text="1e400"),)


def test_compression_is_undone() -> None:
    packed = gzip.compress(b'{"a": 1}')
    head = with_json(b"Content-Encoding: gzip\r\nContent-Length: %d" % len(packed))
    assert told((0.0, head), (0.0, packed)) == Answered(headers=JSON, body={"a": 1})


@pytest.mark.parametrize("inside", [b"AKIAIOSFODNN7EXAMPLE", b'"bytes":"QUtJQUlPU0ZPRE5ON0VYQU1QTEU="'])
def test_a_key_in_a_binary_body_is_found_also_where_aws_encodes_it(inside: bytes) -> None:
    """What is broken there is no key."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n\xff%b"
    with pytest.raises(Unrecordable, match="binary, and holds what looks like a key"):
        told((0.0, answer % (len(inside) + 1, inside)))
    fine = b'"bytes":"QUtJQ"'
    assert told((0.0, answer % (len(fine) + 1, fine))).chunks[0].base64 is not None


def test_a_header_that_no_cassette_can_hold_is_left_out() -> None:
    answer = b"HTTP/1.1 200 OK\r\na: \xe9\r\nb: c\r\nContent-Length: 0\r\nDate: now\r\n\r\n"
    assert told((0.0, answer)) == Answered(headers={"b": "c"})
