"""`@pytest.mark.prodtest(**options)`: the options of one test."""

from collections.abc import Mapping

import msgspec
import pytest

from langchain_prodtest.catalogue import cases
from langchain_prodtest.errors import UsageError, unknown_name

__all__ = ["Options", "parametrize_faults", "read_options"]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a test may ask for.

    `strict`: steps that are left over and calls that have no step fail the test. `allow_hosts`: names and
    addresses that the test may reach. `faults`: sets or names of the catalogue; the test runs once for each,
    with the Fault or Reply as its argument `fault`. `transparent`: the clients of `fake_providers` keep their
    production URLs, and are led to the fakes by a proxy. `auto`: what no step is scripted for is answered as
    a helpful model would: it calls the tools it is offered, ends, and obeys schemas. `max_block`: seconds
    that an event loop may stand still before the test fails.
    """

    strict: bool = True
    allow_hosts: list[str] = []
    faults: str | list[str] = []
    transparent: bool = False
    auto: bool = False
    max_block: float | None = None


def read_options(item: pytest.Item) -> Options:
    """Return the test's options, each from the closest marker that gives it; a mistake fails the test."""
    given: dict[str, object] = {}
    for marker in item.iter_markers("prodtest"):
        if marker.args:
            pytest.fail(f"@pytest.mark.prodtest takes options by name, not {marker.args!r}", pytrace=False)
        given = {**marker.kwargs, **given}
    return _checked(given)


def parametrize_faults(metafunc: pytest.Metafunc) -> None:
    """Give the test one case for each fault that its marker asks for; a mistake fails the collection."""
    wanted = read_options(metafunc.definition).faults
    if not wanted:
        return
    try:
        found = cases(wanted)
    except UsageError as error:
        pytest.fail(f"@pytest.mark.prodtest: {error}. See pytest --prodtest-faults", pytrace=False)
    if "fault" not in metafunc.fixturenames:
        text = f"@pytest.mark.prodtest(faults={wanted!r}): the test has no argument named fault"
        pytest.fail(text, pytrace=False)
    metafunc.parametrize("fault", [pytest.param(case.step, id=case.name) for case in found])


def _checked(given: Mapping[str, object]) -> Options:
    for name in given:
        if name not in Options.__struct_fields__:
            text = unknown_name("option", name, Options.__struct_fields__)
            pytest.fail(f"@pytest.mark.prodtest: {text}", pytrace=False)
    try:
        return msgspec.convert(given, Options)
    except msgspec.ValidationError as error:
        return pytest.fail(f"@pytest.mark.prodtest: {error}", pytrace=False)
