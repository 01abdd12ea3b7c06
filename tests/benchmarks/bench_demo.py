"""Where the demo's time goes, by stage, and its total against the three minutes it may take.

python tests/benchmarks/bench_demo.py
"""

import tempfile
import time
from pathlib import Path

from langchain_prodtest.demo.run import run_demo
from langchain_prodtest.demo.stages import Stages

LIMIT = 180.0  # seconds


def main() -> None:
    stages = Stages(quiet=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        verdict, _ = run_demo(Path(folder), None, stages)
    total = time.monotonic() - began
    print("demo: seconds by stage (chaos runs in two lanes side by side)")
    for name, seconds in stages.took.items():
        print(f"  {name:<10} {seconds:6.1f}   {seconds / total:5.0%} of the total")
    print(f"  total      {total:6.1f}   {total / LIMIT:5.0%} of the limit   {verdict.decision}")


if __name__ == "__main__":
    main()
