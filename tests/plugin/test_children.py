"""A Python child of a test inherits the closed network; what it tries fails the test that started it."""

from collections.abc import Callable

import pytest

Run = Callable[..., pytest.RunResult]

CHILD = """
    import socket

    try:
        socket.create_connection(("192.0.2.1", 443), timeout=1)
    except OSError as error:
        print(type(error).__name__)
"""


def test_planted_leaks_of_children_each_fail_their_own_test(pytester: pytest.Pytester, run_both: Run) -> None:
    pytester.makepyfile(
        child=CHILD,
        test_leaks="""
        import multiprocessing, os, socket, subprocess, sys
        import pytest

        def leave(port=443):
            try:
                socket.create_connection(("192.0.2.1", port), timeout=1)
            except OSError:
                pass

        def test_subprocess():
            done = subprocess.run([sys.executable, "child.py"], capture_output=True, text=True, check=True)
            assert done.stdout == "EgressError\\n"

        @pytest.mark.parametrize("method", ["spawn", "forkserver"])
        def test_multiprocessing(method):
            process = multiprocessing.get_context(method).Process(target=leave, args=[444])
            process.start()
            process.join()

        def test_fork():
            process = multiprocessing.get_context("fork").Process(target=leave, args=[445])
            process.start()
            process.join()

        def test_grandchild():
            code = "import subprocess, sys; subprocess.run([sys.executable, 'child.py'], check=True)"
            subprocess.run([sys.executable, "-c", code], check=True)

        def test_uvloop():
            code = (
                "import asyncio, uvloop\\n"
                "async def main():\\n"
                "    try:\\n"
                "        loop = asyncio.get_running_loop()\\n"
                "        await loop.create_connection(asyncio.Protocol, '192.0.2.1', 9)\\n"
                "    except OSError:\\n"
                "        pass\\n"
                "asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main())\\n"
            )
            subprocess.run([sys.executable, "-c", code], check=True)

        @pytest.mark.prodtest(allow_hosts=["192.0.2.1"])
        def test_allowed():
            done = subprocess.run([sys.executable, "child.py"], capture_output=True, text=True, check=True)
            assert done.stdout == "OSError\\n"

        def test_loopback_works():
            with socket.create_server(("127.0.0.1", 0)) as server:
                code = f"import socket; socket.create_connection({server.getsockname()!r}).close()"
                subprocess.run([sys.executable, "-c", code], check=True)
        """,
    )
    result = run_both("-p", "langchain_prodtest", "-W", "ignore::DeprecationWarning")
    result.assert_outcomes(passed=8, errors=6)
    text = result.stdout.str()
    for said in (
        "A network call tried to leave the test: 192.0.2.1:443\n",
        "  in the child process ",
        " child.py\n",
        "  during test_leaks.py::test_subprocess, at child.py:4  socket.create_connection",
        "A network call tried to leave the test: 192.0.2.1:444\n",
        "A network call tried to leave the test: 192.0.2.1:445\n",
        "  in the child process fork ",
        "A network call tried to leave the test: 192.0.2.1:9\n",
    ):
        assert said in text


def test_a_child_keeps_its_own_sitecustomize(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import os, subprocess, sys

        def test_chained(tmp_path, monkeypatch):
            (tmp_path / "sitecustomize.py").write_text("print('mine')")
            monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
            first = subprocess.run([sys.executable, "-c", ""], capture_output=True, text=True, check=True)
            *ours, theirs = os.environ["PYTHONPATH"].split(os.pathsep)[:2][::-1]
            monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*ours, theirs]))
            then = subprocess.run([sys.executable, "-c", ""], capture_output=True, text=True, check=True)
            assert (first.stdout, then.stdout) == ("mine\\n", "mine\\n")
            assert (first.stderr, then.stderr) == ("", "")
        """
    )
    run("-p", "langchain_prodtest").assert_outcomes(passed=1)


def test_the_environment_is_back_after_the_last_test_that_closes_the_network(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(
        """
        import os

        before = dict(os.environ)

        def test_closed(fake_chat):
            assert "PRODTEST_CHILD" in os.environ

        def test_open():
            assert {**os.environ, "PYTEST_CURRENT_TEST": ""} == {**before, "PYTEST_CURRENT_TEST": ""}
        """
    )
    run().assert_outcomes(passed=2)
