"""How the plugin is tested: pytest in a process of its own, in a network namespace with loopback only."""

import functools
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest

Run = Callable[..., pytest.RunResult]

# Plugins that other packages bring and that cost seconds of start-up; none of them is under test.
OTHERS = ("asyncio", "anyio", "hypothesispytest", "langsmith_plugin", "locust")
# What the run that these tests belong to would tell the one under test.
OUTER = ("PRODTEST_RUN", "PRODTEST_REVISION", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PRODTEST_CHILD")
LOOPBACK_UP = 'ip link set lo up; {first} "$@"'


@functools.cache
def _sealed_off(first: str = "exec") -> tuple[str, ...]:
    """The command prefix for an empty network namespace; nothing where the kernel or the system has none."""
    prefix = ("unshare", "-n", "sh", "-c", LOOPBACK_UP.format(first=first), "sh")
    if not (shutil.which("unshare") and shutil.which("ip")):
        return ()
    works = subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
    return prefix if works else ()


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run pytest with these arguments, sealed off from the network; `first` is what a shell says before."""
    for name in OUTER:
        monkeypatch.delenv(name, raising=False)

    def run_pytest(*args: str, sealed: bool = True, first: str = "exec") -> pytest.RunResult:
        without = [part for name in OTHERS for part in ("-p", f"no:{name}")]
        command = (sys.executable, "-m", "pytest", *without, *args)
        return pytester.run(*(_sealed_off(first) if sealed else ()), *command, timeout=120)

    return run_pytest


@pytest.fixture
def run_here(run: Run) -> Run:
    """Run pytest in this process's own network, where others listen too. Only for tests on loopback."""
    return functools.partial(run, sealed=False)


@pytest.fixture(params=[(), ("-n", "2")], ids=["alone", "xdist"])
def run_both(request: pytest.FixtureRequest, run: Run) -> Run:
    """Run pytest as it is, and over two xdist workers."""
    return functools.partial(run, *request.param)
