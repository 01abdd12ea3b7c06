"""Cassettes: recorded exchanges with providers, as a JSON file that people can read, edit and compare.

```json
{"recordings": [{
  "request": {"provider": "openai", "path": "/v1/chat/completions", "body": {"model": "m", "stream": true}},
  "response": {"headers": {"content-type": "text/event-stream"}, "seconds": 1.9,
               "chunks": [{"at": 0.8, "text": "data: {}\n\n"}, {"at": 1.9, "text": "data: [DONE]\n\n"}]}
}]}
```
"""

import binascii
import gzip
import json
from base64 import b64decode, b64encode
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from langchain_prodtest.config import decode_toml
from langchain_prodtest.errors import UsageError, unknown_name
from langchain_prodtest.evidence import write_atomically
from langchain_prodtest.steps import Framing
from langchain_prodtest.wire.arrival import Arrival
from langchain_prodtest.wire.redaction import Redaction, keys_in

__all__ = [
    "Answered", "Asked", "Chunk", "Recording", "Status",
    "chunk", "formatted", "heard", "json_of", "read_cassette", "save", "schema",
]  # fmt: skip

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_GZIP = b"\x1f\x8b"

Seconds = Annotated[float, msgspec.Meta(ge=0)]
Status = Annotated[int, msgspec.Meta(ge=200, le=999)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A part of a cassette: what has its default is left out of the file, and what is unknown is refused."""


class Asked(_Part, frozen=True):
    """What a client asked; it is matched by meaning, so the order of keys does not count.

    `provider` is the mount, `path` starts after it and includes the query; where one is empty, any fits.
    `body` is the JSON; a body that is no JSON is a string, of base64 if it is no text either.
    """

    provider: str = ""
    method: str = "POST"
    path: str = ""
    body: Any = msgspec.UNSET


class Chunk(_Part, frozen=True):
    """A piece of a body, `at` seconds after the request; bytes that are no text are `base64`."""

    at: Seconds = 0.0
    text: str | None = None
    base64: str | None = None

    def __post_init__(self) -> None:
        if (self.text is None) == (self.base64 is None):
            raise ValueError("a chunk has either text or base64")
        try:
            self.data  # noqa: B018 - it may not be what it says
        except (binascii.Error, UnicodeEncodeError) as error:
            raise ValueError(
                f"this chunk is no {'text' if self.base64 is None else 'base64'}: {error}"
            ) from None

    @property
    def data(self) -> bytes:
        """The bytes."""
        return self.text.encode() if self.text is not None else b64decode(self.base64 or "", validate=True)


class Answered(_Part, frozen=True):
    """What the provider answered: a whole JSON `body`, or `chunks`. It ended `seconds` after the request.

    `ends` "cut": the connection was closed though the body was not finished; "reset": it was reset.
    `framing` is how the end of the body shows: the Content-Length ("length"), which says `length` where the
    body was cut; "chunked"; or the "close" of the connection. It goes without saying where it is "length" for
    a body and "chunked" for chunks. Headers that follow from it are left out.
    """

    status: Status = 200
    headers: dict[str, str] = {}
    seconds: Seconds = 0.0
    body: Any = msgspec.UNSET
    chunks: Sequence[Chunk] = ()
    ends: Literal["whole", "cut", "reset"] = "whole"
    framing: Framing | None = None
    length: Annotated[int, msgspec.Meta(ge=0)] | None = None

    def __post_init__(self) -> None:
        if any(later.at < earlier.at for earlier, later in pairwise(self.chunks)):
            raise ValueError("chunks are in order of `at`, in seconds after the request")
        if self.body is not msgspec.UNSET and self.chunks:
            raise ValueError("a response has either a body or chunks")
        if self.ends == "whole" and self.length is not None:
            raise ValueError("length belongs to a response that is cut or reset")
        if self.ends != "whole" and self.body is not msgspec.UNSET:
            raise ValueError("a response that is cut or reset has chunks, not a body")
        for name, value in self.headers.items():
            if not (name + value).isascii() or not (name + value).isprintable():
                raise ValueError(f"the header {name!r} is not printable ASCII on one line")


class Recording(_Part, frozen=True):
    """One exchange."""

    request: Asked
    response: Answered


class _File(msgspec.Struct, frozen=True):
    recordings: list[dict[str, Any]]


def heard(arrival: Arrival) -> tuple[Asked, Redaction]:
    """Return a request to `/<mount>/...` as it is recorded, and what keeps credentials out of the answer."""
    redaction = Redaction(keys_in(arrival.headers))
    mount, _, path = arrival.target.removeprefix("/").partition("/")
    body = redaction.json(json_of(arrival.body))
    return Asked(provider=mount, method=arrival.method, path=redaction.text(f"/{path}"), body=body), redaction


def json_of(body: bytes) -> Any:
    """Return a body as JSON, or as a string if it is none; UNSET if there is none."""
    if not body:
        return msgspec.UNSET
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        part = chunk(0.0, body)
        return part.base64 if part.text is None else part.text


def chunk(at: float, data: bytes) -> Chunk:
    """Return bytes as a chunk, as text if they are that."""
    try:
        return Chunk(at=at, text=data.decode())
    except UnicodeDecodeError:
        return Chunk(at=at, base64=b64encode(data).decode())


def read_cassette(path: Path, providers: Collection[str] = ()) -> list[Recording]:
    """Read a cassette of our own, or one of vcrpy's (YAML), either of which may be compressed by gzip.

    UsageError names the file, the place in it, and what is right; also for one that is for none of
    `providers`, if they are given.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data.startswith(_GZIP) else data).decode()
    except (OSError, EOFError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if text.lstrip().startswith("{"):
        recordings = _decode(text, str(path))
    else:
        from langchain_prodtest.wire.vcr import decode_vcr

        recordings = decode_vcr(text, str(path))
    for number, recording in enumerate(recordings, start=1):
        provider = recording.request.provider
        if providers and provider and provider not in providers:
            raise UsageError(f"{path} [recording {number}]: {unknown_name('provider', provider, providers)}")
    return recordings


def _decode(text: str, where: str) -> list[Recording]:
    try:
        table = json.loads(text)  # unlike msgspec's, its errors name line and column
    except (json.JSONDecodeError, RecursionError) as error:
        raise UsageError(f"{where}: {error}") from None
    recordings = decode_toml(table, _File, where).recordings
    return [decode_toml(one, Recording, f"{where} [recording {n}]") for n, one in enumerate(recordings, 1)]


def formatted(recording: Recording) -> bytes:
    """Return a recording as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(recording))


def save(path: Path, recordings: Sequence[bytes]) -> None:
    """Write a cassette of `formatted` recordings; a reader finds it whole, or the one before.

    UsageError: the file cannot be written.
    """
    try:
        write_atomically(path, b'{"recordings": [\n' + b",\n".join(recordings) + b"\n]}\n")
    except OSError as error:
        raise UsageError(
            f"cannot write the cassette {path}: {error.strerror}. Name a file in a folder that exists."
        ) from None


def schema() -> dict[str, Any]:
    """Return the JSON schema of a cassette."""
    (recording,), parts = msgspec.json.schema_components([Recording], ref_template="#/$defs/{name}")
    return {
        "$schema": _DRAFT,
        "title": "Cassette of exchanges with providers",
        "type": "object",
        "properties": {"recordings": {"type": "array", "items": recording}},
        "required": ["recordings"],
        "additionalProperties": False,
        "$defs": parts,
    }
