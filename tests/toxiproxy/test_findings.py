"""An experiment has the same findings with the real Toxiproxy and the embedded one."""

import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parent / "same_findings.py"
EXPERIMENT = """
title = "The provider is gone for two seconds, then slow for as long"
steady_for  = "1s"
control_for = "0s"
recover_for = "1s"
[load]
rate = 8
deadline = "15s"
[steady]
"chat.success" = ">= 50%"
[[fault]]
for = "2s"
proxy = "openai"
down = true
[[fault]]
at = "2s"
for = "2s"
proxy = "openai"
toxic = "latency"
latency = "300ms"
[expect]
"timeout.total" = "<= 60s"
"chat.ttft.p50" = "<= 1ms"
"stream.masked_failure" = "== 0"
"""


def test_short_experiment_has_the_same_findings_with_both_servers(environment: Any, tmp_path: Path) -> None:
    """A pass, a failure and what too few requests cannot tell; the bundled experiments take the script."""
    file = tmp_path / "outage.toml"
    file.write_text(EXPERIMENT)
    done = subprocess.run(
        [sys.executable, SCRIPT, file],
        env=environment("real"), capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("outage ")]
    assert sorted(outcomes) == [
        ["chat.ttft.p50", "fail", "fail"],
        ["complete", "True", "True"],
        ["stream.masked_failure", "unknown", "unknown"],
        ["timeout.total", "pass", "pass"],
    ]
