"""Installed, the plugin changes nothing; it closes the network only where it is asked to."""

from collections.abc import Callable

import pytest

Run = Callable[..., pytest.RunResult]


LEAK = """
    import socket

    def test_leak():
        try:
            socket.getaddrinfo("api.invalid", 443)
        except OSError:
            pass
"""
PROBE = """
    import sys

    def test_probe():
        loaded = sys.modules.keys()
        assert "langchain_prodtest.plugin" in loaded
        assert not [name for name in loaded if name.startswith("langchain_prodtest.isolation")]
        assert not {"langchain_core", "msgspec", "click", "rich", "gevent"} & loaded
"""


def test_without_being_asked_it_is_inert(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_leak=LEAK, test_probe=PROBE)
    run().assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pytest.ini", "[pytest]\naddopts = -p langchain_prodtest\n"),
        ("prodtest.toml", ""),
        ("pyproject.toml", "[tool.prodtest.target]\nurl = 'http://127.0.0.1:1'\n"),
    ],
)
def test_asked_by_a_file_in_the_root_it_is_on(
    pytester: pytest.Pytester, run: Run, file: str, text: str
) -> None:
    pytester.makepyfile(LEAK)
    (pytester.path / file).write_text(text)
    run("--rootdir", str(pytester.path)).assert_outcomes(passed=1, errors=1)


def test_asked_by_a_file_it_is_on_in_xdist_workers_too(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(LEAK)
    pytester.makeini("[pytest]\naddopts = -p langchain_prodtest\n")
    run("-n", "1").assert_outcomes(passed=1, errors=1)


def test_another_s_pyproject_leaves_it_inert(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(LEAK)
    pytester.makepyprojecttoml("[tool.pytest.ini_options]\naddopts = '-q'\n")
    run().assert_outcomes(passed=1)


def test_it_works_where_autoloading_is_off(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(
        """
        def test_plugins(pytestconfig, lc_snapshot):
            assert pytestconfig.pluginmanager.get_plugin("socket").__name__ == "pytest_socket"
        """
    )
    run("-p", "langchain_prodtest", "-W", "error").assert_outcomes(passed=1)


def test_pytest_socket_can_still_be_switched_off(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(LEAK)
    run("-p", "langchain_prodtest", "-p", "no:socket").assert_outcomes(passed=1, errors=1)
