"""The guides to testing are true: each of their blocks is a test file that passes as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

# The suite is whole in tests/conformance; of the one over a socket a few are enough here.
CHOSEN = "not TestService or outage or usage or blocked or secret or trace"
DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("page", "count", "says"),
    [
        ("testing.md", 8, r"\d+ passed, \d+ skipped, .*1 xfailed"),
        ("migrating.md", 4, "5 passed"),
    ],
)
def test_the_blocks_of_a_guide_pass(tmp_path: Path, page: str, count: int, says: str) -> None:
    """All in one run, as the guide says: active, with warnings as they are."""
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text("utf-8"), re.M | re.S)
    assert len(blocks) == count
    for number, block in enumerate(blocks):
        (tmp_path / f"test_block_{number}.py").write_text(block, "utf-8")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PRODTEST_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "langchain_prodtest", "-q", "--snapshot-update", "-k", CHOSEN],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert re.search(says, done.stdout), done.stdout
