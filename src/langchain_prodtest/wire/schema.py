"""Values for JSON schemas, taken from a prompt where it names them, else made up.

What is returned is valid by `validity`. Where nothing valid is found (a schema that nothing obeys, a pattern
with look-around, a `not` that excludes all that is tried), the last value that was tried is returned.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from functools import reduce
from itertools import chain
from random import Random
from typing import Any

from langchain_prodtest.wire.hints import Hints
from langchain_prodtest.wire.pattern import matching
from langchain_prodtest.wire.readable import readable
from langchain_prodtest.wire.validity import canonical, referred, valid

__all__ = ["example"]

_DEEPEST = 16  # levels of nesting
_RICH = 2  # levels in which optional properties and items are given too
_BUDGET = 4000  # values tried for one schema
_FORMATS = {
    "date": "2026-03-{:02d}",
    "date-time": "2026-03-{:02d}T12:00:00Z",
    "time": "12:00:{:02d}Z",
    "duration": "PT{}M",
    "email": "user{}@example.com",
    "hostname": "host{}.example.com",
    "ipv4": "192.0.2.{}",
    "ipv6": "2001:db8::{}",
    "uri": "https://example.com/{}",
    "url": "https://example.com/{}",
    "uuid": "00000000-0000-4000-8000-{:012d}",
}
_MARKS = (
    ("object", ("properties", "required", "additionalProperties", "minProperties", "patternProperties")),
    ("array", ("items", "prefixItems", "minItems", "contains", "uniqueItems")),
    ("string", ("pattern", "format", "minLength", "maxLength")),
    ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
)  # fmt: skip
_WEIGHTS = {"array": 2, "object": 3}


class _Impossible(Exception):  # noqa: N818 - a turn of the search
    """Nothing valid was found here."""


def example(schema: Any, hints: Hints, seed: int = 0) -> Any:
    """Return a value that obeys `schema`; the same for the same schema, prompt and seed.

    Keywords that are malformed are not looked at.
    """
    try:
        root = readable(schema)
    except RecursionError:
        return {}
    maker = _Maker(root, hints, Random(seed))
    try:
        return maker.make(root, 0, "")
    except (_Impossible, RecursionError):
        return maker.last


class _Maker:
    """One search for a value."""

    def __init__(self, root: Any, hints: Hints, random: Random) -> None:
        self._root, self._hints, self._random = root, hints, random
        self._tried = 0
        self.last: Any = {}

    def make(self, schema: Any, depth: int, name: str) -> Any:
        """Return a valid value for `schema`, an argument called `name`; raise where none is found."""
        self._tried += 1
        if depth > _DEEPEST or self._tried > _BUDGET:
            raise _Impossible
        for flat in self._alternatives(schema, depth):
            for value in self._candidates(flat, depth, name):
                if valid(value, schema, self._root):
                    self._hints.use(value)
                    return value
                if depth == 0:
                    self.last = value
        raise _Impossible

    def _alternatives(self, schema: Any, depth: int, turns: int = 0) -> Iterator[dict[str, Any]]:
        """Yield the schemas without references and combinations of which one must be obeyed."""
        if not isinstance(schema, dict):
            if schema is not False:
                yield {}
            return
        if turns > _DEEPEST:
            return
        rest = dict(schema)
        if "$ref" in rest:
            target = referred(rest.pop("$ref"), self._root)
            options = [target]
        elif "allOf" in rest:
            options = [reduce(_both, rest.pop("allOf"))]
        elif "anyOf" in rest or "oneOf" in rest:
            options = list(rest.pop("anyOf" if "anyOf" in rest else "oneOf"))
            if depth >= _RICH:
                options.sort(key=self._weight)
        elif "if" in rest:
            condition = rest.pop("if")
            options = [_both(condition, rest.pop("then", True)), rest.pop("else", True)]
        else:
            yield rest
            return
        for option in options:
            yield from self._alternatives(_both(rest, option), depth, turns + 1)

    def _weight(self, schema: Any) -> int:
        """Return how deep a schema leads: near the deepest level the lightest is tried first."""
        if not isinstance(schema, dict) or "$ref" in schema:
            return 4
        return max(_WEIGHTS.get(kind, 1) for kind in _types(schema)[:1])

    def _candidates(self, flat: dict[str, Any], depth: int, name: str) -> Iterator[Any]:
        if "const" in flat:
            yield flat["const"]
            return
        if "enum" in flat:
            yield from self._options(flat["enum"], name)
            return
        yield from self._hints.named(name)
        if "default" in flat:
            yield flat["default"]
        for kind in _types(flat):
            with suppress(_Impossible):
                match kind:
                    case "null":
                        yield None
                    case "boolean":
                        first = self._random.random() < 0.5
                        yield from (first, not first)
                    case "string":
                        yield from self._strings(flat, name)
                    case "array":
                        yield from self._arrays(flat, depth, name)
                    case "object":
                        yield from self._objects(flat, depth)
                    case _:
                        yield from self._hints.numbers()
                        yield from self._numbers(flat, whole=kind == "integer")

    def _options(self, options: list[Any], name: str) -> Iterable[Any]:
        """Return the members of an enum, what the prompt says of them first."""
        named = self._hints.named(name)
        shuffled = self._random.sample(options, len(options))
        said = [option for option in shuffled if isinstance(option, str) and self._hints.mentions(option)]
        return chain([value for value in named if value in options], said, shuffled)

    def _strings(self, flat: dict[str, Any], name: str) -> Iterator[str]:
        least, most = flat.get("minLength", 0), flat.get("maxLength", 1_000_000)
        bound = "pattern" in flat or "format" in flat
        yield from self._hints.tokens() if bound else self._hints.strings(name)
        yield from (text for text in flat.get("examples", ()) if isinstance(text, str))
        number = self._random.randint(1, 28)
        if flat.get("format") in _FORMATS:
            yield _FORMATS[flat["format"]].format(number)
        if "pattern" in flat:
            yield from matching(flat["pattern"], self._random)
        text = f"{name or 'text'} {number}"
        yield text
        yield (text + " and more" * (least // 9 + 1))[: max(least, min(most, len(text)))]
        yield "".join(self._random.choice("abcdefghij") for _ in range(min(max(least, 1), most)))

    def _numbers(self, flat: dict[str, Any], *, whole: bool) -> Iterator[int | float]:
        low = max(flat.get("minimum", -math.inf), flat.get("exclusiveMinimum", -math.inf))
        high = min(flat.get("maximum", math.inf), flat.get("exclusiveMaximum", math.inf))
        step = Fraction(flat.get("multipleOf", 1))
        if whole:
            step = Fraction(step.numerator)  # the least whole number that is a multiple
        first = math.ceil(Fraction(low) / step) if math.isfinite(low) else None
        last = math.floor(Fraction(high) / step) if math.isfinite(high) else None
        start = first if first is not None else (last - 100 if last is not None else 1)
        end = max(start, last if last is not None else start + 100)
        for number in (self._random.randint(start, end), start, start + 1, end, end - 1, 0):
            multiple = number * step
            yield int(multiple) if multiple.denominator == 1 else float(multiple)
            if not whole and "multipleOf" in flat:
                yield number * flat["multipleOf"]
        if not whole and math.isfinite(low) and math.isfinite(high):
            yield from (low + (high - low) * part for part in (0.5, 0.25, 0.75, 0.0, 1.0))

    def _arrays(self, flat: dict[str, Any], depth: int, name: str) -> Iterator[list[Any]]:
        least, most = flat.get("minItems", 0), flat.get("maxItems", 1_000_000)
        prefix = flat.get("prefixItems", [])
        item = flat.get("items", True)
        wanted = [flat["contains"]] * flat.get("minContains", 1) if "contains" in flat else []
        parts = [*prefix, *(_both(item, part) for part in wanted)]
        rich = max(self._mentioned(item), len(parts), 1) if depth < _RICH else len(parts)
        for size in dict.fromkeys((min(max(least, rich), most), least, len(parts))):
            with suppress(_Impossible):
                yield self._array([*parts, *[item] * (size - len(parts))][:size], flat, depth, name)
        yield []

    def _mentioned(self, item: Any) -> int:
        """Return how many items of a list the prompt seems to name."""
        kinds = _types(item)[:1] if isinstance(item, dict) else []
        if kinds and kinds[0] in ("integer", "number"):
            return len(self._hints.numbers())
        return len(self._hints.strings("")) if kinds == ["string"] and "enum" not in item else 0

    def _array(self, parts: list[Any], flat: dict[str, Any], depth: int, name: str) -> list[Any]:
        made: list[Any] = []
        seen: dict[bytes, Any] = {}
        for part in parts:
            value = self.make(part, depth + 1, name)
            if flat.get("uniqueItems"):
                value = self._another(part, value, seen, depth, name)
                seen[canonical(value)] = value
            made.append(value)
        return made

    def _another(self, part: Any, value: Any, seen: dict[bytes, Any], depth: int, name: str) -> Any:
        for _ in range(50):
            if canonical(value) not in seen:
                return value
            value = self.make(part, depth + 1, name)
        different = {"not": {"enum": [*seen.values()]}}
        return self.make(_both(part, different), depth + 1, name)

    def _objects(self, flat: dict[str, Any], depth: int) -> Iterator[dict[str, Any]]:
        properties: dict[str, Any] = flat.get("properties", {})
        required = list(dict.fromkeys(flat.get("required", ())))
        for key in (*properties, *required):
            self._hints.use(key)  # a prompt that quotes a key does not mean it as a value
        optional = [key for key in properties if key not in required]
        named = [key for key in optional if self._hints.named(key)]
        rich = optional if depth < _RICH and "required" not in flat else named
        for chosen in (rich, [], optional):
            keys = self._with_dependents([*required, *chosen], flat)
            with suppress(_Impossible):
                yield self._object(self._with_enough(keys, optional, flat, depth), flat, depth)

    def _with_dependents(self, keys: list[str], flat: dict[str, Any]) -> list[str]:
        needs = flat.get("dependentRequired", {})
        for key in keys:  # the list grows while it is read
            keys += [other for other in needs.get(key, ()) if other not in keys]
        return keys

    def _with_enough(
        self, keys: list[str], optional: list[str], flat: dict[str, Any], depth: int
    ) -> list[str]:
        """Return `keys` and as many more as `minProperties` asks for, by patterns or made up."""
        missing = flat.get("minProperties", 0) - len(keys)
        more = [key for key in optional if key not in keys]
        patterns = [
            text for pattern in flat.get("patternProperties", {}) for text in matching(pattern, self._random)
        ]
        more += [key for key in dict.fromkeys(patterns) if key not in keys and key not in more]
        names = flat.get("propertyNames", {"type": "string"})
        for number in range(len(more), missing):
            more.append(self.make(_both(names, {"type": "string"}), depth + 1, f"key{number}"))
        return keys + more[: max(missing, 0)]

    def _object(self, keys: list[str], flat: dict[str, Any], depth: int) -> dict[str, Any]:
        """Make the values; those that the prompt names first, so that no other takes them."""
        order = sorted(keys, key=lambda key: not self._hints.named(key))
        made = {key: self.make(_schema_of(key, flat), depth + 1, key) for key in order}
        return {key: made[key] for key in keys}


def _schema_of(key: str, flat: dict[str, Any]) -> Any:
    """Return all that an object's schema says of its property `key`."""
    parts = [
        part
        for pattern, part in flat.get("patternProperties", {}).items()
        if valid(key, {"pattern": pattern}, {})
    ]
    if key in flat.get("properties", {}):
        parts.append(flat["properties"][key])
    return reduce(_both, parts) if parts else flat.get("additionalProperties", True)


def _types(flat: Any) -> list[str]:
    """Return the types to try, the likeliest first; null last."""
    if not isinstance(flat, dict):
        return ["string"]
    given = flat.get("type")
    if isinstance(given, str):
        return [given]
    if given is not None:
        return sorted(given, key="null".__eq__)
    likely = [kind for kind, marks in _MARKS if any(mark in flat for mark in marks)]
    return list(dict.fromkeys([*likely, "string", "integer", "number", "boolean", "null", "array", "object"]))


def _both(one: Any, other: Any) -> Any:
    """Return a schema that asks for what both ask for; near enough to find candidates by."""
    if one is False or other is False:
        return False
    if one is True or one == {}:
        return other
    if other is True or other == {}:
        return one
    merged = dict(one)
    for keyword, argument in other.items():
        merged[keyword] = (
            _JOINS.get(keyword, _last)(merged[keyword], argument) if keyword in merged else argument
        )
    return merged


def _last(one: Any, other: Any) -> Any:
    return other


def _shared_types(one: Any, other: Any) -> Any:
    first = [one] if isinstance(one, str) else one
    second = [other] if isinstance(other, str) else other
    shared = [kind for kind in first if kind in second]
    if not shared and "integer" in (*first, *second) and "number" in (*first, *second):
        shared = ["integer"]
    return shared


def _shared_options(one: list[Any], other: list[Any]) -> list[Any]:
    known = set(map(canonical, other))
    return [option for option in one if canonical(option) in known]


def _joined_properties(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {**one, **{key: _both(one[key], part) if key in one else part for key, part in other.items()}}


def _each_with_each(one: list[Any], other: list[Any]) -> list[Any]:
    return [{"allOf": [first, second]} for first in one for second in other]


def _multiple_of_both(one: float, other: float) -> int | float:
    first, second = Fraction(one), Fraction(other)
    both = Fraction(
        math.lcm(first.numerator, second.numerator), math.gcd(first.denominator, second.denominator)
    )
    return int(both) if both.denominator == 1 else float(both)


_JOINS: dict[str, Callable[[Any, Any], Any]] = {
    "type": _shared_types,
    "enum": _shared_options,
    "properties": _joined_properties,
    "patternProperties": _joined_properties,
    "required": lambda one, other: [*one, *other],
    "allOf": lambda one, other: [*one, *other],
    "anyOf": _each_with_each,
    "oneOf": _each_with_each,
    "not": lambda one, other: {"anyOf": [one, other]},
    "items": _both,
    "additionalProperties": _both,
    "propertyNames": _both,
    "multipleOf": _multiple_of_both,
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
}
