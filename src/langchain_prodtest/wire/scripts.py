"""Script files: what fake providers answer, as TOML or JSON, checked before anything is served.

```toml
[[rule]]                                  # the first rule that fits a request answers it
match    = { provider = "anthropic" }     # the fields of Match; left out: every request
sequence = [{ status = 529 }, { text = "At last." }]

[[rule]]
always   = { how = "stall", after = 5 }   # a step has the fields of a Fault or of a Reply
window   = { start = 60, end = 90 }

[[rule]]
pace     = { first_token = 0.3, per_chunk = 0.02 }   # what the rules below, or the default, answer
```
"""

import json
import math
import re
import tomllib
from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from langchain_prodtest.config import decode_toml
from langchain_prodtest.errors import ScriptError, UsageError, unknown_name
from langchain_prodtest.script import Fault, Match, Reply, Script, Step, ToolCall, Usage
from langchain_prodtest.wire.clauses import Chance, Clause, ColdStart, Pace, Quota, Slots, Window
from langchain_prodtest.wire.pace import Lognormal
from langchain_prodtest.wire.places import Place, places

__all__ = ["Rule", "add_rules", "decode_rules", "read_rules", "schema"]

T = TypeVar("T")

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_LARGEST = 10 * 1024 * 1024
_DOES = ("sequence", "always", "quota", "slots", "cold_start", "pace")
_BELONGS = {"then_default": ("sequence",), "sometimes": ("always",), "window": _DOES[1:]}
_EMPTY = "there is no [[rule]] in it. Write one, as in the guide on serving, or leave the script out."


class _Written(msgspec.Struct, frozen=True, kw_only=True):
    """What rules have besides steps."""

    match: Match = Match()
    window: Window | None = None
    then_default: bool = False
    sometimes: Chance | None = None
    quota: Quota | None = None
    slots: Slots | None = None
    cold_start: ColdStart | None = None
    pace: Pace | None = None


class Rule(_Written, frozen=True, kw_only=True):
    """Who is answered (`match`) when (`window`), and how: by steps, or by one of the clauses.

    The steps of a `sequence` come one each, `always` the same step, or only by chance (`sometimes`). Requests
    after a sequence are unexpected, or with `then_default` get the default answer. A clause lets requests
    through, refuses them, or changes what the rules below answer.
    """

    sequence: tuple[Step, ...] = ()
    always: Step | None = None

    @property
    def clause(self) -> Clause | None:
        """What it says instead of steps."""
        return self.quota or self.slots or self.cold_start or self.pace


class _Table(_Written, frozen=True, kw_only=True):
    """A rule as it is written, its steps not yet decoded."""

    sequence: tuple[dict[str, Any], ...] = ()
    always: dict[str, Any] | None = None


class _File(msgspec.Struct, frozen=True):
    rule: list[dict[str, Any]] = []


class _Mistake(Exception):  # noqa: N818 - the user's
    """What is wrong at a place of the script, with the `key` inside it that is wrong if one is known."""

    def __init__(self, place: Place, message: str, key: str = "") -> None:
        super().__init__(message)
        self.place, self.key = place, key

    def told(self, text: str, where: str) -> UsageError:
        """Return it with its line in `text`, its rule and its step."""
        known: dict[Place, int] = {}
        with suppress(RecursionError):
            known = places(text)
        inside = [place for place in known if place[: len(self.place)] == self.place]
        keyed = [place for place in inside if self.key in place[len(self.place) :]]
        line = f":{known[(keyed or inside)[0]]}" if inside else ""
        names = ["step" if part == "sequence" else part for part in self.place if isinstance(part, str)]
        numbers = [f" {part + 1}" for part in self.place if isinstance(part, int)]
        label = "".join(f" [{name}{number}]" for name, number in zip_longest(names, numbers, fillvalue=""))
        return UsageError(f"{where}{line}{label}: {' '.join(str(self).splitlines())}")


def read_rules(path: Path, providers: Collection[str]) -> list[Rule]:
    """Read a script file for these providers; UsageError names the file, the line, the rule and the fix."""
    return decode_rules(_read(path), str(path), providers, path.parent)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} cannot be read: it is no text in UTF-8") from None
    if len(data) > _LARGEST:
        raise UsageError(f"{path} cannot be read: it is larger than {_LARGEST} bytes")
    return text


def decode_rules(text: str, where: str, providers: Collection[str], folder: Path | None = None) -> list[Rule]:
    """Decode a script, JSON if it begins with `{`, else TOML; UsageError as `read_rules`.

    Traces are read from files in `folder`; without one, a script cannot name files.
    """
    try:
        table = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
        return _rules(table, providers, folder)
    except json.JSONDecodeError as error:
        raise UsageError(f"{where}:{error.lineno}: {error.msg} (column {error.colno})") from None
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        raise UsageError(f"{where}{f':{found[1]}' if found else ''}: {error}") from None
    except RecursionError:
        raise UsageError(f"{where}: it is nested too deeply") from None
    except _Mistake as mistake:
        raise mistake.told(text, where) from None


def _rules(table: dict[str, Any], providers: Collection[str], folder: Path | None) -> list[Rule]:
    tables = _decoded(table, _File, ()).rule
    if not tables:
        raise _Mistake((), _EMPTY)
    rules: list[Rule] = []
    for number, raw in enumerate(tables):
        place = ("rule", number)
        rule = _rule(_decoded(raw, _Table, place), place, providers, folder)
        if rule.slots and any(above.pace for above in rules):
            raise _Mistake(
                place, "slots stand above pace: they are taken for the time that it gives", "slots"
            )
        rules.append(rule)
    return rules


def _rule(table: _Table, place: Place, providers: Collection[str], folder: Path | None) -> Rule:
    if table.match.provider and table.match.provider not in providers:
        raise _Mistake(place, unknown_name("provider", table.match.provider, providers), "provider")
    does = [name for name in _DOES if getattr(table, name) not in (None, ())]
    if len(does) != 1:
        raise _Mistake(
            place, f"give one of {', '.join(_DOES)}, not {' and '.join(does) or 'none'}", *does[1:2]
        )
    for name, owners in _BELONGS.items():
        if getattr(table, name) and does[0] not in owners:
            raise _Mistake(place, f"{name} belongs to {', '.join(owners)}, not to {does[0]}", name)
    steps = [_step(step, (*place, "sequence", number)) for number, step in enumerate(table.sequence)]
    given = {name: getattr(table, name) for name in _Table.__struct_fields__}
    given["sequence"] = tuple(steps)
    given["always"] = None if table.always is None else _step(table.always, (*place, "always"))
    given["pace"] = None if table.pace is None else _with_traces(table.pace, place, folder)
    rule = Rule(**given)
    try:
        with ExitStack() as tried:
            add_rules([rule], Script(), tried)
    except ScriptError as error:
        raise _Mistake(place, str(error), does[0]) from None
    return rule


def _step(table: dict[str, Any], place: Place) -> Step:
    reply, fault = set(Reply.__struct_fields__), set(Fault.__struct_fields__)
    for key in table:
        if key not in reply | fault:
            raise _Mistake(place, unknown_name("key", key, reply | fault), key)
    return _decoded(table, Fault, place) if fault & table.keys() else _decoded(table, Reply, place)


def _with_traces(pace: Pace, place: Place, folder: Path | None) -> Pace:
    traces: dict[str, list[float]] = {}
    for key in ("first_token", "per_chunk"):
        name = getattr(pace, key)
        if isinstance(name, str):
            if folder is None:
                raise _Mistake(
                    place, "a trace is a list of seconds here; only a script file can name a file", key
                )
            try:
                traces[key] = [float(word) for word in _read(folder / name).split()]
            except (UsageError, ValueError) as error:
                raise _Mistake(
                    place, f"a trace has seconds, separated by white space: {error}", key
                ) from None
    return msgspec.structs.replace(pace, **traces)


def _decoded(table: dict[str, Any], kind: type[T], place: Place) -> T:
    try:
        return decode_toml(table, kind, "")
    except (UsageError, ScriptError) as error:
        message = str(error).removeprefix(": ").strip()
        key = re.search(r'unknown key "([^"]*)"|(\w+)[^\w`]*`$', message)
        raise _Mistake(place, message, (key[1] or key[2]) if key else "") from None


def add_rules(rules: Sequence[Rule], script: Script, until: ExitStack) -> None:
    """Put `rules` on top of what `script` has; those with `always` go when `until` is closed."""
    for rule in reversed(rules):
        start, end = window = (0.0, math.inf) if rule.window is None else rule.window.times
        if rule.clause is not None:
            script.rule(rule.clause.rule(), rule.match, window)
        elif rule.always is None:
            script.add(*rule.sequence, match=rule.match, then_default=rule.then_default)
        elif rule.sometimes is not None:
            chance = rule.sometimes
            script.sometimes(rule.always, chance.probability, chance.seed, rule.match, window)
        elif rule.window is not None:
            script.window(rule.always, start, end - start, rule.match)
        else:
            until.enter_context(script.always(rule.always, rule.match))


def schema() -> dict[str, Any]:
    """Return the JSON schema of a script file."""
    clauses = {"quota": Quota, "slots": Slots, "cold_start": ColdStart, "pace": Pace}
    others = {"match": Match, "window": Window, "sometimes": Chance, **clauses}
    types = (Reply, Fault, *others.values(), ToolCall, Usage, Lognormal)
    (reply, fault, *found), parts = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    step = {"anyOf": [reply, fault]}
    rule = {
        **dict(zip(others, found, strict=False)),
        "sequence": {"type": "array", "items": step, "minItems": 1},
        "then_default": {"type": "boolean", "default": False},
        "always": step,
    }
    closed = _closed(rule) | {
        "oneOf": [{"required": [name]} for name in _DOES],
        "dependentSchemas": {
            name: {"anyOf": [{"required": [owner]} for owner in owners]} for name, owners in _BELONGS.items()
        },
    }
    return {
        "$schema": _DRAFT,
        "title": "Script of fake providers",
        **_closed({"rule": {"type": "array", "items": closed, "minItems": 1}}),
        "required": ["rule"],
        "$defs": {name: {**part, "additionalProperties": False} for name, part in parts.items()},
    }


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}
