"""`@pytest.mark.prodtest(**options)`: the options of one test."""

from collections.abc import Mapping

import msgspec
import pytest

from langchain_prodtest.errors import unknown_name

__all__ = ["Options", "read_options"]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a test may ask for.

    `strict`: steps that are left over and calls that have no step fail the test. `allow_hosts`: names and
    addresses that the test may reach.
    """

    strict: bool = True
    allow_hosts: list[str] = []


def read_options(item: pytest.Item) -> Options:
    """Return the test's options, each from the closest marker that gives it; a mistake fails the test."""
    given: dict[str, object] = {}
    for marker in item.iter_markers("prodtest"):
        if marker.args:
            pytest.fail(f"@pytest.mark.prodtest takes options by name, not {marker.args!r}", pytrace=False)
        given = {**marker.kwargs, **given}
    return _checked(given)


def _checked(given: Mapping[str, object]) -> Options:
    for name in given:
        if name not in Options.__struct_fields__:
            text = unknown_name("option", name, Options.__struct_fields__)
            pytest.fail(f"@pytest.mark.prodtest: {text}", pytrace=False)
    try:
        return msgspec.convert(given, Options)
    except msgspec.ValidationError as error:
        return pytest.fail(f"@pytest.mark.prodtest: {error}", pytrace=False)
