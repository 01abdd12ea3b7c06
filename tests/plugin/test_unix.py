"""Under pytest-socket's `--disable-socket --allow-unix-socket` the fake providers answer on a UNIX socket."""

from collections.abc import Callable

import pytest

Run = Callable[..., pytest.RunResult]

FLAGS = ("-p", "langchain_prodtest", "--disable-socket", "--allow-unix-socket", "-W", "error::UserWarning")


def test_clients_reach_the_fakes_where_ports_are_forbidden(pytester: pytest.Pytester, run: Run) -> None:
    """One for each way to connect: httpx2, httpx, urllib3, aiohttp, and a client that knows UNIX sockets."""
    pytester.makepyfile(
        """
        import asyncio, socket
        import httpx, pytest
        from langchain_aws import ChatBedrockConverse
        from langchain_google_genai import ChatGoogleGenerativeAI
        from langchain_groq import ChatGroq
        from langchain_openai import ChatOpenAI
        from langchain_prodtest import Reply

        pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
        MODELS = {
            "openai": lambda: ChatOpenAI(model="gpt-x"),
            "groq": lambda: ChatGroq(model="llama"),
            "bedrock": lambda: ChatBedrockConverse(model="anthropic.claude-v2"),
            "gemini": lambda: ChatGoogleGenerativeAI(model="gemini-2.0-flash"),
        }

        @pytest.mark.parametrize("name", MODELS)
        def test_answered(fake_providers, name):
            fake_providers.script(Reply("hello"), Reply("hello again"))
            model = MODELS[name]()
            assert model.invoke("hi").text == "hello"
            assert asyncio.run(model.ainvoke("hi")).text == "hello again"
            assert [call.provider for call in fake_providers.calls] == [name, name]

        def test_handed_over(fake_providers):
            fake_providers.script(Reply("hello"))
            transport = httpx.HTTPTransport(uds=str(fake_providers.unix))
            with httpx.Client(transport=transport, base_url=fake_providers.ollama.url) as client:
                asked = {"model": "x", "stream": False, "messages": [{"role": "user", "content": "hi"}]}
                answer = client.post("/api/chat", json=asked)
            assert answer.json()["message"]["content"] == "hello"

        def test_nothing_is_left_behind():
            assert "langchain_prodtest" not in socket.create_connection.__module__
            assert "langchain_prodtest" not in asyncio.BaseEventLoop.create_connection.__module__
        """
    )
    run(*FLAGS).assert_outcomes(passed=6)


def test_what_cannot_be_served_there_is_said(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.prodtest(transparent=True)
        def test_transparent(fake_providers):
            pass

        def test_plain(fake_providers):
            pass
        """
    )
    transparent = run(*FLAGS)
    transparent.assert_outcomes(passed=1, errors=1)
    transparent.stdout.fnmatch_lines(["*a proxy on a port, and --disable-socket forbids ports.*"])
    nowhere = run("-p", "langchain_prodtest", "--disable-socket")
    nowhere.assert_outcomes(errors=2)
    nowhere.stdout.fnmatch_lines(["*leaves the fake providers nowhere to listen. Add --allow-unix-socket*"])


def test_an_allowed_loopback_host_keeps_the_port(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        from langchain_openai import ChatOpenAI
        from langchain_prodtest import Reply

        def test_answered(fake_providers):
            fake_providers.script(Reply("hello"))
            assert fake_providers.unix is None
            assert ChatOpenAI(model="gpt-x").invoke("hi").text == "hello"
        """
    )
    run("-p", "langchain_prodtest", "--disable-socket", "--allow-hosts=127.0.0.1").assert_outcomes(passed=1)
