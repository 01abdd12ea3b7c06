"""Script files: what they mean, and what a mistake in one says."""

import json
import re
import time
import tomllib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_prodtest.errors import UsageError
from langchain_prodtest.script import Fault, Match, Reply, Request, Script, ToolCall, Usage
from langchain_prodtest.wire.clauses import Chance, ColdStart, Pace, Quota, Slots, Window
from langchain_prodtest.wire.pace import Lognormal
from langchain_prodtest.wire.scripts import Rule, add_rules, decode_rules, read_rules, schema

PROVIDERS = ["openai", "anthropic"]
GOOD = """
[[rule]]
match    = { provider = "anthropic", contains = "refund" }
sequence = [
  { status = 529, retry_after = 2 },
  { text = "At last.", usage = { input = 9, cached = 4 }, tool_calls = [{ name = "a", args = { b = 1 } }] },
]
then_default = true

[[rule]]
always = { how = "stall", after = 5 }
"""
RULES = [
    Rule(
        match=Match(provider="anthropic", contains="refund"),
        sequence=(
            Fault(status=529, retry_after=2),
            Reply("At last.", tool_calls=[ToolCall("a", {"b": 1})], usage=Usage(input=9, cached=4)),
        ),
        then_default=True,
    ),
    Rule(match=Match(), always=Fault(how="stall", after=5)),
]


def asked(provider: str, text: str = "") -> Request:
    return Request(provider=provider, messages=[{"role": "user", "content": text}])


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    as_toml, as_json = tmp_path / "a.toml", tmp_path / "a.json"
    as_toml.write_text(GOOD)
    as_json.write_text(json.dumps(tomllib.loads(GOOD)))
    assert read_rules(as_toml, PROVIDERS) == read_rules(as_json, PROVIDERS) == RULES


def test_the_first_rule_that_fits_answers_and_a_sequence_ends_as_told() -> None:
    script = Script(default=lambda request: Reply("default"))
    with ExitStack() as until:
        add_rules(RULES, script, until)
        assert script.next(asked("openai", "refund")) == Fault(how="stall", after=5)
        refund = asked("anthropic", "a refund")
        assert [script.next(refund), script.next(refund)] == list(RULES[0].sequence)
        assert script.next(refund) == Fault(how="stall", after=5)  # the next rule that fits
    assert script.next(refund) == Reply("default")


def test_rules_go_on_top_of_those_before() -> None:
    script = Script()
    with ExitStack() as until:
        add_rules(decode_rules('{"rule": [{"always": {"text": "old"}}]}', "", PROVIDERS), script, until)
        add_rules(decode_rules('{"rule": [{"sequence": [{"text": "new"}]}]}', "", PROVIDERS), script, until)
        assert [script.next(asked("openai")), script.next(asked("openai"))] == [Reply("new"), Reply("old")]


CLAUSES = """
[[rule]]
match  = { model = "small" }
quota  = { requests = 60, tokens = 9000, dialect = "anthropic" }
window = { start = 5 }

[[rule]]
always    = { status = 503 }
sometimes = { probability = 0.5, seed = 3 }
window    = { start = 30, end = 60 }

[[rule]]
slots = { count = 2, queue = 4, status = 503, slower = 0.1 }

[[rule]]
cold_start = { idle = 300, delay = 8 }

[[rule]]
pace = { first_token = [0.4, 0.6], per_chunk = { median = 0.05, sigma = 0.5 }, seed = 7 }
"""


def test_clauses_say_what_scripts_in_python_say() -> None:
    quota, chance, slots, cold, pace = decode_rules(CLAUSES, "", PROVIDERS)
    assert quota.quota == Quota(requests=60, tokens=9000, dialect="anthropic")
    assert (quota.window, quota.match) == (Window(start=5), Match(model="small"))
    assert chance == Rule(
        always=Fault(status=503), sometimes=Chance(probability=0.5, seed=3), window=Window(start=30, end=60)
    )
    assert slots == Rule(slots=Slots(count=2, queue=4, status=503, slower=0.1))
    assert cold == Rule(cold_start=ColdStart(idle=300, delay=8))
    times = Pace(first_token=[0.4, 0.6], per_chunk=Lognormal(median=0.05, sigma=0.5), seed=7)
    assert pace == Rule(pace=times)


def answers(text: str, times: int, folder: Path | None = None) -> list[Reply | Fault | None]:
    script = Script(default=lambda request: Reply("a b c"))
    with ExitStack() as until:
        add_rules(decode_rules(text, "", PROVIDERS, folder), script, until)
        return [script.next(asked("openai")) for _ in range(times)]


def seconds(text: str, times: int, folder: Path | None = None) -> list[int | None]:
    """When the third piece of each answer is due, or its status."""
    steps = answers(text, times, folder)
    return [
        round(step.due(2)) if isinstance(step, Reply) else getattr(step, "status", None) for step in steps
    ]


def test_a_quota_in_a_file_refuses_what_is_beyond_it() -> None:
    assert seconds("[[rule]]\nquota = { requests = 2 }", 3) == [0, 0, 429]


def test_slots_in_a_file_are_taken_for_the_time_that_the_pace_below_gives() -> None:
    rules = "[[rule]]\nslots = { count = 1, queue = 1, status = 503 }\n[[rule]]\npace = { per_chunk = 50 }"
    assert seconds(rules, 3) == [100, 200, 503]


def test_a_cold_start_in_a_file_makes_the_first_answers_late() -> None:
    assert seconds("[[rule]]\ncold_start = { idle = 900, delay = 500 }", 2) == [500, 500]


def test_chance_in_a_file_is_that_of_python() -> None:
    script = Script(default=lambda request: Reply("a b c"))
    script.sometimes(Fault(status=503), 0.3, seed=9)
    rule = "[[rule]]\nalways = { status = 503 }\nsometimes = { probability = 0.3, seed = 9 }"
    assert answers(rule, 50) == [script.next(asked("openai")) for _ in range(50)]


def test_a_window_in_a_file_counts_from_its_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    text = "\n".join(
        [
            "[[rule]]\nalways = { status = 503 }\nwindow = { start = 10, end = 20 }",
            "[[rule]]\nalways = { status = 504 }\nsometimes = { probability = 1 }\nwindow = { start = 30 }",
            "[[rule]]\npace = { first_token = 7 }\nwindow = { end = 5 }",
        ]
    )
    script = Script(default=lambda request: Reply("a b c"))
    seen = []
    with ExitStack() as until:
        add_rules(decode_rules(text, "", PROVIDERS), script, until)
        for clock[0] in (104.9, 105.0, 110.0, 120.0, 130.0):
            step = script.next(asked("openai"))
            seen.append(step.first_token or step.gap(0) if isinstance(step, Reply) else step and step.status)
    assert seen == [7, 0, 503, 0, 504]


def test_each_loading_of_a_rule_begins_anew() -> None:
    rules = decode_rules("[[rule]]\nquota = { requests = 1 }", "", PROVIDERS)
    for _ in range(2):
        script = Script()
        with ExitStack() as until:
            add_rules(rules, script, until)
            assert [isinstance(script.next(asked("openai")), Fault) for _ in range(2)] == [False, True]


def test_a_trace_is_read_from_a_file_beside_the_script(tmp_path: Path) -> None:
    (tmp_path / "gaps.txt").write_text("1\n20\n 300\n4000")
    script = tmp_path / "sick.toml"
    script.write_text('[[rule]]\npace = { first_token = 4000, per_chunk = "gaps.txt" }')
    (rule,) = read_rules(script, PROVIDERS)
    assert rule.pace == Pace(first_token=4000, per_chunk=[1, 20, 300, 4000])
    assert seconds(script.read_text(), 2, tmp_path) == [4021, 8001]


@pytest.mark.parametrize(
    ("trace", "says"),
    [
        (None, "No such file"),
        ("", "at least one time"),
        ("0.1 x", "'x'"),
        ("-1", "not negative"),
        ("nan", "not negative"),
    ],
)
def test_a_trace_that_is_none_is_named(tmp_path: Path, trace: str | None, says: str) -> None:
    if trace is not None:
        (tmp_path / "gaps.txt").write_text(trace)
    script = tmp_path / "sick.toml"
    script.write_text('[[rule]]\npace = { first_token = "gaps.txt" }')
    with pytest.raises(UsageError, match=says) as caught:
        read_rules(script, PROVIDERS)
    assert re.match(rf"{script}:2 \[rule 1\]: ", str(caught.value))


def test_who_sends_a_script_cannot_have_files_read() -> None:
    with pytest.raises(UsageError, match=r"script:2 \[rule 1\]: a trace is a list of seconds here"):
        decode_rules('[[rule]]\npace = { per_chunk = "/etc/passwd" }', "script", PROVIDERS)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", "", "there is no [[rule]] in it"),
        ("# nothing\n", "", "there is no [[rule]] in it"),
        ('{"rule": []}', ":1", "there is no [[rule]] in it"),
        ("\n[[rules]]", ":2", 'unknown key "rules". Did you mean "rule"'),
        ("[[rule]]", ":1 [rule 1]", "give one of sequence, always, quota, slots, cold_start, pace, not none"),
        ("[[rule]]\nsequence = []", ":1 [rule 1]", "give one of sequence"),
        (
            '[[rule]]\nsequence = [{text = "a"}]\nalways = {status = 500}',
            ":3 [rule 1]",
            "not sequence and always",
        ),
        ("[[rule]]\npace = {}\nquota = {requests = 1}", ":2 [rule 1]", "not quota and pace"),
        (
            "[[rule]]\nalways = {status = 500}\nthen_default = true",
            ":3 [rule 1]",
            "then_default belongs to sequence, not to always",
        ),
        (
            "[[rule]]\nquota = {requests = 1}\nsometimes = {probability = 1}",
            ":3 [rule 1]",
            "sometimes belongs to always",
        ),
        ("[[rule]]\nsequence = [{}]\nwindow = {}", ":3 [rule 1]", "window belongs to always, quota"),
        ("[[rule]]\nalways = {}\nwindow = {start = 5, end = 5}", ":2 [rule 1]", "window: the start"),
        ("[[rule]]\nalways = {}\nwindow = {strat = 5}", ":3 [rule 1]", 'Did you mean "start"'),
        (
            '[[rule]]\nalways = {how = "refuse"}\nsometimes = {probability = 0.5}',
            ":2 [rule 1]",
            'Use how="reset"',
        ),
        ("[[rule]]\nalways = {}\nsometimes = {probability = 1.5}", ":3 [rule 1]", "<= 1.0"),
        ("[[rule]]\nquota = {}", ":2 [rule 1]", "give requests, tokens or both"),
        ("[[rule]]\nquota = {requests = 0}", ":2 [rule 1]", ">= 1"),
        ("[[rule]]\nslots = {queue = 1}", ":2 [rule 1]", "missing required field `count`"),
        ("[[rule]]\npace = {}\n[[rule]]\nslots = {count = 1}", ":4 [rule 2]", "slots stand above pace"),
        ("[[rule]]\ncold_start = {idle = inf, delay = 1}", ":2 [rule 1]", "idle and delay are seconds"),
        ("[[rule]]\npace = {first_token = nan}", ":2 [rule 1]", ">= 0"),
        ("[[rule]]\npace = {per_chunk = {median = 0, sigma = 1}}", ":2 [rule 1]", "> 0"),
        ("[[rule]]\npace = {per_chunk = {meidan = 1, sigma = 1}}", ":2 [rule 1]", 'Did you mean "median"'),
        ("[[rule]]\npace = {first_token = true}", ":2 [rule 1]", "got `bool`"),
        (
            "[[rule]]\nalways = {statsu = 500}",
            ":2 [rule 1] [always]",
            'unknown key "statsu". Did you mean "status"',
        ),
        ("[[rule]]\nalwys = {status = 500}", ":2 [rule 1]", 'unknown key "alwys". Did you mean "always"'),
        (
            '[[rule]]\nsequence = [\n{text = "a"},\n{status = 200}]',
            ":4 [rule 1] [step 2]",
            "400 to 599",
        ),
        (
            '[[rule]]\nsequence = [{status = 500},\n{delay = 0, status = "500"}]',
            ":3 [rule 1] [step 2]",
            "Expected `int | null`, got `str`",
        ),
        ('[[rule]]\nalways = {how = "sulk"}', ":2 [rule 1] [always]", "Invalid enum value 'sulk'"),
        ('[[rule]]\nalways = {text = "a", status = 500}', ":2 [rule 1] [always]", 'unknown key "text"'),
        ("[[rule]]\nalways = {first_token = nan}", ":2 [rule 1] [always]", "cannot be negative"),
        (
            "[[rule]]\n[rule.always]\n[rule.always.usage]\ninptu = 1",
            ":4 [rule 1] [always]",
            '[usage]: unknown key "inptu". Did you mean "input"',
        ),
        (
            "[[rule]]\nalways = {tool_calls = [{nmae = 1}]}",
            ":2 [rule 1] [always]",
            '[tool_calls]: unknown key "nmae". Did you mean "name"',
        ),
        (
            '[[rule]]\nmatch = {modle = "m"}',
            ":2 [rule 1]",
            '[match]: unknown key "modle". Did you mean "model"',
        ),
        (
            '[[rule]]\nmatch = {provider = "antropic"}\nalways = {}',
            ":2 [rule 1]",
            'Did you mean "anthropic"',
        ),
        ("[[rule]]\n[[rule]\n", ":2", "Expected ']]'"),
        ("[[rule]]\nalways = {}\nalways = {}", "", "overwrite"),
        ('{"rule": [', ":1", "Expecting value"),
        ('[[rule]]\n"a\\nb" = 1', ":1 [rule 1]", 'unknown key "a b"'),
        ('{\n"rule": [{"always": {"statsu": 1}}]}', ":2 [rule 1] [always]", 'unknown key "statsu"'),
        ('{"rule": 1}', ":1", "Expected `array`"),
        ("rule = [1]", ":1", "Expected `object`"),
        ("just words", ":1", "Expected '='"),
        ("a = " + "[" * 5000, "", "nested too deeply"),
        ('{"rule":' + "[" * 200_000, "", "nested too deeply"),
        ('{"rule":' + '{"a":' * 900 + "1" + "}" * 901, "", "Expected `array`"),
        (
            '[[rule]]\nalways = {tool_calls = [{name = "a", args = '
            + "{a = " * 200
            + "1"
            + "}" * 200
            + "}, 1]}",
            ":2 [rule 1] [always]",
            "Expected `object`",
        ),
    ],
)
def test_a_mistake_is_one_line_with_file_line_place_and_fix(
    tmp_path: Path, text: str, line: str, says: str
) -> None:
    file = tmp_path / "sick.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_rules(file, PROVIDERS)
    told = str(caught.value)
    assert told.startswith(f"{file}{line}: ")
    assert says in told
    assert "\n" not in told


def test_a_file_that_cannot_be_a_script_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "nul.toml").write_bytes(b"\x00")
    (tmp_path / "huge.toml").write_bytes(b"#" * (10 * 1024 * 1024 + 1))
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "loop.toml").symlink_to(tmp_path / "loop.toml")
    for name, says in {
        "missing.toml": "cannot be read: No such file or directory",
        "folder.toml": "cannot be read: Is a directory",
        "loop.toml": "cannot be read: Too many levels of symbolic links",
        "binary.toml": "cannot be read: it is no text in UTF-8",
        "huge.toml": "cannot be read: it is larger than 10485760 bytes",
        "nul.toml": "Invalid statement",
    }.items():
        with pytest.raises(UsageError, match=rf"{name}.*{says}"):
            read_rules(tmp_path / name, PROVIDERS)
    with pytest.raises(UsageError, match="/dev/zero cannot be read: it is larger"):
        read_rules(Path("/dev/zero"), PROVIDERS)


def test_a_byte_order_mark_and_windows_lines_are_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "windows.toml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert read_rules(file, PROVIDERS) == RULES


@pytest.mark.parametrize(
    ("table", "valid"),
    [
        (tomllib.loads(GOOD), True),
        (tomllib.loads(CLAUSES), True),
        ({}, False),
        ({"rule": []}, False),
        ({"rule": [{"quota": {"requests": 0}}]}, False),
        ({"rule": [{"quota": {"requests": 1}, "pace": {}}]}, False),
        ({"rule": [{"slots": {"queue": 1}}]}, False),
        ({"rule": [{"pace": {"per_chunk": {"median": 1}}}]}, False),
        ({"rule": [{"pace": {"per_chunk": [0.1, "a"]}}]}, False),
        ({"rule": [{"always": {}, "sometimes": {"probability": 2}}]}, False),
        ({"rule": [{"sequence": [{}], "sometimes": {"probability": 1}}]}, False),
        ({"rule": [{"sequence": [{}], "window": {"end": 5}}]}, False),
        ({"rule": [{"always": {}, "then_default": True}]}, False),
        ({"rule": [{"always": {"statsu": 500}}]}, False),
        ({"rule": [{"always": {"how": "sulk"}}]}, False),
        ({"rule": [{"match": {}}]}, False),
        ({"rule": [{"always": {}, "sequence": [{}]}]}, False),
    ],
)
def test_the_schema_agrees_with_the_decoder(table: dict[str, Any], valid: bool) -> None:
    validator = jsonschema.Draft202012Validator(schema())
    validator.check_schema(schema())
    assert validator.is_valid(table) == valid
    try:
        decode_rules(json.dumps(table), "", PROVIDERS)
    except UsageError:
        assert not valid
    else:
        assert valid


PIECES = [
    "[",
    "]",
    "{",
    "}",
    '"',
    "'",
    '"""',
    ",",
    "=",
    "\n",
    "#",
    "nan",
    "-1",
    "1e999",
    "true",
    '"\\n"',
    "é",
    "pace",
    "9" * 30,
]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_whatever_becomes_of_a_script_it_is_read_or_refused_in_one_line(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([GOOD, CLAUSES, json.dumps(tomllib.loads(CLAUSES), indent=1)]))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.sampled_from([0, 1, 3, 20]))
        text = text[:start] + data.draw(st.sampled_from(["", *PIECES])) + text[end:]
    told = ""
    try:
        assert decode_rules(text, "sick", PROVIDERS)
    except UsageError as error:
        told = str(error)
    assert re.fullmatch(r"(sick(:\d+)?( \[[a-z]+( \d+)?\])*: .*)?", told)
