"""Faults as parameters: one case each, with its name as id; the catalogue is printed on demand."""

from collections.abc import Callable

import pytest

Run = Callable[..., pytest.RunResult]


def test_a_test_runs_once_for_each_fault_of_the_sets_it_asks_for(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import pytest
        from langchain_prodtest import Fault, Reply

        @pytest.mark.prodtest(faults="answers")
        def test_answers(fault):
            assert isinstance(fault, Reply)

        @pytest.mark.prodtest(faults=["503", "clean-end"])
        def test_named(fault, fake_chat):
            assert isinstance(fault, Fault)

        @pytest.mark.parametrize("fault", [1])
        def test_somebody_s_own(fault):
            assert fault == 1
        """
    )
    result = run("-v")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines_random(
        [
            "*::test_answers[[]token-limit] PASSED*",
            "*::test_named[[]503] PASSED*",
            "*::test_named[[]clean-end] *",
        ]
    )


def test_the_catalogue_is_printed_and_nothing_runs(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile("raise RuntimeError('imported')")
    result = run("--prodtest-faults")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["name *what a right client does", "429 * transient *"])
    result.stdout.no_fnmatch_line("*imported*")
