"""Experiments are pytest items where they are named, and never otherwise."""

from pathlib import Path

import pytest

EXPERIMENT = """
title = "Outage"
[steady]
"chat.success" = ">= 90%"
[[fault]]
provider = "openai"
status = 503
[expect]
"retry.amplification" = "<= 3"
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makefile(".toml", **{"chaos/outage": EXPERIMENT, "chaos/slow": EXPERIMENT})
    pytester.makepyfile(test_it="def test_it(): pass")
    return pytester


@pytest.mark.parametrize(
    ("args", "experiments"),
    [
        ([], 0),
        (["."], 0),
        (["test_it.py"], 0),
        (["chaos"], 2),
        (["chaos", "-k", "outage"], 1),
        (["chaos/slow.toml"], 1),
        (["chaos/slow.toml::slow"], 1),
        ([".", "chaos"], 2),
    ],
)
def test_only_what_is_named_is_collected(project: pytest.Pytester, args: list[str], experiments: int) -> None:
    """A bare pytest must never touch staging."""
    (project.path / "chaos").mkdir(exist_ok=True)
    result = project.runpytest_subprocess("-p", "langchain_prodtest", "--collect-only", "-q", *args)
    found = [line for line in result.outlines if ".toml::" in line]
    assert len(found) == experiments, result.outlines


def test_a_broken_file_is_a_collection_error(project: pytest.Pytester) -> None:
    Path(project.path / "chaos/outage.toml").write_text(EXPERIMENT.replace("status", "statsu"), "utf-8")
    result = project.runpytest_subprocess("-p", "langchain_prodtest", "--collect-only", "chaos")
    assert result.ret != 0
    result.stdout.fnmatch_lines(['*unknown key "statsu". Did you mean "status"?*'])
