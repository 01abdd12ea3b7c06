"""What a strict test says when script and calls do not fit."""

from langchain_prodtest.fakes.strictness import complaints, leftover_text, unexpected_text
from langchain_prodtest.script import Call, Fault, Match, Reply, Script, ToolCall


def _call(attempt: int = 1, unexpected: bool = False) -> Call:
    return Call(
        id=0,
        provider="openai",
        model="gpt-x",
        messages=[{"role": "user", "content": "Book 12A"}],
        attempt=attempt,
        unexpected=unexpected,
    )


def test_one_leftover_step_is_told_with_the_calls_so_far_and_the_way_out() -> None:
    script = Script()
    script.add(Reply("Booked 12A."))
    script.record(_call())
    assert leftover_text(script).splitlines() == [
        "1 scripted reply was never asked for: Reply('Booked 12A.')",
        "  calls so far: openai chat, model 'gpt-x' (attempt 1)",
        "The code made fewer calls than the script. If that is right: @pytest.mark.prodtest(strict=False)",
    ]


def test_several_leftover_steps_are_listed_as_they_would_be_written() -> None:
    script = Script()
    script.add(
        Reply(tool_calls=[ToolCall("book", {"seat": "12A"})], chunks=3),
        Fault(status=429, retry_after=1.0),
        match=Match(provider="openai"),
    )
    assert leftover_text(script).splitlines()[:4] == [
        "2 scripted replies were never asked for:",
        "  - Reply(tool_calls=[ToolCall('book', args={'seat': '12A'})], chunks=3)  (for openai)",
        "  - Fault(status=429, retry_after=1.0)  (for openai)",
        "  calls so far: none",
    ]


def test_an_unexpected_call_is_told_with_what_was_asked() -> None:
    script = Script()
    script.record(_call())
    script.record(_call(attempt=2, unexpected=True))
    assert unexpected_text(script.unexpected, script).splitlines()[:3] == [
        "1 call was not in the script:",
        "  - openai chat, model 'gpt-x' (attempt 2), last message user: 'Book 12A'",
        "  calls before: openai chat, model 'gpt-x' (attempt 1)",
    ]


def test_a_call_of_a_route_that_does_not_exist_is_told_with_the_nearest() -> None:
    script = Script()
    hint = "no route POST /v1/message; the nearest is POST /v1/messages"
    script.record(Call(id=0, provider="anthropic", operation="", hint=hint, unexpected=True))
    assert f"  - anthropic has {hint}" in unexpected_text(script.unexpected, script).splitlines()


def test_a_script_that_was_followed_gives_no_complaint() -> None:
    assert complaints(Script(), [], passed=True) == []


def test_a_test_that_failed_halfway_is_not_told_about_leftovers() -> None:
    script = Script()
    script.add(Reply("never"))
    script.record(_call(unexpected=True))
    assert [text.splitlines()[0] for text in complaints(script, ["wrong tool"], passed=False)] == [
        "1 call was not in the script:"
    ]


def test_a_mistake_in_the_script_that_the_code_swallowed_is_told() -> None:
    assert complaints(Script(), ["wrong tool"], passed=True) == ["wrong tool"]
