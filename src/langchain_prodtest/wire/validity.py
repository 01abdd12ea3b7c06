"""Does a value obey a JSON schema? The part of JSON Schema 2020-12 that clients of models use.

Checked: types, enum, const, numbers, strings (pattern, format), arrays (items, prefixItems, contains,
uniqueItems), objects (properties, patternProperties, additionalProperties, propertyNames, required,
dependentRequired), allOf, anyOf, oneOf, not, if/then/else, and $ref inside the document. Other keywords are
not looked at.
"""

import ipaddress
import math
import re
from collections.abc import Callable, Sized
from datetime import date, datetime, time
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

__all__ = ["canonical", "referred", "valid"]

Schema = Any
"""A JSON schema: an object, or true or false."""


def valid(value: Any, schema: Schema, root: Schema) -> bool:
    """Tell whether `value` obeys `schema`, a part of the document `root`."""
    if not isinstance(schema, dict):
        return schema is not False
    for keyword, argument in schema.items():
        rule = _RULES.get(keyword)
        if rule is not None and not rule(value, argument, schema, root):
            return False
    return True


def referred(reference: str, root: Schema) -> Schema:
    """Return the part of `root` that a reference such as `#/$defs/Seat` names; `{}` where there is none."""
    found = root
    for step in reference.removeprefix("#").split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        elif isinstance(found, dict) and step in found:
            found = found[step]
        else:
            return {}
    return found


def canonical(value: Any) -> bytes:
    """Return bytes that are the same for what JSON holds equal: 1 and 1.0, but not 1 and true."""
    return msgspec.json.encode(_without_floats(value), order="sorted")


def _without_floats(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_without_floats(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_floats(item) for key, item in value.items()}
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and float(value).is_integer(),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def _type(value: Any, names: Any, schema: Schema, root: Schema) -> bool:
    return any(_TYPES[name](value) for name in ([names] if isinstance(names, str) else names))


def _multiple(value: Any, of: Any, schema: Schema, root: Schema) -> bool:
    if not _is_number(value):
        return True
    if isinstance(value, int) and isinstance(of, int):
        return bool(value % of == 0)
    quotient = value / of
    return math.isfinite(quotient) and float(quotient).is_integer()


def _pattern(value: Any, pattern: str, schema: Schema, root: Schema) -> bool:
    try:
        return not isinstance(value, str) or re.search(pattern, value) is not None
    except re.error:
        return True


def _format(value: Any, name: str, schema: Schema, root: Schema) -> bool:
    if not isinstance(value, str) or name not in _FORMATS:
        return True
    try:
        return bool(_FORMATS[name](value))
    except ValueError:
        return False


_FORMATS: dict[str, Callable[[str], object]] = {
    "date": lambda text: len(text) == 10 and date.fromisoformat(text),
    "date-time": lambda text: "T" in text and datetime.fromisoformat(text).tzinfo,
    "time": lambda text: ":" in text and isinstance(time.fromisoformat(text), time),
    "duration": lambda text: re.fullmatch(r"P(?=.)(\d+[YMWD])*(T(?=.)(\d+[HMS])+)?", text),
    "email": lambda text: re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s.]+", text),
    "hostname": lambda text: re.fullmatch(r"(?!-)[\w-]+(\.[\w-]+)*", text, re.ASCII),
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "uri": lambda text: urlsplit(text).scheme and urlsplit(text).netloc,
    "uuid": lambda text: len(text) == 36 and UUID(text),
}
_FORMATS["url"] = _FORMATS["uri"]


def _items(value: Any, items: Schema, schema: Schema, root: Schema) -> bool:
    first = len(schema.get("prefixItems", ()))
    return not isinstance(value, list) or all(valid(item, items, root) for item in value[first:])


def _prefix_items(value: Any, items: list[Schema], schema: Schema, root: Schema) -> bool:
    pairs = zip(value, items, strict=False) if isinstance(value, list) else ()
    return all(valid(item, part, root) for item, part in pairs)


def _contains(value: Any, part: Schema, schema: Schema, root: Schema) -> bool:
    if not isinstance(value, list):
        return True
    found = sum(valid(item, part, root) for item in value)
    return bool(schema.get("minContains", 1) <= found <= schema.get("maxContains", len(value)))


def _unique(value: Any, wanted: bool, schema: Schema, root: Schema) -> bool:
    return not wanted or not isinstance(value, list) or len(set(map(canonical, value))) == len(value)


def _properties(value: Any, parts: dict[str, Schema], schema: Schema, root: Schema) -> bool:
    return not isinstance(value, dict) or all(
        valid(value[name], part, root) for name, part in parts.items() if name in value
    )


def _pattern_properties(value: Any, parts: dict[str, Schema], schema: Schema, root: Schema) -> bool:
    return not isinstance(value, dict) or all(
        valid(item, part, root)
        for pattern, part in parts.items()
        for name, item in value.items()
        if re.search(pattern, name)
    )


def _additional(value: Any, part: Schema, schema: Schema, root: Schema) -> bool:
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    return not isinstance(value, dict) or all(
        valid(item, part, root)
        for name, item in value.items()
        if name not in known and not any(re.search(pattern, name) for pattern in patterns)
    )


def _dependent(value: Any, needs: dict[str, list[str]], schema: Schema, root: Schema) -> bool:
    return not isinstance(value, dict) or all(
        set(names) <= value.keys() for name, names in needs.items() if name in value
    )


def _conditional(value: Any, condition: Schema, schema: Schema, root: Schema) -> bool:
    branch = "then" if valid(value, condition, root) else "else"
    return valid(value, schema.get(branch, True), root)


def _bound(kind: Callable[[Any], Any], holds: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    """Return a rule about a measure of the value; `kind` returns None for values it is not about."""

    def rule(value: Any, limit: Any, schema: Schema, root: Schema) -> bool:
        measure = kind(value)
        return measure is None or holds(measure, limit)

    return rule


def _number(value: Any) -> Any:
    return value if _is_number(value) else None


def _size(kind: type[Sized]) -> Callable[[Any], Any]:
    return lambda value: len(value) if isinstance(value, kind) else None


def _at_least(measure: Any, limit: Any) -> bool:
    return bool(measure >= limit)


def _at_most(measure: Any, limit: Any) -> bool:
    return bool(measure <= limit)


_RULES: dict[str, Callable[[Any, Any, Any, Schema], bool]] = {
    "$ref": lambda value, reference, schema, root: valid(value, referred(reference, root), root),
    "type": _type,
    "enum": lambda value, options, schema, root: canonical(value) in map(canonical, options),
    "const": lambda value, constant, schema, root: canonical(value) == canonical(constant),
    "allOf": lambda value, parts, schema, root: all(valid(value, part, root) for part in parts),
    "anyOf": lambda value, parts, schema, root: any(valid(value, part, root) for part in parts),
    "oneOf": lambda value, parts, schema, root: sum(valid(value, part, root) for part in parts) == 1,
    "not": lambda value, part, schema, root: not valid(value, part, root),
    "if": _conditional,
    "minimum": _bound(_number, _at_least),
    "maximum": _bound(_number, _at_most),
    "exclusiveMinimum": _bound(_number, lambda number, limit: number > limit),
    "exclusiveMaximum": _bound(_number, lambda number, limit: number < limit),
    "multipleOf": _multiple,
    "minLength": _bound(_size(str), _at_least),
    "maxLength": _bound(_size(str), _at_most),
    "pattern": _pattern,
    "format": _format,
    "minItems": _bound(_size(list), _at_least),
    "maxItems": _bound(_size(list), _at_most),
    "items": _items,
    "prefixItems": _prefix_items,
    "contains": _contains,
    "uniqueItems": _unique,
    "minProperties": _bound(_size(dict), _at_least),
    "maxProperties": _bound(_size(dict), _at_most),
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "propertyNames": lambda value, part, schema, root: (
        not isinstance(value, dict) or all(valid(name, part, root) for name in value)
    ),
    "required": lambda value, names, schema, root: not isinstance(value, dict) or set(names) <= value.keys(),
    "dependentRequired": _dependent,
}
