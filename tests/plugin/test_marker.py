"""One marker; each option comes from the closest one that gives it; a mistake fails the collection."""

from collections.abc import Callable

import pytest

Run = Callable[..., pytest.RunResult]


def test_the_closest_marker_wins_option_by_option(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import pytest
        from langchain_prodtest import Reply

        pytestmark = pytest.mark.prodtest(strict=False)

        @pytest.mark.prodtest(allow_hosts=["192.0.2.1"])
        def test_lenient_by_module(fake_chat):
            fake_chat.script(Reply("never asked for"))

        @pytest.mark.prodtest(strict=True)
        def test_strict_again(fake_chat):
            fake_chat.script(Reply("never asked for"))
        """
    )
    result = run("--strict-markers")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_strict_again*"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("stric=False", 'unknown option "stric". Did you mean "strict"?'),
        ("strict='no'", "Expected `bool`, got `str` - at `$.strict`"),
        ("allow_hosts='example.invalid'", "Expected `array`, got `str`"),
        ("False", "takes options by name"),
        ("faults='streems'", 'unknown fault set "streems". Did you mean "streams"?'),
        ("faults='streams'", "the test has no argument named fault"),
    ],
)
def test_a_mistake_fails_the_collection(pytester: pytest.Pytester, run: Run, options: str, says: str) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.prodtest({options})
        def test_marked():
            pass

        def test_other():
            pass
        """
    )
    result = run()
    result.assert_outcomes(errors=1)
    assert says in result.stdout.str()
