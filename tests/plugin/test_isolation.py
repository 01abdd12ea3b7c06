"""Every attempt to leave fails the test that made it, from any thread, swallowed or not."""

from collections.abc import Callable

import pytest

Run = Callable[..., pytest.RunResult]


LEAKS = """
    import asyncio, os, socket, threading
    import _socket
    import urllib.request
    import pytest

    connect = socket.socket.connect          # saved before the test, as libraries do

    def swallow(function):
        try:
            function()
        except OSError:
            pass

    def test_swallowed():
        swallow(lambda: socket.create_connection(("192.0.2.1", 443), timeout=1))

    def test_daemon_thread():
        thread = threading.Thread(target=swallow, args=[test_swallowed], name="tracer", daemon=True)
        thread.start()
        thread.join()

    def test_look_up_only():
        swallow(lambda: socket.getaddrinfo("api.invalid", 443))

    def test_datagram():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            swallow(lambda: sock.sendto(b"x", ("192.0.2.1", 53)))

    def test_saved_method():
        with socket.socket() as sock:
            swallow(lambda: connect(sock, ("192.0.2.1", 443)))

    def test_c_module():
        sock = _socket.socket()
        swallow(lambda: sock.connect(("192.0.2.1", 443)))
        sock.close()

    def test_event_loop():
        swallow(lambda: asyncio.run(asyncio.open_connection("192.0.2.1", 443)))

    def test_executor():
        async def look_up():
            await asyncio.get_running_loop().getaddrinfo("api.invalid", 443)
        swallow(lambda: asyncio.run(look_up()))

    def test_urllib():
        swallow(lambda: urllib.request.urlopen("http://api.invalid/"))
"""


def test_planted_leaks_each_fail_their_own_test(pytester: pytest.Pytester, run_both: Run) -> None:
    pytester.makepyfile(test_leaks=LEAKS)
    result = run_both("-p", "langchain_prodtest", "-q")
    result.assert_outcomes(passed=9, errors=9)
    text = result.stdout.str()
    for said in (
        "A network call tried to leave the test: 192.0.2.1:443\n",
        "A network call tried to leave the test: 192.0.2.1:53\n",
        "A network call tried to leave the test: api.invalid:443\n",
        '  connect from thread "tracer"\n',
        "  during test_leaks.py::test_datagram, at test_leaks.py:",
        "  The error was swallowed, so the test itself passed.\n",
        'or allow the host: @pytest.mark.prodtest(allow_hosts=["192.0.2.1"])\n',
    ):
        assert said in text


def test_an_error_that_was_not_swallowed_is_told_too(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import socket

        def test_raises():
            socket.create_connection(("192.0.2.1", 443))
        """
    )
    result = run("-p", "langchain_prodtest")
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*A network call tried to leave the test*", "*EgressError: connect 192.0.2.1*"]
    )
    result.stdout.no_fnmatch_line("*The error was swallowed*")


def test_loopback_and_allowed_hosts_pass(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import socket
        import pytest

        def test_loopback():
            with socket.create_server(("127.0.0.1", 0)) as server:
                socket.create_connection(("localhost", server.getsockname()[1])).close()

        def test_unix_pair():
            for sock in socket.socketpair():
                sock.close()

        @pytest.mark.prodtest(allow_hosts=["192.0.2.1"])
        def test_allowed():
            with pytest.raises(OSError, match="unreachable"):
                socket.create_connection(("192.0.2.1", 443), timeout=1)

        @pytest.mark.enable_socket
        def test_opened_by_pytest_socket():
            with pytest.raises(OSError, match="unreachable"):
                socket.create_connection(("192.0.2.2", 443), timeout=1)
        """
    )
    run("-p", "langchain_prodtest").assert_outcomes(passed=4)


def test_an_attempt_outside_of_tests_fails_the_run(pytester: pytest.Pytester, run_both: Run) -> None:
    pytester.makepyfile(
        test_outside="""
        import socket

        def test_fine():
            pass

        try:
            socket.getaddrinfo("at-import.invalid", 80)
        except OSError:
            pass
        """,
        conftest="""
        import pytest, socket

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_logfinish():
            try:
                socket.getaddrinfo("between.invalid", 80)
            except OSError:
                pass
        """,
    )
    result = run_both("-p", "langchain_prodtest")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*ERROR: network calls outside of tests*"])
    result.stdout.fnmatch_lines_random(
        [
            "A network call tried to leave the test: at-import.invalid:80*",
            "  during collection*",
            "A network call tried to leave the test: between.invalid:80*",
            "  after test_outside.py::test_fine*",
        ]
    )


def test_the_fakes_close_the_network_for_their_own_test_only(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import socket
        import pytest

        def leave():
            with pytest.raises(OSError):
                socket.create_connection(("192.0.2.1", 443), timeout=1)

        def test_closed(fake_chat):
            leave()

        def test_open_again():
            leave()
        """
    )
    result = run()
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_closed*"])


def test_what_pytest_socket_refuses_fails_the_test_too(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import socket
        import pytest

        @pytest.mark.filterwarnings("ignore:A test tried")
        @pytest.mark.disable_socket
        def test_look_up():
            try:
                socket.create_connection(("api.invalid", 443))
            except RuntimeError:
                pass

        @pytest.mark.filterwarnings("ignore:A test tried")
        @pytest.mark.allow_hosts(["127.0.0.1"])
        def test_connect():
            with socket.socket() as sock:
                try:
                    sock.connect(("192.0.2.1", 443))
                except RuntimeError:
                    pass

        @pytest.mark.filterwarnings("ignore:A test tried")
        @pytest.mark.allow_hosts(["192.0.2.1"])
        def test_loopback_is_no_egress():
            with socket.socket() as sock:
                with pytest.raises(RuntimeError):
                    sock.connect(("127.0.0.1", 443))
        """
    )
    result = run("-p", "langchain_prodtest")
    result.assert_outcomes(passed=3, errors=2)
    text = result.stdout.str()
    assert "A network call tried to leave the test: api.invalid\n" in text
    assert "A network call tried to leave the test: 192.0.2.1\n" in text


def test_uvloop_is_covered_by_name(pytester: pytest.Pytester, run: Run) -> None:
    """Its sockets and look-ups are its own: no audit event tells of them."""
    pytester.makepyfile(
        """
        import asyncio, socket
        import pytest, uvloop

        async def connect(loop):
            await loop.create_connection(asyncio.Protocol, "192.0.2.1", 443)

        async def datagram(loop):
            await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("192.0.2.1", 53))

        async def look_up(loop):
            await loop.getaddrinfo("api.invalid", 443)

        async def sock_connect(loop):
            with socket.socket() as sock:
                sock.setblocking(False)
                await loop.sock_connect(sock, ("192.0.2.1", 443))

        @pytest.mark.parametrize("leak", [connect, datagram, look_up, sock_connect])
        def test_leak(leak):
            async def main():
                try:
                    await leak(asyncio.get_running_loop())
                except OSError:
                    pass
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(main())

        def test_loopback_works():
            async def main():
                server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
                async with server:
                    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                    assert await reader.read() == b""
                    writer.close()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(main())
        """
    )
    run("-p", "langchain_prodtest").assert_outcomes(passed=5, errors=4)


def test_told_secrets_and_blocked_loops_fail_the_test(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import asyncio, logging, os, time
        import pytest, tiktoken

        def test_told(fake_providers):
            logging.getLogger("app").warning("key %s", os.environ["OPENAI_API_KEY"])

        async def wait(seconds):
            time.sleep(seconds)

        @pytest.mark.prodtest(max_block=0.1)
        def test_blocked():
            asyncio.run(wait(1))

        def test_unwatched():
            asyncio.run(wait(0.5))

        def test_tokens_need_no_download(fake_providers):
            assert len(tiktoken.encoding_for_model("gpt-4o").encode("seat")) == 4
        """
    )
    result = run("-p", "langchain_prodtest")
    result.assert_outcomes(passed=4, errors=2)
    text = result.stdout.str()
    assert "The provider's key was told: captured log" in text
    assert "  WARNING" in text
    assert "The event loop stood still for " in text
    assert "time.sleep(seconds)" in text
