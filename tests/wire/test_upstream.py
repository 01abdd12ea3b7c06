"""Upstreams: which provider a URL is, who may be asked, and what is asked."""

import pytest

from langchain_prodtest.errors import UsageError
from langchain_prodtest.wire.arrival import Arrival
from langchain_prodtest.wire.providers import PROVIDERS
from langchain_prodtest.wire.upstream import upstreams

ALLOWED = ["api.openai.com", "bedrock-runtime.eu-central-1.amazonaws.com", "gateway.example", "api.groq.com"]


@pytest.mark.parametrize(
    ("url", "name", "path", "port"),
    [
        ("https://api.openai.com", "openai", "", 443),
        ("https://api.openai.com/v1/", "openai", "", 443),
        ("https://bedrock-runtime.eu-central-1.amazonaws.com", "bedrock", "", 443),
        ("http://127.0.0.1:8099/openai", "openai", "/openai", 8099),
        ("http://[::1]:8099/openai/v1", "openai", "/openai", 8099),
        ("http://localhost/anthropic", "anthropic", "/anthropic", 80),
        ("groq=https://gateway.example:444/llm", "groq", "/llm", 444),
        ("mistral=http://127.0.0.1:9/openai", "mistral", "/openai", 9),
    ],
)
def test_a_provider_is_known_by_its_host_its_path_or_its_name(
    url: str, name: str, path: str, port: int
) -> None:
    [(found, upstream)] = upstreams([url], ALLOWED, PROVIDERS).items()
    assert (found, upstream.path, upstream.port) == (name, path, port)
    assert (upstream.tls is not None) == ("https" in url)


@pytest.mark.parametrize(
    ("urls", "says"),
    [
        (["https://api.anthropic.com"], '"api.anthropic.com" is not on the allow-list, nothing was sent'),
        (["openai=https://api.anthropic.com"], "is not on the allow-list"),
        (["https://api.openai.com.evil.example"], "is not on the allow-list"),
        (["https://api.openai.com@evil.example"], "is not on the allow-list"),
        (["http://10.0.0.1/openai"], "is not on the allow-list"),
        (["ftp://127.0.0.1/openai"], "is not an http or https URL"),
        (["https://gateway.example/v1"], "which provider is at https://gateway.example/v1? Write"),
        (["http://127.0.0.1/openai", "https://api.openai.com"], "openai has two upstreams"),
    ],
)  # fmt: skip
def test_who_may_not_be_asked_or_is_nobody_is_refused(urls: list[str], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        upstreams(urls, ALLOWED, PROVIDERS)
    assert says in str(caught.value)


def test_what_is_asked_is_what_the_client_asked() -> None:
    """But for the host, the length and what is about the connection; and nothing is to be compressed."""
    upstream = upstreams(["groq=https://gateway.example:444/llm"], ALLOWED, PROVIDERS)["groq"]
    headers = [
        (b"Host", b"127.0.0.1"), (b"X-Api-Key", b"any"), (b"Connection", b"keep-alive"), (b"TE", b"trailers"),
        (b"Accept-Encoding", b"gzip"), (b"Transfer-Encoding", b"chunked"), (b"Expect", b"100-continue"),
    ]  # fmt: skip
    sent = upstream.request(Arrival("POST", "", headers, b"{}", 0.0), "/openai/v1/x?a=b")
    assert sent == (
        b"POST /llm/openai/v1/x?a=b HTTP/1.1\r\nhost: gateway.example:444\r\nX-Api-Key: any\r\n"
        b"accept-encoding: identity\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"
    )
    assert upstream.request(Arrival("GET", "", [], b"", 0.0), "/v1/models").endswith(
        b"connection: close\r\n\r\n"
    )
