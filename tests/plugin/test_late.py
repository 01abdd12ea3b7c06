"""A fake that is called after its test ended is reported, with the test that leaked it."""

from collections.abc import Callable

import pytest

Run = Callable[..., pytest.RunResult]


def test_late_calls_fail_the_run_and_name_the_test_that_leaked(
    pytester: pytest.Pytester, run_both: Run
) -> None:
    pytester.makepyfile(
        test_leaks="""
        import socket, threading
        import pytest
        from langchain_prodtest import Reply

        ended = {name: threading.Event() for name in ("chat", "wire")}
        leaked = {}

        def leak(name, call):
            def late():
                ended[name].wait(20)
                try:
                    call()
                except Exception:
                    pass
            leaked[name] = threading.Thread(target=late, name=f"late {name}", daemon=True)
            leaked[name].start()

        def test_chat(fake_chat):
            fake_chat.script(Reply("in time"))
            assert fake_chat.invoke("hi").text == "in time"
            leak("chat", lambda: fake_chat.invoke("hello?"))

        def test_chat_is_over():
            for name in leaked.keys() & {"chat"}:
                ended[name].set()
                leaked[name].join()

        def test_wire(fake_providers):
            host, port = "127.0.0.1", int(fake_providers.openai.url.split(":")[2].split("/")[0])
            leak("wire", lambda: socket.create_connection((host, port), timeout=1))

        def test_wire_is_over(pytestconfig):
            for name in leaked.keys() & {"wire"}:
                ended[name].set()
                leaked[name].join()
        """
    )
    distribution = ("--dist", "loadfile")  # the tests of this file follow each other in one worker
    result = run_both("-p", "langchain_prodtest", *distribution, "-W", "error")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        [
            "*ERROR: fakes called after their test*",
            "A fake of test_leaks.py::test_chat was called after that test had ended: fake_chat chat",
            '  from thread "late chat"*',
            "  during test_leaks.py::test_chat_is_over, at test_leaks.py:*",
            "A fake of test_leaks.py::test_wire was called after that test had ended: connect 127.0.0.1:*",
            "  during test_leaks.py::test_wire_is_over, at test_leaks.py:*",
            "Let the test wait for what it starts*",
        ]
    )


def test_a_test_that_waits_is_not_blamed(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import threading
        from langchain_prodtest import Reply

        def test_waits(fake_chat):
            fake_chat.script(Reply("hello"))
            thread = threading.Thread(target=fake_chat.invoke, args=["hi"])
            thread.start()
            thread.join()

        def test_another(fake_chat, fake_providers):
            fake_chat.script(Reply("hello"))
            assert fake_chat.invoke("hi").text == "hello"
        """
    )
    result = run("-p", "langchain_prodtest")
    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.OK
