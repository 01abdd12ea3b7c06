"""Unmodified clients, with production URLs, reach the fakes by nothing but the printed environment.

All of it runs in a network namespace that has nothing but its own loopback: no packet can leave.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from langchain_prodtest.script import answer_for

SYNC, ASYNC = ["invoke", "stream"], ["ainvoke", "astream"]
SYNC_ONLY = ["nvidia"]  # its async client is an aiohttp session that ignores the environment
PROVIDERS = [
    *("openai", "azure", "anthropic", "groq", "gemini", "cohere", "deepseek", "fireworks", "openrouter"),
    *("together", "xai", "perplexity", "bedrock", *SYNC_ONLY),
]
ASKED = [(name, way) for name in PROVIDERS for way in SYNC + ASYNC if way in SYNC or name not in SYNC_ONLY]
USAGE = [(name, way) for name, way in ASKED if "stream" in way and (name, way) != ("cohere", "stream")]
ANSWER = answer_for("pt-0000000000000007")
HERE = Path(__file__).parent
ISOLATED = [
    *("unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--net"),
    *("sh", "-c", 'ip link set lo up && exec "$@"', "sh"),
]
KEYS = {
    **dict.fromkeys(
        [
            *("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY", "PPLX_API_KEY"),
            *("GOOGLE_API_KEY", "COHERE_API_KEY", "DEEPSEEK_API_KEY", "FIREWORKS_API_KEY", "NVIDIA_API_KEY"),
            *("OPENROUTER_API_KEY", "TOGETHER_API_KEY", "XAI_API_KEY", "AWS_BEARER_TOKEN_BEDROCK"),
        ],
        "nvapi-sk-fake",
    ),
    "MISTRAL_API_KEY": "any",
    "NVIDIA_USAGE_TELEMETRY_ENABLED": "0",
    "AWS_EC2_METADATA_DISABLED": "true",
}
SERVER = f"""
import json, subprocess, sys
from langchain_prodtest.script import Script
from langchain_prodtest.wire import FakeServer

script = Script()
programs = json.loads(sys.argv[1])
mounts = {{name: name for name in {[*PROVIDERS, "mistral"]!r}}}
with FakeServer(script, mounts, transparent=True) as server:
    env = {{**json.loads(sys.argv[2]), **server.environment()}}
    said = [
        subprocess.run(program, env=env, text=True, capture_output=True, timeout=240).__dict__
        for program in programs
    ]
calls = [
    [call.provider, call.operation, call.headers.get("host", ""), call.status, call.unexpected]
    for call in script.calls
]
print(json.dumps({{"said": said, "calls": calls}}))
"""


def run(*programs: list[str]) -> dict[str, Any]:
    """Run programs beside a transparent server; return what they said, and the journal."""
    env = {"PATH": os.environ["PATH"], **KEYS}
    command = [*ISOLATED, sys.executable, "-c", SERVER, json.dumps(programs), json.dumps(env)]
    done = subprocess.run(command, text=True, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    for said in result["said"]:
        assert said["returncode"] == 0, said["stderr"]
    return result


@pytest.fixture(scope="module")
def clients() -> dict[str, Any]:
    result = run([sys.executable, str(HERE / "unmodified.py"), *PROVIDERS])
    return {"said": json.loads(result["said"][0]["stdout"]), "calls": result["calls"]}


@pytest.mark.parametrize(("provider", "way"), ASKED)
def test_a_client_without_a_base_url_gets_the_fake_s_answer(
    clients: dict[str, Any], provider: str, way: str
) -> None:
    assert clients["said"][provider][way]["text"] == ANSWER


@pytest.mark.parametrize(("provider", "way"), USAGE)
def test_usage_arrives_in_streams(clients: dict[str, Any], provider: str, way: str) -> None:
    """With a base URL of its own, ChatOpenAI would not have asked for it; ChatCohere drops it when sync."""
    assert clients["said"][provider][way]["usage"]["output_tokens"] > 0


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_call_was_one_to_the_real_host(clients: dict[str, Any], provider: str) -> None:
    chats = [call for call in clients["calls"] if call[0] == provider]
    assert len(chats) == len([name for name, _ in ASKED if name == provider])
    assert {call[3] for call in chats} == {200}
    assert all("." in call[2] and not call[2].startswith("127.") for call in chats)


@pytest.mark.parametrize("provider", SYNC_ONLY)
def test_an_async_client_that_ignores_the_environment_gets_nothing(
    clients: dict[str, Any], provider: str
) -> None:
    assert "Connect" in clients["said"][provider]["async"]["error"]


def test_nothing_else_was_asked_for(clients: dict[str, Any]) -> None:
    assert [call for call in clients["calls"] if call[4]] == []


OTHER_STACKS = """
import asyncio, json, ssl, urllib.error, urllib.request
import aiohttp, certifi, httpx, requests
from langchain_fireworks import FireworksEmbeddings
from langchain_mistralai import ChatMistralAI

URL = "https://api.openai.com/v1/models"
said = {
    "urllib": json.load(urllib.request.urlopen(URL, timeout=20))["data"][0]["id"],
    "requests": requests.get(URL, timeout=20).json()["data"][0]["id"],
    "plain": httpx.get("http://api.openai.com/v1/models").json()["data"][0]["id"],
}
said["fireworks embeddings"] = len(FireworksEmbeddings(model="nomic-embed-text").embed_query("hi"))
async def aiohttp_with(trust_env):
    async with aiohttp.ClientSession(trust_env=trust_env) as session, session.get(URL) as answer:
        return (await answer.json())["data"][0]["id"]
said["aiohttp"] = asyncio.run(aiohttp_with(True))
def failure(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__ + ": " + str(error)
said["foreign"] = failure(lambda: httpx.get("https://api.smith.langchain.com/info"))
said["foreign, plain"] = str(httpx.get("http://169.254.169.254/latest").status_code)
said["mistral"] = failure(lambda: ChatMistralAI(model="mistral-large-latest", max_retries=1).invoke("hi"))
said["certifi"] = failure(lambda: httpx.get(URL, verify=ssl.create_default_context(cafile=certifi.where())))
said["no environment"] = failure(lambda: httpx.get(URL, trust_env=False))
said["aiohttp's default"] = failure(lambda: asyncio.run(aiohttp_with(False)))
print(json.dumps(said))
"""


def test_other_stacks_reach_it_foreign_hosts_are_refused_and_limits_are_as_documented() -> None:
    result = run([sys.executable, "-c", OTHER_STACKS])
    said = json.loads(result["said"][0]["stdout"])
    assert said.pop("fireworks embeddings") == 1536, "this client has its host in its code"
    assert {said.pop(name) for name in ("urllib", "requests", "plain", "aiohttp")} == {"prodtest"}
    assert "403" in said.pop("foreign")
    assert said.pop("foreign, plain") == "403"
    assert "CERTIFICATE_VERIFY_FAILED" in said.pop("mistral")
    assert "CERTIFICATE_VERIFY_FAILED" in said.pop("certifi")
    assert all("Connect" in failure for failure in said.values()), "these never came to the proxy"
    assert [call for call in result["calls"] if call[4]] == [
        ["", "", "api.smith.langchain.com", 403, True],
        ["", "", "169.254.169.254", 403, True],
        ["mistral", "connect", "api.mistral.ai", 0, True],
        ["openai", "connect", "api.openai.com", 0, True],
    ]
