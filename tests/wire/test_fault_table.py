"""What the real clients of the providers make of each damaged answer: one row a fault, one column a client.

`ok`: the whole right answer, with finish reason and usage. `SILENT`: presented as complete, and the end is
missing. `WRONG`: presented as complete, and it is another text. `EMPTY`: presented as complete, without text.
`no finish`, `no usage`: the right text, and that is missing. Else the exception and its package. `-`: the
provider's stream has no event of its own for what is to be missing. No client tries any of them again.
"""

from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any, NamedTuple

import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from langchain_anthropic import ChatAnthropic
from langchain_aws import ChatBedrock, ChatBedrockConverse
from langchain_groq import ChatGroq
from langchain_mistralai import ChatMistralAI
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from langchain_perplexity import ChatPerplexity
from pydantic import SecretStr

from langchain_prodtest.script import Fault, Script, answer_for, new_nonce
from langchain_prodtest.steps import Framing
from langchain_prodtest.wire import FakeServer

QUESTION = f"Say it. {new_nonce(7)}"
ANSWER = answer_for(new_nonce(7))
KEY = SecretStr("fake")
CLAUDE = "us.anthropic.claude-sonnet-4-20250514-v1:0"
PATIENCE = 60.0  # seconds; a fault that stalls gets SHORT
SHORT = 0.4
FINISH = ("finish_reason", "stop_reason", "done_reason", "stopReason", "status")


class Client(NamedTuple):
    """The provider that it is for, its package, and what builds it from a base URL and a time-out."""

    provider: str
    package: str
    build: Callable[[str, float], Any]


def _bedrock(kind: Callable[..., Any]) -> Callable[[str, float], Any]:
    def build(url: str, timeout: float) -> Any:
        return kind(
            model=CLAUDE,
            region_name="us-east-1",
            endpoint_url=url,
            aws_access_key_id=KEY,
            aws_secret_access_key=KEY,
            config=Config(read_timeout=timeout, retries={"total_max_attempts": 3, "mode": "standard"}),
        )

    return build


def _perplexity(url: str, timeout: float) -> Any:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PERPLEXITY_BASE_URL", url)
        client: Callable[..., Any] = ChatPerplexity
        return client(model="sonar", api_key=KEY, timeout=timeout)


def _mistral(url: str, timeout: float) -> Any:
    client: Callable[..., Any] = ChatMistralAI
    return client(model="mistral-small", api_key=KEY, base_url=url, timeout=max(1, int(timeout)))


CLIENTS = {
    "openai": Client(
        "openai",
        "langchain-openai",
        lambda url, timeout: ChatOpenAI(
            model="gpt-4o", api_key=KEY, base_url=url, stream_usage=True, timeout=timeout
        ),
    ),
    "responses": Client(
        "openai",
        "langchain-openai",
        lambda url, timeout: ChatOpenAI(
            model="gpt-5", api_key=KEY, base_url=url, use_responses_api=True, timeout=timeout
        ),
    ),
    "anthropic": Client(
        "anthropic",
        "langchain-anthropic",
        lambda url, timeout: ChatAnthropic(
            model_name="claude-prodtest  # the client warns of what it knows about real ones",
            api_key=KEY,
            base_url=url,
            timeout=timeout,
            stop=None,
        ),
    ),
    "ollama": Client(
        "ollama",
        "langchain-ollama",
        lambda url, timeout: ChatOllama(model="llama3.1", base_url=url, client_kwargs={"timeout": timeout}),
    ),
    "converse": Client("bedrock", "langchain-aws", _bedrock(ChatBedrockConverse)),
    "invoke": Client("bedrock", "langchain-aws", _bedrock(ChatBedrock)),
    "groq": Client(
        "groq",
        "langchain-groq",
        lambda url, timeout: ChatGroq(model="llama-3.3-70b", api_key=KEY, base_url=url, timeout=timeout),
    ),
    "mistral": Client("mistral", "langchain-mistralai", _mistral),
    "perplexity": Client("perplexity", "langchain-perplexity", _perplexity),
}

FAULTS = {
    "cut by FIN": Fault(how="eof", after=8),
    "cut by RST": Fault(how="reset", after=8),
    "cut, too long a length": Fault(how="eof", after=8, framing="length"),
    "clean end": Fault(how="clean_end", after=8),
    "clean end, by length": Fault(how="clean_end", after=8, framing="length"),
    "cut, ended by close": Fault(how="eof", after=8, framing="close"),
    "no terminal marker": Fault(how="missing", what="terminal"),
    "no finish reason": Fault(how="missing", what="finish"),
    "no usage": Fault(how="missing", what="usage"),
    "error event": Fault(how="error_event", after=8),
    "garbage": Fault(how="garbage", after=8),
    "event twice": Fault(how="duplicate", after=8),
    "events swapped": Fault(how="reorder", after=8),
    "stall": Fault(how="stall", after=8),
    "html": Fault(how="html"),
    "{}": Fault(how="empty"),
    "error with 200": Fault(how="error_body"),
}
STREAMED: dict[str, str] = {
    "cut by FIN": (
        "langchain_openai.OpenAIConnectionError | "
        "langchain_openai.OpenAIConnectionError | httpx2.RemoteProtocolError | "
        "httpx.RemoteProtocolError | urllib3.ProtocolError | urllib3.ProtocolError | "
        "httpx.RemoteProtocolError | httpx.RemoteProtocolError | httpx.RemoteProtocolError"
    ),
    "cut by RST": (
        "langchain_openai.OpenAIConnectionError | "
        "langchain_openai.OpenAIConnectionError | httpx2.ReadError | "
        "httpx.ReadError | urllib3.ProtocolError | urllib3.ProtocolError | "
        "httpx.ReadError | httpx.ReadError | httpx.ReadError"
    ),
    "cut, too long a length": (
        "langchain_openai.OpenAIConnectionError | "
        "langchain_openai.OpenAIConnectionError | httpx2.RemoteProtocolError | "
        "httpx.RemoteProtocolError | ConnectionError | SILENT | "
        "httpx.RemoteProtocolError | httpx.RemoteProtocolError | httpx.RemoteProtocolError"
    ),
    "clean end": ("SILENT | SILENT | SILENT | SILENT | ConnectionError | SILENT | SILENT | SILENT | SILENT"),
    "clean end, by length": (
        "SILENT | SILENT | SILENT | SILENT | ConnectionError | SILENT | SILENT | SILENT | SILENT"
    ),
    "cut, ended by close": (
        "SILENT | SILENT | SILENT | SILENT | ConnectionError | SILENT | SILENT | SILENT | SILENT"
    ),
    "no terminal marker": (
        "ok | no finish, usage | ok | no finish, usage | ConnectionError | no usage | ok | ok | ok"
    ),
    "no finish reason": (
        "no finish | no finish | no finish | "
        "no finish | no finish | no finish | "
        "no finish | no finish | no finish"
    ),
    "no usage": (
        "no usage | no usage | no usage | no usage | no usage | no usage | no usage | no usage | no usage"
    ),
    "error event": (
        "openai.APIError | ValueError | anthropic.APIStatusError | "
        "ollama.ResponseError | botocore.EventStreamError | botocore.EventStreamError | "
        "groq.APIError | SILENT | SILENT"
    ),
    "garbage": (
        "json.JSONDecodeError | json.JSONDecodeError | json.JSONDecodeError | "
        "json.JSONDecodeError | botocore.ChecksumMismatch | botocore.ChecksumMismatch | "
        "json.JSONDecodeError | json.JSONDecodeError | json.JSONDecodeError"
    ),
    "event twice": ("WRONG | WRONG | WRONG | WRONG | WRONG | WRONG | WRONG | WRONG | WRONG"),
    "events swapped": ("WRONG | WRONG | WRONG | WRONG | WRONG | WRONG | WRONG | WRONG | WRONG"),
    "stall": (
        "langchain_openai.OpenAITimeoutError | langchain_openai.OpenAITimeoutError | httpx2.ReadTimeout | "
        "httpx.ReadTimeout | urllib3.ReadTimeoutError | urllib3.ReadTimeoutError | "
        "httpx.ReadTimeout | httpx.ReadTimeout | httpx.ReadTimeout"
    ),
    "html": (
        "ValueError | ValueError | ValueError | "
        "json.JSONDecodeError | botocore.ChecksumMismatch | botocore.ChecksumMismatch | "
        "ValueError | httpx_sse.SSEError | ValueError"
    ),
    "{}": (
        "ValueError | ValueError | ValueError | "
        "pydantic_core.ValidationError | ConnectionError | ValueError | "
        "ValueError | httpx_sse.SSEError | ValueError"
    ),
    "error with 200": (
        "ValueError | ValueError | ValueError | "
        "ollama.ResponseError | botocore.ChecksumMismatch | botocore.ChecksumMismatch | "
        "ValueError | httpx_sse.SSEError | ValueError"
    ),
}
WHOLE: dict[str, str] = {
    "html": (
        "ValueError | AttributeError | AttributeError | "
        "json.JSONDecodeError | ValueError | json.JSONDecodeError | "
        "AttributeError | json.JSONDecodeError | AttributeError"
    ),
    "{}": (
        "TypeError | TypeError | TypeError | "
        "pydantic_core.ValidationError | ValueError | EMPTY | "
        "TypeError | KeyError | TypeError"
    ),
    "error with 200": (
        "ValueError | ValueError | TypeError | "
        "ollama.ResponseError | ValueError | EMPTY | "
        "TypeError | KeyError | TypeError"
    ),
    "garbage": (
        "json.JSONDecodeError | json.JSONDecodeError | json.JSONDecodeError | "
        "json.JSONDecodeError | ValueError | json.JSONDecodeError | "
        "json.JSONDecodeError | json.JSONDecodeError | json.JSONDecodeError"
    ),
}


class Bench(NamedTuple):
    """One server of all providers, and the clients built so far."""

    script: Script
    server: FakeServer
    built: dict[tuple[str, float], Any]

    def model(self, name: str, timeout: float) -> Any:
        """Return the client, built once: its faults leave nothing behind in it."""
        client = CLIENTS[name]
        if (name, timeout) not in self.built:
            self.built[name, timeout] = client.build(self.server.url(client.provider), timeout)
        return self.built[name, timeout]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    script = Script()
    with FakeServer(script, {client.provider: client.provider for client in CLIENTS.values()}) as server:
        yield Bench(script, server, {})


def outcome(ask: Callable[[], Any]) -> str:
    """Return in a word what a user gets."""
    try:
        message = ask()
    except Exception as error:
        return f"{type(error).__module__.split('.')[0]}.{type(error).__name__}".removeprefix("builtins.")
    if message.text != ANSWER:
        return "EMPTY" if not message.text else "SILENT" if ANSWER.startswith(message.text) else "WRONG"
    usage = message.usage_metadata or {}
    lacks = [] if any(message.response_metadata.get(key) for key in FINISH) else ["finish"]
    lacks += [] if usage.get("input_tokens") and usage.get("output_tokens") else ["usage"]
    return f"no {', '.join(lacks)}" if lacks else "ok"


def streamed(model: Any) -> Any:
    first, *others = list(model.stream(QUESTION))
    for chunk in others:
        first += chunk
    return first


def rows(table: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return (fault, client, outcome) for each cell."""
    return [
        (fault, client, cell.strip())
        for fault, row in table.items()
        for client, cell in zip(CLIENTS, row.split("|"), strict=True)
    ]


def check(bench: Bench, fault: str, client: str, expected: str, ask: Callable[[Any], Any]) -> None:
    bench.script.reset()
    model = bench.model(client, SHORT if fault == "stall" else PATIENCE)
    with bench.script.always(FAULTS[fault]):
        got = outcome(lambda: ask(model))
    package = CLIENTS[client].package
    changed = f"{client} ({package} {version(package)}) on {fault}: was {expected}, and is now {got}"
    assert got == expected, changed
    calls = bench.script.wait_for(1)
    assert [call.unexpected for call in calls] == [False], f"{changed}; attempts {len(calls)}"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_healthy_answer_is_whole(bench: Bench, client: str) -> None:
    bench.script.reset()
    assert outcome(lambda: streamed(bench.model(client, PATIENCE))) == "ok"


@pytest.mark.parametrize(("fault", "client", "expected"), rows(STREAMED))
def test_a_damaged_stream(bench: Bench, fault: str, client: str, expected: str) -> None:
    check(bench, fault, client, expected, streamed)


@pytest.mark.parametrize(("fault", "client", "expected"), rows(WHOLE))
def test_a_damaged_answer(bench: Bench, fault: str, client: str, expected: str) -> None:
    check(bench, fault, client, expected, lambda model: model.invoke(QUESTION))


@pytest.mark.parametrize(
    ("framing", "expected", "attempts"),
    [
        ("length", "langchain_openai.OpenAIConnectionError", 3),
        ("chunked", "langchain_openai.OpenAIConnectionError", 3),
        ("close", "json.JSONDecodeError", 1),
    ],
)
def test_whether_a_cut_body_is_tried_again_depends_on_its_framing(
    bench: Bench, framing: Framing, expected: str, attempts: int
) -> None:
    bench.script.reset()
    with bench.script.always(Fault(how="eof", after_bytes=99, framing=framing)):
        assert outcome(lambda: bench.model("openai", PATIENCE).invoke(QUESTION)) == expected
    assert len(bench.script.wait_for(attempts)) == attempts
