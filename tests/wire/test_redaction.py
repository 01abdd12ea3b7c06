"""Credentials are cut out of texts, URLs, JSON, headers and bodies in pieces; what is none stays."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langchain_prodtest.wire.redaction import MARK, Redaction, keys_in

PLAIN = Redaction()
WEB_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
KEYS = [
    "sk-proj-abcdefghij0123456789_-ABCDEF",
    "sk-ant-api03-abcdefghij0123456789",
    "sk-or-v1-0123456789abcdef0123456789abcdef",
    "AIzaSyA-1234567890abcdefghijklmnopqrstu",
    "ya29.a0AfB_byC-1234567890abcdef",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "ABSKQmVkcm9ja0FQSUtleS1hYmNkZWZnaGk=",
    "gsk_abcdefghij0123456789ABCDEF",
    "fw_abcdefghij0123456789",
    "hf_abcdefghij0123456789",
    "xai-abcdefghij0123456789ABCDEF",
    "pplx-abcdefghij0123456789ABCDEF",
    "nvapi-abcdefghij_0123456789-ABCDEF",
    "tgp_v1_abcdefghij0123456789",
    "lsv2_pt_0123456789abcdef0123456789abcdef_0123456789",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "github_pat_11ABCDEFG0123456789_abcdefghij",
    "glpat-abcdefghij0123456789",
    "xoxb-0123456789-abcdefghij",
    WEB_TOKEN,
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\n-----END RSA PRIVATE KEY-----",
]
PLACES = [
    "{}",
    "My key is {}, thanks.",
    '{{"a": "{}"}}',
    "https://x.example/a?b={}&c",
    "\\u00e9{}",
    "\\n{}\\n",
    "é{}é",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:8])
def test_what_has_the_form_of_a_key_is_cut_out(key: str, place: str) -> None:
    """Alone, in text, in JSON, in a URL; what is around it stays."""
    assert PLAIN.text(place.replace("{}", key)) == place.replace("{}", MARK)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abcdefgh12345678", f"Authorization: Bearer {MARK}"),
        ('{"authorization": "bearer abcdefgh12345678"}', f'{{"authorization": "{MARK}"}}'),
        ('{"aws_secret_access_key": "short"}', f'{{"aws_secret_access_key": "{MARK}"}}'),
        ('{"OPENAI_API_KEY": "short"}', f'{{"OPENAI_API_KEY": "{MARK}"}}'),
        ('{"api_key":"short"}', f'{{"api_key":"{MARK}"}}'),
        ('{\\"api_key\\": \\"short\\"}', f'{{\\"api_key\\": \\"{MARK}\\"}}'),
        ("/v1/models?key=any&alt=sse", f"/v1/models?key={MARK}&alt=sse"),
        ("/x?a=1&X-Amz-Signature=0a1b&api-key=2", f"/x?a=1&X-Amz-Signature={MARK}&api-key={MARK}"),
    ],
)
def test_what_is_named_as_a_credential_is_cut_out(text: str, expected: str) -> None:
    assert PLAIN.text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "The bearer of bad news: sk-short, a key=value, task-sk and a risk-assessment-of-the-project.",
        '{"max_tokens": 5, "key": "value", "token": "hello", "top_secret": "no"}',
        "AKIA, AIza, sk- and gsk_ are how keys begin.",
        "data: " + "x" * 500,
    ],
)
def test_what_is_no_credential_stays(text: str) -> None:
    assert PLAIN.text(text) == text


def test_json_is_cleaned_by_names_and_in_texts_and_its_names_stay() -> None:
    key = KEYS[0]
    value = {
        "tools": [{"type": "mcp", "authorization": "any", "headers": {"X-Api-Key": "any"}}],
        "schema": {"password": {"type": "string"}, "api_key": None, "client_secret": 1},
        "text": f"{key} {key}",
        "n": [1, 1.5, True, None],
    }
    assert PLAIN.json(value) == {
        "tools": [{"type": "mcp", "authorization": MARK, "headers": {"X-Api-Key": MARK}}],
        "schema": {"password": {"type": "string"}, "api_key": None, "client_secret": 1},
        "text": f"{MARK} {MARK}",
        "n": [1, 1.5, True, None],
    }


def test_headers_lose_credentials_and_names_of_accounts() -> None:
    headers = {
        "set-cookie": "a=b",
        "x-api-key": "any",
        "openai-organization": "acme",
        "x-request-id": "req_1",
        "link": f"<https://x.example?key={KEYS[3]}>",
    }
    assert PLAIN.headers(headers) == {
        "set-cookie": MARK,
        "x-api-key": MARK,
        "openai-organization": MARK,
        "x-request-id": "req_1",
        "link": f"<https://x.example?key={MARK}>",
    }


def test_the_key_that_the_client_sent_is_cut_out_wherever_it_shows_up() -> None:
    """Whatever its form; a short one is a word, and stays."""
    sent = [
        (b"Authorization", b"Bearer my.own(gateway)key+0123"),
        (b"X-API-Key", b"any"),
        (b"accept", b"text"),
    ]
    assert [*keys_in(sent)] == ["my.own(gateway)key+0123", "any"]
    assert Redaction(keys_in(sent)).text("any my.own(gateway)key+0123 text") == f"any {MARK} text"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 60), max_size=4), st.sampled_from(KEYS))
def test_pieces_are_cleaned_wherever_they_were_cut(cuts: list[int], key: str) -> None:
    """As many pieces; joined they are what the whole would be."""
    whole = f"data: {key} é\n\n".encode() + b"\xff"
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[begin:end] for begin, end in pairwise(places)]
    cleaned = PLAIN.parts(pieces)
    assert len(cleaned) == len(pieces)
    assert b"".join(cleaned) == f"data: {MARK} é\n\n".encode() + b"\xff"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9) | st.sampled_from(KEYS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "api_key", "b"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(JSON)
def test_what_was_cleaned_is_clean(value: object) -> None:
    """So a request has the same meaning as its recording, whichever of both was cleaned."""
    cleaned = PLAIN.json(value)
    assert PLAIN.json(cleaned) == cleaned
    text = msgspec.json.encode(value).decode()
    assert PLAIN.text(PLAIN.text(text)) == PLAIN.text(text)
