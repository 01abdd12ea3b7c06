"""A JSON schema as a client sent it, without the keywords whose values are not of the kind they must be."""

import re
from collections.abc import Callable
from typing import Any

__all__ = ["readable"]

TYPES = ("null", "boolean", "string", "number", "integer", "array", "object")


def readable(schema: Any) -> Any:
    """Return the schema with each malformed keyword left out; what is no schema at all is `{}`.

    A provider would refuse some of these; a fake must not stumble over them. Unknown keywords are kept.
    """
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, dict):
        return {}
    kept = {key: value for key, value in schema.items() if key not in _KINDS or _KINDS[key](value)}
    return {key: _inside(key, value) for key, value in kept.items()}


def _inside(keyword: str, value: Any) -> Any:
    if keyword in _MAPS:
        return {name: readable(part) for name, part in value.items()}
    if keyword in _LISTS:
        return [readable(part) for part in value]
    return readable(value) if keyword in _ONE else value


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value in TYPES


def _is_type(value: object) -> bool:
    return _is_name(value) or (isinstance(value, list) and bool(value) and all(map(_is_name, value)))


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_schema(value: object) -> bool:
    return isinstance(value, dict | bool)


def _is_some(value: object) -> bool:
    return isinstance(value, list) and bool(value)


def _is_expression(value: object) -> bool:
    try:
        return isinstance(value, str) and re.compile(value) is not None
    except re.error:
        return False


_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_ONE = ("items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames")
_KINDS: dict[str, Callable[[Any], bool]] = {
    "type": _is_type,
    "enum": _is_some,
    "required": _is_names,
    "format": lambda value: isinstance(value, str),
    "$ref": lambda value: isinstance(value, str),
    "pattern": _is_expression,
    "uniqueItems": lambda value: isinstance(value, bool),
    "multipleOf": lambda value: _is_number(value) and value > 0,
    "dependentRequired": lambda value: isinstance(value, dict) and all(map(_is_names, value.values())),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _is_count),
    **dict.fromkeys(("minProperties", "maxProperties", "minContains", "maxContains"), _is_count),
    **dict.fromkeys(_MAPS, lambda value: isinstance(value, dict)),
    **dict.fromkeys(_LISTS, _is_some),
    **dict.fromkeys(_ONE, _is_schema),
}
