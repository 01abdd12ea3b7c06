"""AWS's event-stream framing, byte by byte and read back by botocore."""

import pytest
from botocore.eventstream import (  # type: ignore[import-untyped]
    ChecksumMismatch,
    EventStreamBuffer,
    EventStreamMessage,
)
from hypothesis import given
from hypothesis import strategies as st

from langchain_prodtest.wire import eventstream


def read(data: bytes) -> list[EventStreamMessage]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return list(buffer)


def test_an_event_is_exactly_these_bytes() -> None:
    assert eventstream.event("chunk", b"{}") == bytes.fromhex(
        "0000005d 0000004b 44af4c0b"
        "0b 3a6576656e742d74797065 07 0005 6368756e6b"
        "0d 3a636f6e74656e742d74797065 07 0010 6170706c69636174696f6e2f6a736f6e"
        "0d 3a6d6573736167652d74797065 07 0005 6576656e74"
        "7b7d ff8b8869"
    )


@given(payload=st.binary(max_size=300))
def test_an_event_is_read_back_with_both_checksums_verified(payload: bytes) -> None:
    (message,) = read(eventstream.event("contentBlockDelta", payload))
    assert message.payload == payload
    assert message.headers == {
        ":message-type": "event",
        ":event-type": "contentBlockDelta",
        ":content-type": "application/json",
    }


def test_an_exception_names_its_type() -> None:
    (message,) = read(eventstream.exception("throttlingException", b'{"message":"slow down"}'))
    assert message.headers[":message-type"] == "exception"
    assert message.headers[":exception-type"] == "throttlingException"
    assert message.payload == b'{"message":"slow down"}'


def test_an_error_carries_its_code_and_text_in_headers_alone() -> None:
    (message,) = read(eventstream.error("InternalFailure", "kaputt é"))
    assert message.headers == {
        ":message-type": "error",
        ":error-code": "InternalFailure",
        ":error-message": "kaputt é",
    }
    assert message.payload == b""


@given(cut=st.integers(0, 400))
def test_messages_cut_anywhere_are_put_together_again(cut: int) -> None:
    data = b"".join(eventstream.event("chunk", b"%d" % n) for n in range(4))
    buffer = EventStreamBuffer()
    got = []
    for piece in (data[:cut], data[cut:]):
        buffer.add_data(piece)
        got += [message.payload for message in buffer]
    assert got == [b"0", b"1", b"2", b"3"]


def test_a_wrong_checksum_is_seen() -> None:
    with pytest.raises(ChecksumMismatch):
        read(eventstream.with_wrong_checksum(eventstream.event("chunk", b"{}")))
