"""Keys: where each provider looks for one, what it says to a wrong one, and which look like real ones.

Sources: the providers' API references on authentication and errors, and their answers as clients report them.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import parse_qs

from langchain_prodtest.errors import UsageError

__all__ = ["Keys", "Refusal", "real_owner"]

_BEARER = ("authorization",)
_PLACES = {
    "anthropic": ("x-api-key", "authorization"),
    "azure": ("api-key", "authorization"),
    "gemini": ("x-goog-api-key", "authorization"),
}
_SCOPE = re.compile(r"@[A-Za-z0-9_.-]{1,64}$")
_SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/, ]*)")
_DECLARED = re.compile(r"[!-?A-~]+")  # what a header can carry, without @, which begins a scope


class Refusal(NamedTuple):
    """How a provider refuses a key; without a `body` in the shape that it gives all errors of this status."""

    status: int
    message: str
    body: str | None = None
    headers: Mapping[str, str] = {}


_OPENAI = Refusal(
    401,
    "Incorrect API key provided: ****. "
    "You can find your API key at https://platform.openai.com/account/api-keys.",
)
_WRONG = {
    "anthropic": Refusal(401, "invalid x-api-key"),
    "azure": Refusal(
        401,
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid "
        "key for an active subscription and use a correct regional API endpoint for your resource.",
    ),
    "cohere": Refusal(401, "invalid api token"),
    "deepseek": Refusal(
        401,
        "",
        '{"error":{"message":"Authentication Fails, Your api key: **** is invalid",'
        '"type":"authentication_error","param":null,"code":"invalid_request_error"}}',
    ),
    "fireworks": Refusal(401, "The API key you provided is invalid."),
    "gemini": Refusal(
        400,
        "",
        '{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.",'
        '"status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo",'
        '"reason":"API_KEY_INVALID","domain":"googleapis.com",'
        '"metadata":{"service":"generativelanguage.googleapis.com"}}]}}',
    ),
    "groq": Refusal(401, "Invalid API Key"),
    "mistral": Refusal(401, "", '{"detail":"Unauthorized"}'),
    "nvidia": Refusal(403, "", '{"status":403,"title":"Forbidden","detail":"Authorization failed"}'),
    "ollama": Refusal(401, "unauthorized"),
    "openai": _OPENAI,
    "openrouter": Refusal(401, "User not found."),
    "perplexity": Refusal(401, "Invalid API key provided."),
    "together": Refusal(
        401,
        "Invalid API key provided. You can find your API key at https://api.together.xyz/settings/api-keys.",
    ),
    "xai": Refusal(
        400,
        "",
        '{"code":"Client specified an invalid argument",'
        '"error":"Incorrect API key provided: ****. You can obtain an API key from https://console.x.ai."}',
    ),
}
_BEDROCK = Refusal(403, "Authentication failed: Please make sure your API Key is valid.")
_BEDROCK_SIGNED = Refusal(
    403,
    "",
    '{"message":"The security token included in the request is invalid."}',
    {"x-amzn-errortype": "UnrecognizedClientException"},
)
_FORMS = {
    "Anthropic": r"sk-ant-[a-z]+\d\d-([\w-]{80,})",
    "OpenRouter": r"sk-or-v1-([0-9a-f]{64})",
    "OpenAI": r"sk-(?:proj|svcacct|admin|None)-([\w-]{40,})|sk-(\w{48})",
    "DeepSeek": r"sk-([0-9a-f]{32})",
    "Google": r"AIza([\w-]{35})",
    "AWS": r"A[KS]IA([A-Z2-7]{16})",
    "AWS Bedrock": r"ABSK([A-Za-z0-9+/=]{60,})|bedrock-api-key-([A-Za-z0-9+/=]{60,})",
    "Azure": r"(\w{52}JQQJ9\w{27})",
    "Fireworks": r"fw_(\w{22,})",
    "Groq": r"gsk_(\w{52})",
    "NVIDIA": r"nvapi-([\w-]{60,})",
    "Perplexity": r"pplx-(\w{48})",
    "Together": r"tgp_v1_([\w-]{40,})",
    "xAI": r"xai-(\w{80})",
}
_REAL = {owner: re.compile(form, re.ASCII) for owner, form in _FORMS.items()}
_ANY = re.compile("|".join(_FORMS.values()), re.ASCII)
_PRETENDED = re.compile(
    r"fake|test|example|dummy|sample|secret|placeholder|your|key|12345|abcde", re.IGNORECASE
)
_BITS = 3.0  # of chance in each character; random keys have 3.4 (16 characters) to 5.5


class Keys:
    """The keys that are accepted; without `declared` ones, any, and none.

    UsageError: a declared key that no client could send.
    """

    def __init__(self, declared: Collection[str] = ()) -> None:
        for key in declared:
            if not _DECLARED.fullmatch(key):
                raise UsageError("a key has at least one character, and neither spaces nor an @ in it")
        self._declared = frozenset(declared)

    def refusal(self, provider: str, credentials: Mapping[str, str], query: str) -> Refusal | None:
        """Return how `provider` refuses what came in these headers (names in lower case) and this query.

        An `@` and a scope behind a key do not count. Of an AWS signature only the access key is looked at.
        Ollama asks for no key, but refuses a wrong one.
        """
        if not self._declared:
            return None
        query = query if provider == "gemini" else ""
        shown = [_SCOPE.sub("", key) for key in _keys(_PLACES.get(provider, _BEARER), credentials, query)]
        if self._declared.intersection(shown) or (provider == "ollama" and not shown):
            return None
        if provider == "bedrock":
            is_bearer = credentials.get("authorization", "").lower().startswith("bearer ")
            return _BEDROCK if is_bearer else _BEDROCK_SIGNED
        return _WRONG.get(provider, _OPENAI)


def real_owner(credentials: Mapping[str, str], query: str) -> str:
    """Return whose real keys look like one that came in these headers or this query, "" if nobody's do."""
    keys = (_SCOPE.sub("", key) for key in _keys(credentials, credentials, query))
    return next((owner for key in keys if _ANY.fullmatch(key) for owner in _owners(key)), "")


def _owners(key: str) -> Iterator[str]:
    for owner, form in _REAL.items():
        found = form.fullmatch(key)
        chance = next(filter(None, found.groups())) if found else ""
        if _bits(chance) >= _BITS and not _PRETENDED.search(chance):
            yield owner


def _keys(headers: Iterable[str], credentials: Mapping[str, str], query: str) -> Iterator[str]:
    for name in headers:
        if value := credentials.get(name):
            signed = _SIGNED.match(value)
            yield signed[1] if signed else value.rpartition(" ")[2]
    if query:
        yield from parse_qs(query).get("key", ())  # as Google's API takes it


def _bits(text: str) -> float:
    """Return the entropy of a character of `text`, by how often each comes."""
    shares = [count / len(text) for count in Counter(text).values()]
    return -math.fsum(share * math.log2(share) for share in shares)
