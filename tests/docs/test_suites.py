"""The table of LangChain's standard tests in the docs has every suite, and no reason of its own."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.docs.conformance import cells, section

SUITES = Path(__file__).parents[1] / "standard"


def classes() -> Iterator[tuple[str, ast.Module]]:
    """Yield each class of tests, with the module that it stands in."""
    for path in sorted(SUITES.glob("test_*.py")):
        module = ast.parse(path.read_text("utf-8"))
        for node in module.body:
            if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                yield f"{path.stem}.{node.name}", module


def told() -> dict[str, list[str]]:
    """Return the cells of each suite's row."""
    return {
        suite.strip("`"): row for suite, *row in map(cells, re.findall(r"^\| `.+", section("suites"), re.M))
    }


def test_the_page_has_a_row_for_every_suite() -> None:
    assert sorted(told()) == sorted(suite for suite, _ in classes())


def test_why_a_test_fails_is_what_the_suite_says() -> None:
    modules = dict(classes())
    for suite, (_, _, fails, _) in told().items():
        reasons = {
            node.value.rstrip(".")
            for node in ast.walk(modules[suite])
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        given = {reason.partition(": ")[2] for reason in fails.split("; ") if reason}
        assert given <= reasons, suite


def test_the_last_row_sums_up_the_others() -> None:
    (total,) = re.findall(r"^\| all (\d+) \| \| (\d+) \| (\d+) \| (\d+) \|$", section("suites"), re.M)
    rows = list(told().values())

    def told_in(column: int) -> int:
        return sum(int(count) for row in rows for count in re.findall(r"(?:^|; )(\d+): ", row[column]))

    assert [int(number) for number in total] == [
        len(rows),
        sum(int(row[1]) for row in rows),
        told_in(2),
        told_in(3),
    ]
