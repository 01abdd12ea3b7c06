"""What the documentation says is true: the tutorial runs, links lead somewhere, names are right."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_tutorial_works_when_pasted(tmp_path: Path) -> None:
    """All shell blocks, in order, in an empty folder; each ends without an error, and the gate says GO."""
    blocks = re.findall(r"^```bash\n(.*?)^```", (ROOT / "docs/tutorial.md").read_text("utf-8"), re.M | re.S)
    assert len(blocks) == 5
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PRODTEST_", "PYTEST_"))}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    said = []
    for block in blocks:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=tmp_path, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
            check=False,
        )  # fmt: skip
        said.append(done.stdout)
        assert done.returncode == 0, "\n".join(said)
    assert re.search(r"stream\.silent_truncation .* FAIL", said[2])
    assert "exit code 1" in said[2]
    assert re.search(r"stream\.silent_truncation .* pass", said[3])
    assert "exit code 3" in said[4]
    assert "  GO   registry.example/app@sha256:2222" in said[4]


@pytest.mark.parametrize(
    ("page", "says"),
    [
        (
            "transparent.md",
            [
                "Within 30 days.",
                "[no-nonce] w00 w01 w02 w03 w04",
                "exit code 0",
                "exit code 1",
                "anthropic attempt 1 status 529 closed by server",
                "anthropic attempt 2 status 200 closed by server",
                "anthropic attempt 1 status 200 closed by fault",
                "anthropic attempt 1 status 529 closed by server",
                "anthropic attempt 2 status 529 closed by server",
                "anthropic attempt 3 status 529 closed by server",
                "6 requests for 3 model calls; 3 for the worst",
                "{'path': '/data/tenant42/'} invalid: []",
                "{'path': '/data/tenant42/tmp', 'recursive': False} invalid: []",
            ],
        ),
        (
            "scripts.md",
            [
                *["limited 200", "limited 200", "limited 429", "busy 000", "busy 503"],
                *["cold 000", "cold 200", "flaky 500", "flaky 200", "flaky 500", "flaky 200"],
                *["ill 529", "slow 000", "slow 200"],
            ],
        ),
        ("load.md", ["healthy: exit code 0", "sick: exit code 1", "1"]),
        ("serving.md", ['{"rules":1}429', "200", "2", "0"]),
        (
            "recording.md",
            [
                "0",
                "True",
                'the first difference: body.messages[0].content is "Refunds?", recorded "Refund?"',
            ],
        ),
    ],
)
def test_a_page_on_served_fakes_works_when_pasted(tmp_path: Path, page: str, says: list[str]) -> None:
    """All shell blocks, in one shell that has no network and takes all it started with it when it ends."""
    blocks = re.findall(r"^```bash\n(.*?)^```", (ROOT / "docs" / page).read_text("utf-8"), re.M | re.S)
    assert blocks
    isolated = [
        "unshare",
        "--net",
        "--pid",
        "--mount-proc",
        "--fork",
        "--kill-child",
        "bash",
        "-euo",
        "pipefail",
        "-c",
    ]
    env = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [*isolated, "\n".join(["ip link set lo up", *blocks])],
        cwd=tmp_path, env=env, text=True, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == says


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_fits_on_one_screen() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 60


def test_what_the_architecture_names_is_there() -> None:
    """Files and names in the table of extension points exist."""
    text = (ROOT / "docs/architecture.md").read_text("utf-8").split("## Where to add")[1].split("## Dep")[0]
    source = ROOT / "src/langchain_prodtest"
    for path, name in re.findall(r"`((?:\w+/)*\w+\.py): (\w+)`", text):
        assert re.search(rf"^{name}\b", (source / path).read_text("utf-8"), re.M), (path, name)
    for folder in re.findall(r"`(\w+(?:/\w+)*)/(?:<name>\.py)?`", text):
        assert (source / folder).is_dir() or (ROOT / folder).is_dir(), folder
