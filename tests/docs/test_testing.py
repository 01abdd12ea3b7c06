"""The guide to testing is true: each of its blocks is a test file that passes as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "testing.md"


def test_the_blocks_of_the_guide_pass(tmp_path: Path) -> None:
    """All in one run, as the guide says: active, with warnings as they are."""
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text("utf-8"), re.M | re.S)
    assert len(blocks) == 8
    for number, block in enumerate(blocks):
        (tmp_path / f"test_block_{number}.py").write_text(block, "utf-8")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PRODTEST_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "langchain_prodtest", "-q", "--snapshot-update"],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d+ passed, \d+ skipped, 1 xfailed", done.stdout), done.stdout
