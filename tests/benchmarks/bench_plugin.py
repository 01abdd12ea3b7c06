"""What the plugin costs pytest: start-up without it, with it inert, with it active; time a test.

Run as `python tests/benchmarks/bench_plugin.py`; it takes about twenty seconds. The variants take turns, and
the best of ROUNDS counts: the rest of the machine only ever adds time. CPU time is taken, not wall time.
Bytecode is written, as it is for users: without it, pytest rewrites its plugins anew at every start.
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 5
TESTS = 1000

# Autoloading is off, so that no other plugin is measured; what "without" lacks is ours and what ours loads.
ENVIRONMENT = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": ""}
VARIANTS = {
    "without": [],
    "with pytest-socket and syrupy": ["-p", "pytest_socket", "-p", "syrupy"],
    "inert": ["-p", "langchain_prodtest.plugin"],
    "active": ["-p", "langchain_prodtest"],
}


def cpu_seconds(folder: Path, file: str, options: list[str]) -> float:
    """Return the CPU seconds that pytest takes for one file."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, file],
        cwd=folder,
        env={**os.environ, **ENVIRONMENT, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def best(folder: Path, file: str) -> dict[str, float]:
    """Return the least CPU seconds of each variant."""
    rounds = [
        {name: cpu_seconds(folder, file, options) for name, options in VARIANTS.items()}
        for _ in range(ROUNDS)
    ]
    return {name: min(times[name] for times in rounds) for name in VARIANTS}


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_one.py").write_text("def test_one(): pass\n")
        (folder / "test_many.py").write_text(
            f"import pytest\n@pytest.mark.parametrize('n', range({TESTS}))\ndef test_many(n): pass\n"
        )
        one, many = best(folder, "test_one.py"), best(folder, "test_many.py")
    bare_start = one["without"]
    bare_test = many["without"] - one["without"]
    print(f"{'pytest':32}{'start-up':>12}{'ratio':>8}{'a test':>12}{'ratio':>8}")
    for name, start in one.items():
        test = many[name] - start
        print(
            f"{name:32}{start * 1e3:9.0f} ms{start / bare_start:8.2f}"
            f"{test / TESTS * 1e6:9.0f} µs{test / bare_test:8.2f}"
        )


if __name__ == "__main__":
    main()
