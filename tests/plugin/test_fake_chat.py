"""`fake_chat` gives a scripted model and is strict at the end of the test."""

from collections.abc import Callable

import pytest

Run = Callable[..., pytest.RunResult]


def test_a_script_that_is_followed_passes_and_one_that_is_not_fails(
    pytester: pytest.Pytester, run_both: Run
) -> None:
    pytester.makepyfile(
        """
        import pytest
        from langchain_prodtest import Reply

        def test_followed(fake_chat):
            fake_chat.script(Reply("hello"))
            assert fake_chat.invoke("hi").text == "hello"
            assert len(fake_chat.calls) == 1

        def test_leftover(fake_chat):
            fake_chat.script(Reply("one"), Reply("two"))
            fake_chat.invoke("hi")

        def test_swallowed(fake_chat):
            fake_chat.script(Reply("one"))
            fake_chat.invoke("hi")
            with pytest.raises(AssertionError):
                fake_chat.invoke("again")

        @pytest.mark.prodtest(strict=False)
        def test_lenient(fake_chat):
            fake_chat.script(Reply("one"), Reply("two"))
        """
    )
    result = run_both("-p", "langchain_prodtest")
    result.assert_outcomes(passed=4, errors=2)
    result.stdout.fnmatch_lines_random(
        [
            "*ERROR at teardown of test_leftover*",
            "1 scripted reply was never asked for: Reply('two')",
            "*If that is right: @pytest.mark.prodtest(strict=False)",
            "*ERROR at teardown of test_swallowed*",
            "1 call was not in the script:",
        ]
    )


def test_a_failed_test_is_not_told_about_its_leftovers_too(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        from langchain_prodtest import Reply

        def test_wrong(fake_chat):
            fake_chat.script(Reply("one"))
            assert False
        """
    )
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*never asked for*")


def test_a_wrong_tool_call_that_the_code_swallowed_fails_the_test(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(
        """
        from langchain_prodtest import Reply, ToolCall

        def test_swallowed(fake_chat):
            fake_chat.script(Reply(tool_calls=[ToolCall("book")]))
            try:
                fake_chat.invoke("hi")
            except Exception:
                pass
        """
    )
    result = run()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(['ToolCall("book") is scripted, but: no tool is bound.*'])


def test_a_fixture_that_fails_at_its_end_does_not_hide_the_script(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(
        """
        import pytest
        from langchain_prodtest import Reply

        @pytest.fixture
        def broken():
            yield
            raise RuntimeError("broken at its end")

        def test_both(broken, fake_chat):
            fake_chat.script(Reply("one"))
        """
    )
    result = run()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*broken at its end*", "*1 scripted reply was never asked for*"])


def test_a_model_without_a_script_helps_itself_where_it_is_asked_to(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(
        """
        import pytest
        from langchain.agents import create_agent
        from langchain_openai import ChatOpenAI
        from langchain_prodtest import expect
        from langchain_prodtest.fakes.recording import RecordingTool

        pytestmark = pytest.mark.prodtest(auto=True)

        def booked(model):
            book = RecordingTool("book", {"seat": str}, result="12A is yours")
            answer = create_agent(model, [book]).invoke({"messages": [("user", "Book seat 12A")]})
            assert "12A is yours" in answer["messages"][-1].text
            expect.tool_calls(answer["messages"], "book")
            return book.repeated == []

        def test_in_the_process(fake_chat):
            assert booked(fake_chat)

        def test_on_the_wire(fake_providers):
            assert booked(ChatOpenAI(model="m"))
        """
    )
    run("-p", "langchain_prodtest").assert_outcomes(passed=2)
