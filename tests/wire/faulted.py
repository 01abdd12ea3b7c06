"""The real clients of the providers, the faults that they are put to, and in a word what their users get."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from langchain_anthropic import ChatAnthropic
from langchain_aws import ChatBedrock, ChatBedrockConverse
from langchain_cohere import ChatCohere
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_mistralai import ChatMistralAI
from langchain_ollama import ChatOllama
from langchain_perplexity import ChatPerplexity
from pydantic import SecretStr

from langchain_prodtest.script import Fault, Reply, Request, Script, ToolCall, answer_for, new_nonce
from langchain_prodtest.wire import FakeServer
from tests.wire import clients

__all__ = ["BEFORE", "CLIENTS", "INSIDE", "PROVIDERS", "Client", "measure", "ways"]

QUESTION = f"Say it. {new_nonce(7)}"
ANSWER = answer_for(new_nonce(7))
KEY = SecretStr("fake")
CLAUDE = "us.anthropic.claude-sonnet-4-20250514-v1:0"
PATIENCE = 60.0  # seconds; a fault that stalls gets SHORT
SHORT = 0.5
FINISH = ("finish_reason", "stop_reason", "done_reason", "stopReason", "status")
RIGHT = {"path": "/data/tenant42/tmp", "recursive": False, "reason": "nobody has used it for a whole year"}
MANY = 9  # a client that tries more often than this counts no attempts, but seconds


class Client(NamedTuple):
    """The provider that it is for, its package, and what builds it from a base URL and a time-out.

    `patient` clients have no time-out at all.
    """

    provider: str
    package: str
    build: Callable[[str, float], Any]
    patient: bool = False


def _alike(name: str, package: str, option: str = "timeout", **options: Any) -> Client:
    """Return a client that the conformance tests know."""
    known = clients.CLIENTS[name]
    return Client(
        known.provider, package, lambda url, timeout: known.build(url, **{option: timeout}, **options)
    )


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


def _anthropic(url: str, timeout: float) -> Any:
    """Build it for a model of which it knows nothing, lest it warns."""
    return ChatAnthropic(model_name="claude-prodtest", api_key=KEY, base_url=url, timeout=timeout, stop=None)


def _perplexity(url: str, timeout: float) -> Any:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PERPLEXITY_BASE_URL", url)
        client: Callable[..., Any] = ChatPerplexity
        return client(model="sonar", api_key=KEY, timeout=timeout)


def _mistral(url: str, timeout: float) -> Any:
    client: Callable[..., Any] = ChatMistralAI
    return client(model="mistral-small", api_key=KEY, base_url=url, timeout=max(1, int(timeout)))


def _ollama(url: str, timeout: float) -> Any:
    return ChatOllama(model="llama3.1", base_url=url, client_kwargs={"timeout": timeout})


def _gemini(url: str, timeout: float) -> Any:
    return ChatGoogleGenerativeAI(model="gemini-2.5-flash", api_key=KEY, base_url=url, timeout=timeout)


def _cohere(url: str, timeout: float) -> Any:
    return ChatCohere(model="command-a", cohere_api_key=KEY, base_url=url, timeout_seconds=timeout)


def _openrouter(url: str, timeout: float) -> Any:
    return clients.CLIENTS["openrouter"].build(url, timeout=int(timeout * 1000))


CLIENTS = {
    "ChatOpenAI": _alike("openai", "langchain-openai"),
    "ChatOpenAI, Responses": _alike("openai-responses", "langchain-openai"),
    "ChatAnthropic": Client("anthropic", "langchain-anthropic", _anthropic),
    "ChatOllama": Client("ollama", "langchain-ollama", _ollama),
    "ChatBedrockConverse": Client("bedrock", "langchain-aws", _bedrock(ChatBedrockConverse)),
    "ChatBedrock": Client("bedrock", "langchain-aws", _bedrock(ChatBedrock)),
    "ChatGroq": _alike("groq", "langchain-groq"),
    "ChatMistralAI": Client("mistral", "langchain-mistralai", _mistral),
    "ChatPerplexity": Client("perplexity", "langchain-perplexity", _perplexity),
    "ChatGoogleGenerativeAI": Client("gemini", "langchain-google-genai", _gemini),
    "ChatCohere": Client("cohere", "langchain-cohere", _cohere),
    "ChatDeepSeek": _alike("deepseek", "langchain-deepseek"),
    "ChatFireworks": _alike("fireworks", "langchain-fireworks"),
    "ChatOpenRouter": Client("openrouter", "langchain-openrouter", _openrouter),
    "ChatNVIDIA": Client(
        "nvidia",
        "langchain-nvidia-ai-endpoints",
        lambda url, _: clients.CLIENTS["nvidia"].build(url),
        patient=True,
    ),
}
PROVIDERS = {client.provider: client.provider for client in CLIENTS.values()}

STATUSES = (400, 401, 403, 404, 408, 409, 413, 422, 424, 429, 500, 502, 503, 504, 529)
BEFORE: dict[str, Fault] = {
    **{f"status {status}": Fault(status=status) for status in STATUSES},
    "closed before the head": Fault(how="eof"),
    "reset before the head": Fault(how="reset"),
    "body cut, by length": Fault(how="eof", after_bytes=99, framing="length"),
    "body cut, chunked": Fault(how="eof", after_bytes=99, framing="chunked"),
    "body cut, ended by close": Fault(how="eof", after_bytes=99, framing="close"),
}
"""Put to `invoke`: what the client raises in the end, and after how many attempts."""

WRONG_BODY = {
    "html": Fault(how="html"),
    "{}": Fault(how="empty"),
    "error with 200": Fault(how="error_body"),
    "garbage": Fault(how="garbage", after=8),
}
CALLED_WRONGLY = "tool arguments against the schema"
CUT_CALL = "tool call cut by a clean end"
INSIDE: dict[str, Fault | None] = {
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
    "event twice": Fault(how="duplicate", after=8),
    "events swapped": Fault(how="reorder", after=8),
    "stall": Fault(how="stall", after=8),
    **WRONG_BODY,
    CUT_CALL: Fault(how="clean_end", after=9),
    CALLED_WRONGLY: None,
}
"""Put to a stream, sync and async; the WRONG_BODY and wrong calls to a whole answer too."""
CALLS: dict[str, Callable[[Request], Reply]] = {
    CUT_CALL: lambda request: Reply(tool_calls=[ToolCall("remove", RIGHT)]),
    CALLED_WRONGLY: lambda request: Reply(
        tool_calls=[ToolCall("remove", {"path": 42, "recursive": "maybe"})]
    ),
}
"""What the model says in these rows."""


def ways(row: str) -> tuple[str, ...]:
    """Return the ways in which a client is asked under the fault of this row."""
    if row in BEFORE:
        return ("invoke",)
    return (
        ("stream", "astream", "invoke", "ainvoke")
        if row in (*WRONG_BODY, CALLED_WRONGLY)
        else ("stream", "astream")
    )


def remove(path: str, recursive: bool, reason: str) -> str:
    """Remove a folder."""
    return f"{path} {recursive} {reason}"


def measure(server: FakeServer, script: Script, name: str) -> dict[str, dict[str, str]]:
    """Return by row and way what the client comes to."""
    client = CLIENTS[name]
    model, hasty = (client.build(server.url(client.provider), seconds) for seconds in (PATIENCE, SHORT))
    found: dict[str, dict[str, str]] = {}
    with asyncio.Runner() as runner, _without_pauses():
        for row in (*INSIDE, *BEFORE):
            if row == "stall" and client.patient:
                found[row] = dict.fromkeys(ways(row), "no time-out")
                continue
            asked = _asking(hasty if row == "stall" else model, row)
            found[row] = {way: _outcome(script, row, _ask(asked, way, runner)) for way in ways(row)}
    return found


def _asking(model: Any, row: str) -> Any:
    return model.bind_tools([remove]) if row in CALLS else model


def _ask(model: Any, way: str, runner: asyncio.Runner) -> Callable[[], Any]:
    async def chunks() -> list[Any]:
        return [chunk async for chunk in model.astream(QUESTION)]

    return {
        "invoke": lambda: model.invoke(QUESTION),
        "ainvoke": lambda: runner.run(model.ainvoke(QUESTION)),
        "stream": lambda: _joined(list(model.stream(QUESTION))),
        "astream": lambda: _joined(runner.run(chunks())),
    }[way]


def _joined(chunks: list[Any]) -> Any:
    first, *others = chunks
    for chunk in others:
        first += chunk
    return first


def _outcome(script: Script, row: str, ask: Callable[[], Any]) -> str:
    script.reset()
    script.default = CALLS.get(row, Script().default)
    fault = {**BEFORE, **INSIDE}[row]
    with script.always(fault) if fault else nullcontext():
        try:
            word = _word(row, ask())
        except Exception as error:
            word = f"{type(error).__module__.split('.')[0]}.{type(error).__name__}".removeprefix("builtins.")
    calls = script.wait_for(1)
    if calls[-1].unexpected:
        return "-"
    tried = len(calls)
    return word if tried == 1 else f"{word} ×{tried if tried <= MANY else 'many'}"


def _word(row: str, message: Any) -> str:
    if row in CALLS:
        called = [call["args"] for call in message.tool_calls]
        return {0: "no call"}.get(len(called), "ok" if called == [RIGHT] else "WRONG CALL")
    if message.text != ANSWER:
        return "EMPTY" if not message.text else "SILENT" if ANSWER.startswith(message.text) else "WRONG"
    usage = message.usage_metadata or {}
    lacks = [] if any(message.response_metadata.get(key) for key in FINISH) else ["finish"]
    lacks += [] if usage.get("input_tokens") and usage.get("output_tokens") else ["usage"]
    return f"no {', '.join(lacks)}" if lacks else "ok"


@contextmanager
def _without_pauses() -> Iterator[None]:
    """Let the SDKs' clocks run on while they sleep before they try again."""
    passed = [time.time()]

    def sleep(seconds: float) -> None:
        passed[0] += seconds

    clock = SimpleNamespace(
        sleep=sleep, time=lambda: passed[0], monotonic=time.monotonic, time_ns=time.time_ns
    )
    sdks = ("openai", "anthropic", "groq", "perplexity", "fireworks")
    places = [f"{sdk}._base_client.time" for sdk in sdks]
    places += ["botocore.endpoint.time", "tenacity.nap.time", "openrouter.utils.retries.time"]
    with pytest.MonkeyPatch.context() as patch:
        for place in (*places, "cohere.core.http_client.time"):
            patch.setattr(place, clock)
        yield
