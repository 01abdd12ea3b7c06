"""What became of LangChain's standard tests, as a table: made from pytest's JUnit file, kept in the docs.

`python -m tests.standard.table RESULTS.xml` fails when docs/conformance.md says something else; with `write`
behind it, it writes the page.
"""

import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

from tests.docs.conformance import section, write

__all__: list[str] = []

SECTION = "suites"


def table(results: Path) -> str:
    """Return one row for each suite: what passed, what fails as it does everywhere, what is left out."""
    suites: dict[str, Counter[tuple[str, str]]] = {}
    for case in ElementTree.parse(results).iter("testcase"):
        suites.setdefault(case.attrib["classname"], Counter())[_outcome(case)] += 1
    lines = ["| suite | client | passed | fails, and why | left out, and why |", "|---|---|---|---|---|"]
    total: Counter[str] = Counter()
    for suite, outcomes in sorted(suites.items()):
        for (kind, _), count in outcomes.items():
            total[kind] += count
        passed = outcomes[("passed", "")]
        lines.append(
            f"| `{suite.removeprefix('tests.standard.')}` | {_client(suite)} | {passed} "
            f"| {_told(outcomes, 'fails')} | {_told(outcomes, 'left out')} |"
        )
    lines.append(f"| all {len(suites)} | | {total['passed']} | {total['fails']} | {total['left out']} |")
    return "\n".join([*lines, ""])


def _outcome(case: ElementTree.Element) -> tuple[str, str]:
    if (skipped := case.find("skipped")) is not None:
        kind = "fails" if skipped.attrib["type"] == "pytest.xfail" else "left out"
        return kind, skipped.attrib["message"].rstrip(".")
    unexpected = case.find("failure") is not None or case.find("error") is not None
    return ("unexpected", "") if unexpected else ("passed", "")


def _told(outcomes: Counter[tuple[str, str]], wanted: str) -> str:
    told = [(count, reason) for (kind, reason), count in outcomes.items() if kind == wanted]
    return "; ".join(
        f"{count}: {reason}" for count, reason in sorted(told, key=lambda one: (-one[0], one[1]))
    )


def _client(suite: str) -> str:
    module, _, name = suite.rpartition(".")
    return getattr(getattr(import_module(module), name), "client", type("in process", (), {})).__name__


def main(results: str, *action: str) -> None:
    """Check the page, or write it."""
    now = table(Path(results))
    if action == ("write",):
        write(SECTION, now)
        return
    before = section(SECTION).splitlines()
    if changed := [line for line in now.splitlines() if line not in before]:
        sys.exit("\n".join([f"docs/conformance.md says otherwise; {' '.join(sys.argv)} write", *changed]))


if __name__ == "__main__":
    main(*sys.argv[1:])
