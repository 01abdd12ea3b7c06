"""What a strict test says when script and calls do not fit."""

from collections.abc import Iterable, Sequence

import msgspec

from langchain_prodtest.script import Call, Request, Script

__all__ = ["ALLOW", "UnexpectedCallError", "complaints", "leftover_text", "unexpected_text"]

ALLOW = "@pytest.mark.prodtest(strict=False)"


class UnexpectedCallError(AssertionError):
    """The code under test asked a model once more than the script has answers for."""


def complaints(script: Script, mistakes: Sequence[str], passed: bool) -> list[str]:
    """Return one text for each way in which the calls did not follow the script.

    Steps are left over because a test failed halfway: that is not told again. `mistakes` are errors of the
    script itself, which a test that passed has swallowed.
    """
    left = [leftover_text(script), *mistakes] if passed else []
    return [text for text in (unexpected_text(script.unexpected, script), *left) if text]


def leftover_text(script: Script) -> str:
    """Return what to tell about steps that were never asked for; "" when all were."""
    left = script.leftover
    if not left:
        return ""
    one = len(left) == 1
    steps = [_written(step) + (f"  (for {match.provider})" if match.provider else "") for match, step in left]
    return "\n".join(
        [
            f"1 scripted reply was never asked for: {steps[0]}"
            if one
            else f"{len(left)} scripted replies were never asked for:",
            *([] if one else [f"  - {step}" for step in steps]),
            f"  calls so far: {_listed(script.calls)}",
            f"The code made fewer calls than the script. If that is right: {ALLOW}",
        ]
    )


def unexpected_text(calls: Sequence[Request], script: Script) -> str:
    """Return what to tell about calls that came after their script was used up; "" when none did."""
    if not calls:
        return ""
    counted = "1 call was" if len(calls) == 1 else f"{len(calls)} calls were"
    answered = [call for call in script.calls if not call.unexpected]
    return "\n".join(
        [
            f"{counted} not in the script:",
            *(f"  - {_call(call)}{_last_message(call)}" for call in calls),
            f"  calls before: {_listed(answered)}",
            "The code made more calls than the script has answers.",
            f"If that is right: script one more Reply; if it is to do without an answer: {ALLOW}",
        ]
    )


def _call(call: Request) -> str:
    """Return a call in one phrase: provider, operation, model, attempt; or that there is no such route."""
    if call.hint:
        return f"{call.provider} has {call.hint}"
    model = f", model {call.model!r}" if call.model else ""
    return f"{call.provider} {call.operation}{model} (attempt {call.attempt})"


def _written(value: object) -> str:
    """Return a step as it would be written in a test: only what differs from the defaults."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(_written(item) for item in value)}]"
    if not isinstance(value, msgspec.Struct):
        return repr(value)
    parts = []
    for field in msgspec.structs.fields(value):
        content = getattr(value, field.name)
        if field.required or content not in (field.default, _made(field.default_factory)):
            named = "" if field.required or field.name == "text" else f"{field.name}="
            parts.append(named + _written(content))
    return f"{type(value).__name__}({', '.join(parts)})"


def _made(factory: object) -> object:
    return factory() if callable(factory) else factory


def _listed(calls: Iterable[Call]) -> str:
    return ", ".join(_call(call) for call in calls) or "none"


def _last_message(call: Request) -> str:
    if not call.messages:
        return ""
    last = call.messages[-1]
    text = str(last.get("content") or last.get("tool_calls") or "")
    return f", last message {last.get('role', '?')}: {text[:80]!r}"
