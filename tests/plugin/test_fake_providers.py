"""`fake_providers` leads real clients to a scripted provider, and is strict at the end of the test."""

from collections.abc import Callable

import pytest

Run = Callable[..., pytest.RunResult]


def test_the_real_client_is_answered_without_any_setting(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import os
        from langchain_openai import ChatOpenAI
        from langchain_prodtest import Fault, Reply

        def test_answered(fake_providers):
            fake_providers.openai.script(Fault(status=429, retry_after=0.05), Reply("hello"))
            assert ChatOpenAI(model="gpt-x").invoke("hi").text == "hello"
            assert [call.attempt for call in fake_providers.openai.calls] == [1, 2]
            assert os.environ["OPENAI_BASE_URL"] == fake_providers.openai.url
            assert fake_providers.unexpected == []

        def test_environment_is_back():
            assert "127.0.0.1" not in os.environ.get("OPENAI_BASE_URL", "")
        """
    )
    run().assert_outcomes(passed=2)


def test_leftover_and_unexpected_requests_fail_the_test(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import openai, pytest
        from langchain_openai import ChatOpenAI
        from langchain_prodtest import Reply

        def test_leftover(fake_providers):
            fake_providers.script(Reply("one"), Reply("two"))
            ChatOpenAI(model="gpt-x").invoke("hi")

        def test_unexpected(fake_providers):
            fake_providers.openai.script(Reply("one"))
            model = ChatOpenAI(model="gpt-x", max_retries=0)
            model.invoke("hi")
            with pytest.raises(openai.APIError):
                model.invoke("again")
            assert len(fake_providers.unexpected) == 1

        @pytest.mark.prodtest(strict=False)
        def test_lenient(fake_providers):
            fake_providers.script(Reply("one"))
        """
    )
    result = run("-p", "langchain_prodtest")
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines_random(
        [
            "1 scripted reply was never asked for: Reply('two')",
            "  calls so far: openai chat, model 'gpt-x' (attempt 1)",
            "  - openai chat, model 'gpt-x' (attempt 1), last message user: 'again'",
        ]
    )


def test_a_key_that_looks_real_is_warned_of_and_told_nowhere(pytester: pytest.Pytester, run: Run) -> None:
    real = "sk-proj-" + "Zq7_Lw9-Tb3xVn5RkM2cJh8Gd4Fs6Pa1YeUi0Ko" * 2
    pytester.makepyfile(
        f"""
        from langchain_openai import ChatOpenAI

        def test_built_with_a_key_of_its_own(fake_providers):
            ChatOpenAI(model="gpt-x", api_key="{real}").invoke("hi")
            assert [call.real_key for call in fake_providers.calls] == ["OpenAI"]

        def test_built_with_the_fixture_s(fake_providers):
            ChatOpenAI(model="gpt-x").invoke("hi")
            assert [call.real_key for call in fake_providers.calls] == [""]
        """
    )
    result = run("-p", "langchain_prodtest")
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines(["*A key that looks like a real one of OpenAI reached a fake provider*"])
    assert real not in result.stdout.str()
