"""A Script decides which Reply or Fault comes when, and keeps the journal."""

import threading
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.script import (
    TOKENS,
    Call,
    Fault,
    Match,
    Reply,
    Request,
    Script,
    answer_for,
    find_nonce,
    new_nonce,
)

OK, NO = Reply("ok"), Fault(status=503)


def request(text: str = "hi", **more: Any) -> Request:
    return Request(provider=more.pop("provider", "openai"), messages=[{"content": text}], **more)


def call(number: int = 0, **more: Any) -> Call:
    return Call(provider="openai", id=number, **more)


@pytest.mark.parametrize(
    ("match", "accepted"),
    [
        (Match(), True),
        (Match(provider="openai"), True),
        (Match(provider="anthropic"), False),
        (Match(operation="chat"), True),
        (Match(operation="embed"), False),
        (Match(model="gpt-x"), True),
        (Match(model="gpt-y"), False),
        (Match(contains="seat"), True),
        (Match(contains="nothing"), False),
        (Match(provider="openai", contains="nothing"), False),
        (Match(attempt=1), True),
        (Match(attempt=2), False),
    ],
)
def test_a_match_accepts_what_fits_every_field_it_sets(match: Match, accepted: bool) -> None:
    assert match.accepts(request("Book a seat", model="gpt-x")) is accepted


def test_a_match_reads_text_in_every_shape_messages_have() -> None:
    blocks: list[dict[str, Any]] = [
        {"content": None},
        {},
        {"content": [{"type": "image"}, "loose", {"text": "in a block"}]},
        {"content": "in a string"},
    ]
    asked = Request(provider="openai", messages=blocks)
    assert Match(contains="in a block").accepts(asked)
    assert Match(contains="in a string").accepts(asked)
    assert not Match(contains="loose").accepts(asked)


def test_without_a_script_the_answer_to_the_nonce_comes() -> None:
    assert Script().next(request(nonce="pt-0000000000000001")) == Reply(answer_for("pt-0000000000000001"))
    assert Script(default=lambda asked: Reply(asked.provider)).next(request()) == Reply("openai")


def test_steps_come_in_their_order_and_then_nothing() -> None:
    script = Script()
    script.add(OK, NO)
    assert [script.next(request()) for _ in range(3)] == [OK, NO, None]


def test_after_steps_that_are_not_all_the_default_comes_again() -> None:
    script = Script()
    script.add(NO, then_default=True)
    assert [script.next(Request(provider="p")) for _ in range(3)] == [NO, *[Reply(answer_for(""))] * 2]


def test_the_newest_rule_is_asked_first() -> None:
    script = Script()
    script.add(Reply("first"))
    script.add(Reply("second"))
    assert [script.next(request()) for _ in range(3)] == [Reply("second"), Reply("first"), None]


def test_a_rule_is_only_for_what_it_matches() -> None:
    script = Script()
    script.add(NO, match=Match(contains="seat"))
    assert script.next(request("hello")) == Reply(answer_for(""))
    assert script.next(request("a seat")) == NO
    assert script.next(request("a seat")) is None


@pytest.mark.parametrize("steps", [(), ("text",), (OK, None)])
def test_only_replies_and_faults_are_scripted(steps: tuple[Any, ...]) -> None:
    script = Script()
    with pytest.raises(ScriptError, match="Reply"):
        script.add(*steps)
    assert script.leftover == []


def test_a_window_hides_the_script_for_its_time() -> None:
    script = Script()
    script.add(OK)
    with script.always(NO):
        assert [script.next(request()) for _ in range(3)] == [NO, NO, NO]
    assert [script.next(request()) for _ in range(2)] == [OK, None]


@pytest.mark.parametrize("operation", ["embeddings", "moderations", "rerank", "web_search"])
def test_what_a_model_says_is_not_used_up_by_an_operation_without_words(operation: str) -> None:
    script = Script(lambda request: OK)
    script.add(NO, match=Match(provider="openai"))
    assert script.next(request(operation=operation)) == OK
    assert script.next(request()) == NO
    assert script.next(request()) is None
    assert script.next(request(operation=operation)) == OK


def test_an_operation_without_words_has_steps_of_its_own_and_shares_what_is_always() -> None:
    script = Script(lambda request: OK)
    script.add(NO, match=Match(operation="embeddings"))
    assert [script.next(request(operation="embeddings")) for _ in range(2)] == [NO, None]
    with script.always(NO):
        assert script.next(request(operation="embeddings")) == NO


def test_a_window_ends_with_its_lease_and_is_not_unexpected_then() -> None:
    script = Script()
    with script.always(NO, lease=0.0):
        assert script.next(request()) == Reply(answer_for(""))
    with script.always(NO, lease=60.0):
        assert script.next(request()) == NO


def test_a_window_for_one_provider_leaves_the_others() -> None:
    script = Script()
    with script.always(NO, match=Match(provider="anthropic")):
        assert script.next(request()) == Reply(answer_for(""))
        assert script.next(request(provider="anthropic")) == NO


def test_a_window_ends_when_its_block_raises() -> None:
    script = Script()
    with pytest.raises(KeyError), script.always(NO):
        raise KeyError
    assert script.next(request()) == Reply(answer_for(""))


def test_a_window_ends_although_its_script_was_reset_inside() -> None:
    script = Script()
    with script.always(NO):
        script.reset()
        assert script.next(request()) == Reply(answer_for(""))
    assert script.leftover == []


def test_two_windows_alike_end_each_by_itself() -> None:
    script = Script()
    with script.always(NO):
        with script.always(OK), script.always(OK):
            assert script.next(request()) == OK
        assert script.next(request()) == NO


def test_a_refused_connection_uses_its_step_up() -> None:
    script = Script()
    script.add(Fault(how="refuse"), OK)
    assert [script.refuses("openai") for _ in range(2)] == [True, False]
    assert script.next(request()) == OK


def test_a_refusal_is_for_the_provider_it_names() -> None:
    script = Script()
    script.add(Fault(how="refuse"), match=Match(provider="anthropic"))
    assert [script.refuses(p) for p in ("openai", "anthropic", "anthropic")] == [False, True, False]


def test_a_refusal_that_depends_on_the_request_cannot_be_made_before_it() -> None:
    script = Script()
    script.add(Fault(how="refuse"), match=Match(contains="seat"))
    assert not script.refuses("openai")
    assert [step for _, step in script.leftover] == [Fault(how="refuse")]


def test_a_window_refuses_every_connection() -> None:
    script = Script()
    with script.always(Fault(how="refuse")):
        assert [script.refuses("openai") for _ in range(3)] == [True, True, True]
    assert not script.refuses("openai")


def test_attempts_are_counted_by_digest_within_a_scope() -> None:
    script = Script()
    assert [script.attempt(digest) for digest in "aab"] == [1, 2, 1]
    assert [script.attempt("a", scope=scope) for scope in ("", "backup", "backup")] == [3, 1, 2]


def test_of_many_digests_the_one_not_seen_for_longest_is_forgotten() -> None:
    script = Script()
    for number in range(10_000):
        script.attempt(str(number))
    assert script.attempt("0") == 2
    script.attempt("new")
    assert (script.attempt("0"), script.attempt("1")) == (3, 1)


def test_a_fault_can_be_for_the_nth_attempt() -> None:
    script = Script()
    with script.always(NO, match=Match(attempt=2)):
        assert [script.next(request(attempt=n)) for n in (1, 2, 3)] == [
            Reply(answer_for("")),
            NO,
            Reply(answer_for("")),
        ]


def test_a_window_begins_and_ends_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    script = Script()
    script.window(NO, start=10.0, seconds=5.0, match=Match(provider="openai"))
    seen = []
    for clock[0] in (100.0, 109.9, 110.0, 114.9, 115.0):
        seen.append(script.next(request()) == NO)
    assert seen == [False, False, True, True, False]
    assert script.leftover == []


@pytest.mark.parametrize("wrong", [(-1.0, 1.0), (0.0, 0.0)])
def test_a_window_that_makes_no_sense_is_refused(wrong: tuple[float, float]) -> None:
    with pytest.raises(ScriptError, match="window: "):
        Script().window(NO, *wrong)


def struck(seed: int, probability: float = 0.25) -> list[bool]:
    script = Script(default=lambda asked: OK)
    script.sometimes(NO, probability, seed)
    return [script.next(request()) == NO for _ in range(1000)]


def test_chance_follows_from_the_seed_and_the_order_of_arrival() -> None:
    assert struck(1) == struck(1)
    assert struck(1) != struck(2)
    assert 180 < sum(struck(1)) < 320
    assert (sum(struck(1, 0.0)), sum(struck(1, 1.0))) == (0, 1000)


def test_chance_is_only_for_what_it_matches_and_leaves_the_rest_to_older_rules() -> None:
    script = Script()
    script.add(OK, OK)
    script.sometimes(NO, 1.0, match=Match(provider="anthropic"))
    assert [script.next(request()), script.next(request(provider="anthropic"))] == [OK, NO]
    assert len(script.leftover) == 1


@pytest.mark.parametrize(("fault", "probability"), [(NO, 1.1), (NO, -0.1), (Fault(how="refuse"), 0.5)])
def test_chance_that_makes_no_sense_is_refused(fault: Fault, probability: float) -> None:
    with pytest.raises(ScriptError, match="sometimes: "):
        Script().sometimes(fault, probability)


def test_a_rule_of_one_s_own_decides_or_leaves_it_to_older_ones() -> None:
    script = Script()
    script.add(OK, then_default=True)
    script.rule(lambda asked: NO if "seat" in str(asked.messages) else None)
    assert [script.next(request("a seat")), script.next(request("hi"))] == [NO, OK]
    assert not script.refuses("openai")


def test_a_rule_changes_what_older_rules_and_the_default_answer() -> None:
    script = Script(default=lambda asked: OK)
    script.add(Reply("scripted"), NO, then_default=True)
    script.rule(lambda asked: lambda step: step.later(1.0) if isinstance(step, Reply) else step)
    script.rule(lambda asked: lambda step: step.slower(2.0) if isinstance(step, Reply) else step)
    late = [Reply("scripted", first_token=2.0), NO, msgspec.structs.replace(OK, first_token=2.0)]
    assert [script.next(request()) for _ in late] == late


def test_what_is_unexpected_is_not_changed_and_a_refusal_uses_no_step_up() -> None:
    script = Script()
    script.add(OK)
    script.rule(lambda asked: lambda step: NO)
    with script.always(NO):
        assert script.next(request()) == NO
    assert len(script.leftover) == 1
    assert [script.next(request()), script.next(request())] == [NO, None]


def test_rules_and_chance_have_their_window(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    script = Script(default=lambda asked: OK)
    script.rule(lambda asked: NO, window=(10.0, 20.0))
    script.sometimes(Reply("by chance"), 1.0, window=(30.0, float("inf")))
    seen = []
    for clock[0] in (109.9, 110.0, 119.9, 120.0, 130.0, 1e9):
        seen.append(script.next(request()))
    assert seen == [OK, NO, NO, OK, Reply("by chance"), Reply("by chance")]
    with pytest.raises(ScriptError, match="window: "):
        script.rule(lambda asked: NO, window=(2.0, 1.0))


def test_leftover_tells_which_steps_never_came() -> None:
    script = Script()
    script.add(OK, NO, match=Match(model="m"))
    with script.always(NO):
        assert script.leftover == [(Match(model="m"), OK), (Match(model="m"), NO)]
    script.next(request(model="m"))
    assert script.leftover == [(Match(model="m"), NO)]


def test_the_journal_numbers_calls_and_tells_the_unexpected() -> None:
    script = Script()
    script.record(call(9))
    script.record(call(9, unexpected=True))
    assert [c.id for c in script.calls] == [1, 2]
    assert [c.id for c in script.unexpected] == [2]
    script.calls.clear()
    assert len(script.calls) == 2


def test_reset_forgets_rules_journal_and_counts() -> None:
    script = Script()
    script.add(OK)
    script.record(call())
    script.attempt("a")
    script.reset()
    assert (script.leftover, script.calls, script.attempt("a")) == ([], [], 1)


def test_waiting_ends_as_soon_as_the_calls_are_there() -> None:
    script = Script()

    def work() -> None:
        for _ in range(3):
            script.record(call())

    thread = threading.Thread(target=work)
    thread.start()
    started = time.monotonic()
    assert len(script.wait_for(3, seconds=60)) >= 3
    assert time.monotonic() - started < 30
    thread.join()


def test_waiting_gives_up_and_returns_what_there_is() -> None:
    assert Script().wait_for(1, seconds=0.01) == []


def test_under_threads_each_step_comes_once_and_no_call_is_lost() -> None:
    script, threads, each = Script(), 8, 200
    steps = [Reply(str(i)) for i in range(threads * each)]
    script.add(*steps)
    seen: list[Any] = []
    attempts: list[int] = []
    start = threading.Barrier(threads)

    def work() -> None:
        start.wait()
        for _ in range(each):
            seen.append(script.next(request()))
            attempts.append(script.attempt("same"))
            script.record(call())
            with script.always(NO, match=Match(provider="none")):
                pass

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(seen, key=lambda reply: int(reply.text)) == steps
    assert sorted(attempts) == list(range(1, threads * each + 1))
    assert [c.id for c in script.calls] == list(range(1, threads * each + 1))
    assert script.next(request()) is None


@settings(deadline=None)
@given(number=st.integers(0, 2**32 - 1), seed=st.integers(0, 2**32 - 1), before=st.text(), after=st.text())
def test_a_nonce_is_found_again_in_any_text(number: int, seed: int, before: str, after: str) -> None:
    nonce = new_nonce(number, seed)
    assert find_nonce(f"{before} {nonce} {after}") == find_nonce(f"{nonce} {after}")
    assert find_nonce(f"{before} ({nonce})") == nonce
    assert find_nonce(answer_for(nonce)) == nonce


def test_nonces_differ_by_number_and_seed() -> None:
    assert len({new_nonce(number, seed) for number in range(50) for seed in range(50)}) == 2500


@pytest.mark.parametrize(
    "text", ["", "pt-123", "xpt-0000000000000001", "pt-00000000000000011", "pt-000000000000000G"]
)
def test_what_is_no_nonce_is_not_found(text: str) -> None:
    assert find_nonce(text) == ""


def test_the_last_nonce_counts() -> None:
    assert find_nonce(f"{new_nonce(1)} and {new_nonce(2)}") == new_nonce(2)


def test_the_right_answer_has_numbered_words_and_its_nonce() -> None:
    words = answer_for("pt-0000000000000001").split()
    assert words[0] == "[pt-0000000000000001]"
    assert len(set(words)) == len(words) == TOKENS + 2
    assert answer_for("").startswith("[no-nonce]")


def test_a_call_survives_being_written_and_read() -> None:
    whole = call(3, messages=[{"role": "user", "content": "hi"}], closed_by="client", bytes=7, status=200)
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Call) == whole
