"""Whose host is whose, and what becomes of a request that names one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_prodtest.wire.arrival import Arrival
from langchain_prodtest.wire.front import HOSTS, Front, host_of, inside
from langchain_prodtest.wire.providers import PROVIDERS
from langchain_prodtest.wire.tls import Authority

MOUNTS = {"first": "openai", "second": "openai", "bedrock": "bedrock", "azure": "azure"}


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    authority = Authority()
    yield Front(MOUNTS, authority)
    authority.close()


def arrival(method: str, target: str) -> Arrival:
    return Arrival(method, target, [(b"Host", b"as-it-was"), (b"x", b"y")], b"", 1.0)


@pytest.mark.parametrize(
    ("host", "mount"),
    [
        ("api.openai.com", "first"),
        ("API.OpenAI.com.", "first"),
        ("bedrock-runtime.eu-central-1.amazonaws.com", "bedrock"),
        ("acme.openai.azure.com", "azure"),
        ("api.anthropic.com", None),  # known, but not mounted
        ("api.openai.com.evil.example", None),
        ("evil-api.openai.com", None),
        ("openai.azure.com", None),
        ("s3.us-east-1.amazonaws.com", None),
        ("*", None),
        ("", None),
    ],
)
def test_a_host_belongs_to_the_first_mount_of_its_provider_or_to_nobody(
    front: Front, host: str, mount: str | None
) -> None:
    assert front.mount(host) == mount


def test_a_plain_request_to_a_provider_s_host_becomes_one_to_its_mount(front: Front) -> None:
    led = front.direct(arrival("POST", "http://api.openai.com:80/v1/chat?x=1"))
    assert (led.target, led.rejected) == ("/first/v1/chat?x=1", None)
    assert front.direct(arrival("GET", "http://api.openai.com")).target == "/first/"


def test_a_request_to_a_mount_stays_as_it_is(front: Front) -> None:
    for target in ("/first/v1/models", "/first/v1/models?from=http://api.openai.com/"):
        assert front.direct(arrival("GET", target)) == arrival("GET", target)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "http://api.smith.langchain.com?http://api.openai.com/"),
        ("GET", "api.smith.langchain.com/info"),
        ("CONNECT", "api.smith.langchain.com:443"),
        ("GET", "http://api.openai.com@api.smith.langchain.com/"),
    ],
)
def test_a_request_to_nobody_s_host_is_rejected_and_says_which(
    front: Front, method: str, target: str
) -> None:
    led = front.direct(arrival(method, target))
    assert led.rejected is not None
    assert led.rejected.status == 403
    assert '"api.smith.langchain.com"' in str(led.rejected)
    assert "api.openai.com" in str(led.rejected)
    assert [value for name, value in led.headers if name.lower() == b"host"] == [b"api.smith.langchain.com"]


@given(st.text(st.characters(codec="latin-1"), max_size=60))
def test_no_target_raises(target: str) -> None:
    authority_free = Front.__new__(Front)
    authority_free._mounts = {"api.openai.com": "openai"}
    led = authority_free.direct(arrival("CONNECT", target))
    assert led.rejected is not None
    assert inside(led, "m").target.startswith("/m/")
    assert isinstance(host_of(f"http://{target}"), str)


def test_inside_a_tunnel_both_forms_of_a_target_lead_to_the_mount() -> None:
    for target in ("/v1/x?y", "https://api.openai.com/v1/x?y"):
        assert inside(arrival("GET", target), "openai").target == "/openai/v1/x?y"


def test_no_two_patterns_claim_the_same_host() -> None:
    samples = [host.replace("*", "eu-west-1") for host in HOSTS]
    every = Front.__new__(Front)
    every._mounts = {host: host for host in HOSTS}
    assert [every.mount(sample) for sample in samples] == list(HOSTS)


def test_every_provider_has_a_host_but_ollama() -> None:
    assert set(HOSTS.values()) == set(PROVIDERS) - {"ollama"}


def test_the_environment_names_the_proxy_and_a_bundle_that_goes_away() -> None:
    authority = Authority()
    variables = Front(MOUNTS, authority).environment("127.0.0.1:1")
    bundle = Path(variables["SSL_CERT_FILE"])
    assert variables["HTTPS_PROXY"] == variables["http_proxy"] == "http://127.0.0.1:1"
    assert "127.0.0.1" in variables["no_proxy"]
    assert bundle.read_text().count("BEGIN CERTIFICATE") == 1
    assert "PRIVATE KEY" not in bundle.read_text()
    assert bundle.parent.stat().st_mode & 0o077 == 0
    authority.close()
    assert not bundle.exists()
