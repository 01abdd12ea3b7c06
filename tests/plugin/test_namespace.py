"""`--prodtest-isolate=netns`: nothing leaves, whatever it is made with and whatever it runs in."""

import sys
from collections.abc import Callable

import pytest

from langchain_prodtest.errors import UsageError
from langchain_prodtest.isolation.namespace import enter

Run = Callable[..., pytest.RunResult]

# The loopback device of the namespace that the run itself is started in has an address more.
SEEN = """
    import socket, subprocess

    def test_alone():
        assert socket.if_nameindex() == [(1, "lo")]
        found = subprocess.run(["ip", "-brief", "address"], capture_output=True, text=True, check=True).stdout
        assert "127.0.0.1/8" in found and "UNKNOWN" in found      # which is "up", for a loopback device
        assert "192.0.2.1" not in found

    def test_loopback_works():
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname()).close()
"""
OUTSIDE = ("ip", "addr", "add", "192.0.2.1/32", "dev", "lo")


@pytest.fixture
def run_outside(run: Run) -> Run:
    """Run pytest where `ip` shows what it must not show inside; `first` is put before the command."""

    def run_pytest(*args: str, first: str = "") -> pytest.RunResult:
        return run("-p", "langchain_prodtest", *args, first=f"{' '.join(OUTSIDE)} && exec {first}")

    return run_pytest


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_the_run_and_its_workers_are_inside(
    pytester: pytest.Pytester, run_outside: Run, workers: tuple[str, ...]
) -> None:
    pytester.makepyfile(SEEN)
    run_outside("--prodtest-isolate=netns", *workers).assert_outcomes(passed=2)
    without = run_outside(*workers)
    without.assert_outcomes(passed=1, failed=1)


def test_without_privileges_it_takes_a_user_namespace_or_says_what_to_do(
    pytester: pytest.Pytester, run_outside: Run
) -> None:
    """Whether the kernel gives one is its administrator's choice."""
    pytester.makepyfile(SEEN)
    result = run_outside("--prodtest-isolate=netns", first="setpriv --no-new-privs --bounding-set=-all")
    if result.ret == pytest.ExitCode.USAGE_ERROR:
        result.stderr.fnmatch_lines(["ERROR: *: the kernel gives no network namespace (*). Run as root*"])
    else:
        result.assert_outcomes(passed=2)


def test_threads_that_would_keep_the_network_are_refused(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        early="import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    pytester.makepyfile(SEEN)
    result = run("-p", "early", "-p", "langchain_prodtest", "--prodtest-isolate=netns")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --prodtest-isolate=netns: 1 threads run already*"])


def test_elsewhere_it_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match="needs Linux"):
        enter()
