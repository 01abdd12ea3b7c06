"""Script files: what they mean, and what a mistake in one says."""

import json
import tomllib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from langchain_prodtest.errors import UsageError
from langchain_prodtest.script import Fault, Match, Reply, Request, Script, ToolCall, Usage
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


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[rules]]", 'unknown key "rules". Did you mean "rule"'),
        ("[[rule]]", r"\[rule 1\]: give either a sequence of steps or one step as always"),
        ("[[rule]]\nsequence = []", "give either a sequence"),
        ('[[rule]]\nsequence = [{text = "a"}]\nalways = {status = 500}', "give either a sequence"),
        ("[[rule]]\nalways = {status = 500}\nthen_default = true", "then_default belongs to a sequence"),
        ("[[rule]]\nalways = {statsu = 500}", r'\[always\]: unknown key "statsu". Did you mean "status"'),
        ("[[rule]]\nalwys = {status = 500}", 'unknown key "alwys". Did you mean "always"'),
        ('[[rule]]\nsequence = [{text = "a"}, {status = 200}]', r"\[rule 1\] \[step 2\]: .*400 to 599"),
        ('[[rule]]\nalways = {status = "500"}', r"\[always\]: Expected `int \| null`, got `str`"),
        ('[[rule]]\nalways = {how = "sulk"}', "Invalid enum value 'sulk'"),
        ('[[rule]]\nalways = {text = "a", status = 500}', 'unknown key "text"'),
        ("[[rule]]\nalways = {usage = {inptu = 1}}", r'\[usage\]: unknown key "inptu". Did you mean "input"'),
        ("[[rule]]\nalways = {tool_calls = [{nmae = 1}]}", 'unknown key "nmae". Did you mean "name"'),
        ('[[rule]]\nmatch = {modle = "m"}', 'unknown key "modle". Did you mean "model"'),
        ('[[rule]]\nmatch = {provider = "antropic"}\nalways = {}', 'Did you mean "anthropic"'),
        ("[[rule]\n", "line 1"),
        ('{"rule": [', "truncated"),
        ('{"rule": 1}', "Expected `array`"),
        ("rule = [1]", "Expected `object`"),
    ],
)
def test_a_mistake_is_named_with_file_place_and_fix(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "sick.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=says) as caught:
        read_rules(file, PROVIDERS)
    assert str(caught.value).startswith(str(file))


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    for name in ("missing.toml", "binary.toml"):
        with pytest.raises(UsageError, match=f"{name} cannot be read"):
            read_rules(tmp_path / name, PROVIDERS)


@pytest.mark.parametrize(
    ("table", "valid"),
    [
        (tomllib.loads(GOOD), True),
        ({}, True),
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
