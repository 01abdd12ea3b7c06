"""Runs the real clients against `fake_providers` again and again, in random order: a flake shows.

Run as `python tests/benchmarks/series_plugin.py [REPEATS]` (20 unless told). Each repeat runs every client in
both modes, sync and async, with function, module and session loops, over WORKERS xdist workers, in an order
of its own. It ends with 1 at the first test that fails, and shows its order's seed.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORKERS = 4

# The order: pytest has none of its own that is random, and a plugin more would be a dependency.
CONFTEST = """
import os, random

def pytest_collection_modifyitems(items):
    random.Random(int(os.environ["SERIES_SEED"])).shuffle(items)
"""

TESTS = """
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_aws import ChatBedrockConverse
from langchain_groq import ChatGroq
from langchain_mistralai import ChatMistralAI
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from langchain_perplexity import ChatPerplexity
from langchain_prodtest import Reply

MODELS = {
    "openai": lambda: ChatOpenAI(model="gpt-x"),
    "anthropic": lambda: ChatAnthropic(model="claude-opus-4-7"),
    "bedrock": lambda: ChatBedrockConverse(model="anthropic.claude-v2"),
    "groq": lambda: ChatGroq(model="llama"),
    "mistral": lambda: ChatMistralAI(model="mistral-x"),
    "ollama": lambda: ChatOllama(model="llama"),
    "perplexity": lambda: ChatPerplexity(model="sonar"),
}
OVER_TLS = [name for name in MODELS if name != "bedrock"]  # it signs, and needs a bearer key there
environment = pytest.mark.parametrize("name", MODELS)
transparent = [pytest.mark.parametrize("name", OVER_TLS), pytest.mark.prodtest(transparent=True)]


def say(fakes, name):
    fakes.script(Reply("one"), Reply("two three"))
    return MODELS[name]()


class Sync:
    def test_asks(self, fake_providers, name):
        model = say(fake_providers, name)
        assert model.invoke("hi").text == "one"
        assert "".join(chunk.text for chunk in model.stream("hi")) == "two three"
        assert len(fake_providers.calls) == 2


class Async:
    async def test_asks(self, fake_providers, name):
        model = say(fake_providers, name)
        assert (await model.ainvoke("hi")).text == "one"
        assert "".join([chunk.text async for chunk in model.astream("hi")]) == "two three"
        assert len(fake_providers.calls) == 2


@environment
class TestSync(Sync):
    pass


class TestSyncTransparent(Sync):
    pytestmark = transparent


for scope in ("function", "module", "session"):
    loop = pytest.mark.asyncio(loop_scope=scope)
    of = {"pytestmark": [loop, environment]}
    globals()[f"Test{scope.title()}"] = type(f"Test{scope.title()}", (Async,), of)
    of = {"pytestmark": [loop, *transparent]}
    globals()[f"TestTransparent{scope.title()}"] = type(f"TestTransparent{scope.title()}", (Async,), of)
"""


def run(folder: Path, seed: int) -> subprocess.CompletedProcess[str]:
    """Run the tests once, in the order of this seed."""
    plugins = ["-p", "xdist.plugin", "-p", "pytest_asyncio.plugin", "-p", "langchain_prodtest"]
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n",
            str(WORKERS),
            *plugins,
            "-W",
            "ignore::DeprecationWarning",
        ],
        cwd=folder,
        env={**os.environ, "SERIES_SEED": str(seed), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def main(repeats: int) -> int:
    """Run the series; 0 if every test passed every time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "conftest.py").write_text(CONFTEST)
        (folder / "test_clients.py").write_text(TESTS)
        for seed in range(1, repeats + 1):
            began = time.monotonic()
            done = run(folder, seed)
            print(
                f"{seed:3}  {time.monotonic() - began:6.1f} s  {done.stdout.strip().splitlines()[-1:]}",
                flush=True,
            )
            if done.returncode != 0:
                print(done.stdout, done.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
