"""The catalogue of faults: names, sets, and what a right client does."""

import pytest

from langchain_prodtest.catalogue import CASES, SETS, cases, table
from langchain_prodtest.errors import UsageError


def test_names_are_unique_and_every_set_has_cases() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.set for case in CASES} == set(SETS)
    assert not {case.name for case in CASES} & {"all", *SETS}


@pytest.mark.parametrize("wanted", SETS)
def test_a_set_gives_its_cases(wanted: str) -> None:
    assert cases(wanted) == [case for case in CASES if case.set == wanted]


def test_all_gives_all_and_sets_and_names_mix_in_the_catalogue_s_order() -> None:
    assert cases("all") == list(CASES)
    assert [case.name for case in cases(["stall", "answers", "429"])] == [
        "429", "stall", "token-limit", "content-filter", "empty",
    ]  # fmt: skip


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r'unknown fault set "streems"[.] Did you mean "streams"'):
        cases("streems")


def test_the_table_has_a_line_for_each_case() -> None:
    lines = table().splitlines()
    assert [line.split()[0] for line in lines] == ["name", *(case.name for case in CASES)]
    assert all(case.right and case.place and case.provider for case in CASES)
