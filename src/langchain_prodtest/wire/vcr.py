"""Read cassettes that vcrpy wrote, also those of LangChain's packages, which hide most URLs and headers."""

import gzip
import re
from typing import Any
from urllib.parse import urlsplit

import msgspec

from langchain_prodtest.errors import UsageError
from langchain_prodtest.steps import Framing
from langchain_prodtest.wire.cassette import Answered, Asked, Recording, Status, json_of
from langchain_prodtest.wire.front import provider_of
from langchain_prodtest.wire.redaction import Redaction
from langchain_prodtest.wire.transcript import Unrecordable, answered

__all__ = ["decode_vcr"]

_HIDDEN = "REDACTED"
_EVENT = re.compile(rb"(?<=\n\n)(?!$)")
_KINDS = (
    (re.compile(rb"\s*(event|data|id|retry|):"), "text/event-stream"),
    (re.compile(rb"\s*[{\[]"), "application/json"),
)
"""What a body is by its beginning, where the header that says so is hidden."""


class _Status(msgspec.Struct, frozen=True):
    code: Status


class _Body(msgspec.Struct, frozen=True):
    string: Any = b""


class _Response(msgspec.Struct, frozen=True):
    status: _Status
    headers: dict[str, list[str] | str] = {}
    body: _Body = _Body()


class _Request(msgspec.Struct, frozen=True):
    method: str
    uri: str
    body: Any = None


class _Interaction(msgspec.Struct, frozen=True):
    request: _Request
    response: _Response


def decode_vcr(text: str, where: str) -> list[Recording]:
    """Return the exchanges in YAML of vcrpy: `interactions`, or lists of `requests` and `responses`.

    Nobody wrote down times, so all of an answer comes at once. A URL that is hidden fits any.
    UsageError: what is no such cassette, and where.
    """
    import yaml  # comes with langchain-core

    try:
        table = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except yaml.YAMLError as error:
        raise UsageError(f"{where}: {' '.join(str(error).split())}") from None
    pairs = _pairs(table)
    if pairs is None:
        raise UsageError(
            f"{where} is no cassette: a JSON object with recordings, or what vcrpy writes "
            "(interactions, or requests and as many responses)"
        )
    recordings = []
    for number, (asked, answer) in enumerate(pairs, start=1):
        place = f"{where} [interaction {number}]"
        try:
            found = msgspec.convert({"request": asked, "response": answer}, _Interaction)
            recordings.append(Recording(request=_asked(found.request), response=_answered(found.response)))
        except (msgspec.ValidationError, Unrecordable, ValueError, OSError, EOFError) as error:
            raise UsageError(f"{place}: {error}") from None
    return recordings


def _pairs(table: Any) -> list[tuple[Any, Any]] | None:
    match table:
        case {"interactions": list() as both}:
            return [
                (one.get("request"), one.get("response")) if isinstance(one, dict) else (one, None)
                for one in both
            ]
        case {"requests": list() as asked, "responses": list() as answers} if len(asked) == len(answers):
            return list(zip(asked, answers, strict=True))
    return None


def _part(interaction: Any, name: str) -> Any:
    return interaction.get(name) if isinstance(interaction, dict) else interaction


def _asked(request: _Request) -> Asked:
    provider = path = ""
    if _HIDDEN not in request.uri:
        parts = urlsplit(request.uri)
        provider = provider_of(parts.hostname or "")
        path = parts.path + (f"?{parts.query}" if parts.query else "")
    return Asked(provider=provider, method=request.method, path=path, body=json_of(_bytes(request.body)))


def _answered(response: _Response) -> Answered:
    headers = {
        name.lower(): value if isinstance(value, str) else ", ".join(value)
        for name, value in response.headers.items()
        if _HIDDEN not in str(value)
    }
    body = _bytes(response.body.string)
    if body.startswith(b"\x1f\x8b"):
        body = gzip.decompress(body)
    headers.pop("content-encoding", None)  # vcrpy may have unpacked the body, and not said so
    kind = next((kind for begins, kind in _KINDS if begins.match(body)), "")
    if kind and "content-type" not in headers:
        headers["content-type"] = kind
    streamed = "event-stream" in headers.get("content-type", "")
    parts = [(0.0, part) for part in (_EVENT.split(body) if streamed else [body]) if part]
    framing: Framing = "chunked" if streamed else "length"
    return answered(response.status.code, headers, parts, Redaction(), framing=framing)


def _bytes(body: Any) -> bytes:
    if not isinstance(body, str | bytes | None):
        raise ValueError(f"a body is text or binary, not {type(body).__name__}")
    return body.encode() if isinstance(body, str) else body or b""
