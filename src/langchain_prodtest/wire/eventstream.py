"""AWS's event-stream framing: one binary message an event, with a checksum of its prelude and one of it all.

A message is two 32-bit lengths (of all, of the headers), the CRC-32 of those, headers, payload, and the
CRC-32 of everything before. A header is its name and a string value, each after its length. All numbers are
big endian. Source: Smithy's "Amazon Event Stream Specification".
"""

import struct
from functools import lru_cache
from zlib import crc32

__all__ = ["CONTENT_TYPE", "error", "event", "exception", "with_wrong_checksum"]

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_LENGTHS = struct.Struct(">II").pack
_CHECKSUM = struct.Struct(">I").pack
_AROUND = 16  # bytes of a message that are neither headers nor payload
_STRING = 7  # the type of a header whose value is a string


def event(kind: str, payload: bytes) -> bytes:
    """Return the message of an event: `kind` is a member of the operation's output stream."""
    return _message(_json_headers("event", kind), payload)


def exception(kind: str, payload: bytes) -> bytes:
    """Return the message of an error that the service's model knows as a member of the stream."""
    return _message(_json_headers("exception", kind), payload)


def error(code: str, message: str) -> bytes:
    """Return the message of an error that the service's model does not know."""
    return _message(_headers({":message-type": "error", ":error-code": code, ":error-message": message}), b"")


def with_wrong_checksum(message: bytes) -> bytes:
    """Return the message with one bit of its last checksum flipped."""
    return message[:-1] + bytes([message[-1] ^ 1])


def _message(headers: bytes, payload: bytes) -> bytes:
    prelude = _LENGTHS(len(headers) + len(payload) + _AROUND, len(headers))
    start = b"".join((prelude, _CHECKSUM(crc32(prelude)), headers, payload))
    return start + _CHECKSUM(crc32(start))


@lru_cache(maxsize=64)
def _json_headers(message_type: str, kind: str) -> bytes:
    return _headers(
        {
            f":{message_type}-type": kind,
            ":content-type": "application/json",
            ":message-type": message_type,
        }
    )


def _headers(fields: dict[str, str]) -> bytes:
    parts = []
    for name, value in fields.items():
        raw_name, raw_value = name.encode(), value.encode()
        parts += [bytes([len(raw_name)]), raw_name, struct.pack(">BH", _STRING, len(raw_value)), raw_value]
    return b"".join(parts)
