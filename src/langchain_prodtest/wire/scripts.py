"""Script files: what fake providers answer, as TOML or JSON, checked before anything is served.

```toml
[[rule]]                                  # the first rule that fits a request answers it
match    = { provider = "anthropic" }     # the fields of Match; left out: every request
sequence = [{ status = 529 }, { text = "At last." }]

[[rule]]
always   = { how = "stall", after = 5 }   # a step has the fields of a Fault or of a Reply
```
"""

import tomllib
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from langchain_prodtest.config import decode_toml
from langchain_prodtest.errors import ScriptError, UsageError, unknown_name
from langchain_prodtest.script import Fault, Match, Reply, Script, Step, ToolCall, Usage

__all__ = ["Rule", "add_rules", "decode_rules", "read_rules", "schema"]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Who is answered (`match`), and how: by the steps of a `sequence`, one each, or `always` by the same.

    Requests after a sequence are unexpected, or with `then_default` get the default answer.
    """

    match: Match
    sequence: tuple[Step, ...] = ()
    always: Step | None = None
    then_default: bool = False


class _Table(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as it is written, its steps not yet decoded."""

    match: Match = Match()
    sequence: tuple[dict[str, Any], ...] = ()
    always: dict[str, Any] | None = None
    then_default: bool = False


class _File(msgspec.Struct, frozen=True):
    rule: list[_Table] = []


def read_rules(path: Path, providers: Collection[str]) -> list[Rule]:
    """Read a script file for these providers; UsageError names the file, the rule, the key and the fix."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    return decode_rules(text, str(path), providers)


def decode_rules(text: str, where: str, providers: Collection[str]) -> list[Rule]:
    """Decode a script, JSON if it begins with `{`, else TOML; UsageError as `read_rules`."""
    try:
        table = msgspec.json.decode(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{where}: {error}") from None
    rules = decode_toml(table, _File, where).rule
    return [_rule(rule, f"{where} [rule {n}]", providers) for n, rule in enumerate(rules, start=1)]


def _rule(table: _Table, where: str, providers: Collection[str]) -> Rule:
    if table.match.provider and table.match.provider not in providers:
        raise UsageError(f"{where}: {unknown_name('provider', table.match.provider, providers)}")
    if bool(table.sequence) == (table.always is not None):
        raise UsageError(f"{where}: give either a sequence of steps or one step as always")
    if table.then_default and not table.sequence:
        raise UsageError(f"{where}: then_default belongs to a sequence; always has no end")
    return Rule(
        match=table.match,
        sequence=tuple(_step(step, f"{where} [step {n}]") for n, step in enumerate(table.sequence, start=1)),
        always=None if table.always is None else _step(table.always, f"{where} [always]"),
        then_default=table.then_default,
    )


def _step(table: dict[str, Any], where: str) -> Step:
    reply, fault = set(Reply.__struct_fields__), set(Fault.__struct_fields__)
    for key in table:
        if key not in reply | fault:
            raise UsageError(f"{where}: {unknown_name('key', key, reply | fault)}")
    if isinstance(table.get("usage"), dict):
        decode_toml(table["usage"], Usage, f"{where} [usage]")
    try:
        if fault & table.keys():
            return decode_toml(table, Fault, where)
        return decode_toml(table, Reply, where)
    except ScriptError as error:
        raise UsageError(f"{where}: {error}") from None


def add_rules(rules: Sequence[Rule], script: Script, until: ExitStack) -> None:
    """Put `rules` on top of what `script` has; those with `always` go when `until` is closed."""
    for rule in reversed(rules):
        if rule.always is not None:
            until.enter_context(script.always(rule.always, rule.match))
        else:
            script.add(*rule.sequence, match=rule.match, then_default=rule.then_default)


def schema() -> dict[str, Any]:
    """Return the JSON schema of a script file."""
    types = (Match, Reply, Fault, ToolCall, Usage)
    (match, reply, fault, *_), parts = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    step = {"anyOf": [reply, fault]}
    rule = {
        "match": match,
        "sequence": {"type": "array", "items": step, "minItems": 1},
        "always": step,
        "then_default": {"type": "boolean", "default": False},
    }
    one_of = [{"required": ["sequence"]}, {"required": ["always"]}]
    return {
        "$schema": _DRAFT,
        "title": "Script of fake providers",
        **_closed({"rule": {"type": "array", "items": {**_closed(rule), "oneOf": one_of}}}),
        "$defs": {name: {**part, "additionalProperties": False} for name, part in parts.items()},
    }


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}
