"""Errors are one family, and a wrong name gets the nearest right one."""

import pytest

from langchain_prodtest import errors
from langchain_prodtest.errors import ProdtestError, ToxiproxyError, unknown_name


def test_every_error_is_a_prodtest_error() -> None:
    kinds = [getattr(errors, name) for name in errors.__all__]
    assert all(issubclass(kind, ProdtestError) for kind in kinds)
    defined = {n for n, thing in vars(errors).items() if getattr(thing, "__module__", "") == errors.__name__}
    assert defined - {"unknown_name"} == set(errors.__all__)


@pytest.mark.parametrize("name", errors.__all__)
def test_the_family_tree_in_the_docstring_names_every_error(name: str) -> None:
    assert name in (errors.__doc__ or "")


def test_a_toxiproxy_error_carries_the_status() -> None:
    assert (str(ToxiproxyError("gone", 404)), ToxiproxyError("gone", 404).status) == ("gone", 404)
    assert ToxiproxyError("no answer").status == 0


def test_an_unknown_name_gets_the_nearest_and_all_valid_ones() -> None:
    text = unknown_name("key", "requier", ["require", "max_age"])
    assert text == 'unknown key "requier". Did you mean "require"? Valid: max_age, require'


def test_nothing_near_gets_only_the_valid_ones() -> None:
    assert unknown_name("key", "zzz", {"b": 1, "a": 2}) == 'unknown key "zzz". Valid: a, b'
