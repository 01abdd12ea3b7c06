"""Keep credentials out of what is written down: in headers, URLs, JSON, and bodies that came in pieces.

A credential is the value of a header or field that has such a name, what has the form of a known kind of
key, and what the client itself sent as its key, wherever that shows up again.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

__all__ = ["CREDENTIALS", "MARK", "Redaction", "keys_in"]

MARK = "[redacted]"
CREDENTIALS = frozenset(
    {
        *("authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key"),
        *("cookie", "set-cookie", "x-amz-security-token", "x-auth-token"),
    }
)
"""Names of headers that carry credentials, in lower case."""

_ACCOUNT = frozenset({"openai-organization", "openai-project", "anthropic-organization-id"})
_FIELD = (
    r"(?:[\w-]{1,40}[-_])?(?:api|secret(?:[-_]?access)?)[-_]?key|authorization(?:[-_]token)?"
    r"|(?:access|refresh|auth|session)[-_]?token|client[-_]?secret|secret|password|private[-_]?key"
)
_FORMS = (
    r"sk-[\w-]{16,}",  # OpenAI, Anthropic, OpenRouter, DeepSeek
    r"AIza[\w-]{30,}",  # Google
    r"ya29\.[\w-]{20,}",
    r"A[KS]IA[A-Z0-9]{16}",  # AWS
    r"(?:ABSK|bedrock-api-key-)[A-Za-z0-9+/=]{20,}",
    r"(?:gsk|fw|hf|r8|[rs]k_live)_[A-Za-z0-9]{16,}",  # Groq, Fireworks, Hugging Face, Replicate, Stripe
    r"(?:xai|pplx|nvapi|glpat)-[\w-]{16,}",
    r"(?:tgp_v1|lsv2_pt|lsv2_sk|github_pat)_[\w-]{16,}",
    r"gh[oprsu]_[A-Za-z0-9]{30,}",
    r"xox[abeprs]-[\w-]{16,}",  # Slack
    r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+",  # a JSON web token
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----",
)
_BEGINS = r"(?:(?<![A-Za-z0-9])|(?<=\\[bfnrt])|(?<=\\u[0-9A-Fa-f]{4}))"  # also after an escape of JSON
_NAMED = (  # of these, the group is the credential
    r"(?i:bearer)\s+([\w.~+/=-]{16,})",
    rf'"(?i:{_FIELD})\\*"\s*:\s*\\*"([^"\\]+)',
    rf"[?&](?i:{_FIELD}|key|token|sig|signature|x-amz-(?:signature|credential|security-token))=([^&\s\"'<>\\]+)",
)
_NAME = re.compile(_FIELD, re.IGNORECASE)
_KNOWN = 16  # a shorter key is a word such as "any", which may stand anywhere and opens nothing


class Redaction:
    """Puts MARK in the place of credentials; `known` are those that the client sent."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        own = [re.escape(key) for key in known if len(key) >= _KNOWN]
        self._pattern = re.compile("|".join([*own, *_NAMED, rf"{_BEGINS}(?:{'|'.join(_FORMS)})"]), re.ASCII)

    def text(self, text: str) -> str:
        """Return text, or a URL, without credentials."""
        return self._cut(text, 0, len(text), self._spans(text))

    def json(self, value: Any) -> Any:
        """Return a JSON value without credentials; its keys stay as they are."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.json(part) for part in value]
        if isinstance(value, dict):
            return {
                name: MARK if isinstance(part, str) and _NAME.fullmatch(name) else self.json(part)
                for name, part in value.items()
            }
        return value

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return headers, whose names are in lower case, without credentials and names of accounts."""
        secret = CREDENTIALS | _ACCOUNT
        return {name: MARK if name in secret else self.text(value) for name, value in headers.items()}

    def parts(self, parts: Sequence[bytes]) -> list[bytes]:
        """Return the pieces of a body without credentials, also of one that several pieces share."""
        whole = b"".join(parts).decode("latin-1")
        spans = self._spans(whole)
        ends = [*accumulate(map(len, parts), initial=0)]
        return [self._cut(whole, *place, spans).encode("latin-1") for place in pairwise(ends)]

    def _spans(self, text: str) -> list[tuple[int, int]]:
        return [found.span(found.lastindex or 0) for found in self._pattern.finditer(text)]

    def _cut(self, text: str, begin: int, end: int, spans: list[tuple[int, int]]) -> str:
        """Return `text[begin:end]`; MARK stands where a span begins, nothing where it goes on."""
        kept, at = [], begin
        for first, last in spans:
            if first < end and last > begin:
                kept += [text[at:first], MARK if first >= begin else ""]
                at = min(last, end)
        return "".join([*kept, text[at:end]])


def keys_in(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[str]:
    """Yield the keys that a client sends in its headers."""
    for name, value in headers:
        if name.lower().decode("latin-1") in CREDENTIALS:
            yield value.decode("latin-1").rpartition(" ")[2]
