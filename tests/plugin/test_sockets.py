"""Connections that no hook saw are found at the end of the test; so are those to what others run here."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from langchain_prodtest.isolation.proc import connected, family, listening, owned_by

Run = Callable[..., pytest.RunResult]

LIBC = """
    import ctypes, os, socket, struct

    def connect(host, port):
        sock = socket.socket()
        address = struct.pack("=H2s4s8x", socket.AF_INET, port.to_bytes(2, "big"), socket.inet_aton(host))
        assert ctypes.CDLL(None).connect(sock.fileno(), address, len(address)) == 0
        return sock
"""


def test_a_connection_that_python_did_not_make_fails_its_test(pytester: pytest.Pytester, run: Run) -> None:
    """The namespace of the run has a foreign address of its own, on which a child of the run listens."""
    pytester.makepyfile(
        libc=LIBC,
        test_leaks="""
        import socket, subprocess
        import pytest
        from libc import connect

        @pytest.fixture(scope="module", autouse=True)
        def server():
            assert socket.if_nameindex() == [(1, "lo")]  # no network but this run's
            subprocess.run(["ip", "addr", "add", "192.0.2.1/32", "dev", "lo"], check=True)
            with socket.create_server(("192.0.2.1", 4443)) as made:
                yield made

        kept = []

        def test_left_open():
            kept.append(connect("192.0.2.1", 4443))

        def test_told_once():
            pass

        def test_closed_in_time():
            connect("192.0.2.1", 4443).close()

        @pytest.mark.prodtest(allow_hosts=["192.0.2.1"])
        def test_allowed():
            kept.append(connect("192.0.2.1", 4443))

        def test_loopback():
            with socket.create_server(("127.0.0.1", 0)) as made:
                kept.append(connect(*made.getsockname()))
                kept[-1].close()
        """,
    )
    result = run("-p", "langchain_prodtest", "-W", "ignore::ResourceWarning")
    result.assert_outcomes(passed=5, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_left_open*",
            "A network connection left the test: 192.0.2.1:4443",
            "  during test_leaks.py::test_left_open",
            "*or allow the host: @pytest.mark.prodtest(allow_hosts=*",
        ]
    )


OTHERS = """
    import socket, subprocess, sys
    import pytest

    SERVE = (
        "import socket, sys\\n"
        "server = socket.create_server(('127.0.0.1', 0))\\n"
        "print(server.getsockname()[1], flush=True)\\n"
        "sys.stdin.read()\\n"
    )

    @pytest.fixture
    def port():
        command = [sys.executable, "-c", SERVE]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            yield int(child.stdout.readline())
            child.stdin.close()

    def test_a_child(port):
        socket.create_connection(("127.0.0.1", port)).close()

    def test_this_process():
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(("localhost", server.getsockname()[1])).close()

    def test_nobody():
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", 1))

    def test_somebody_else():
        socket.create_connection(("127.0.0.1", {port})).close()

    @pytest.mark.prodtest(allow_hosts=["localhost:{port}"])
    def test_allowed():
        socket.create_connection(("127.0.0.1", {port})).close()
"""


@pytest.fixture
def foreign_port() -> Iterator[int]:
    """Somebody else's: this process is no child of the run."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_connection_to_what_others_run_here_is_warned_of(
    pytester: pytest.Pytester, run_here: Run, foreign_port: int, workers: tuple[str, ...]
) -> None:
    pytester.makepyfile(test_local=OTHERS.replace("{port}", str(foreign_port)))
    result = run_here("-p", "langchain_prodtest", *workers)
    result.assert_outcomes(passed=5, warnings=1)
    text = result.stdout.str()
    assert f"The test connected to 127.0.0.1:{foreign_port}, where a process listens" in text
    assert "during test_local.py::test_somebody_else, at test_local.py:" in text
    assert f'@pytest.mark.prodtest(allow_hosts=["localhost:{foreign_port}"])' in text


def test_the_warning_is_made_an_error_as_any_other(
    pytester: pytest.Pytester, run_here: Run, foreign_port: int
) -> None:
    pytester.makepyfile(test_local=OTHERS.replace("{port}", str(foreign_port)))
    warning = "langchain_prodtest.isolation.sockets.LoopbackWarning"
    result = run_here("-p", "langchain_prodtest", "-o", f"filterwarnings=error::{warning}")
    result.assert_outcomes(passed=5, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_somebody_else*", "The test connected to *"])
    allowed = run_here("-p", "langchain_prodtest", "-o", f"prodtest_allow_hosts=localhost:{foreign_port}")
    allowed.assert_outcomes(passed=5)


def test_proc_tells_both_ends() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        host, port = server.getsockname()[:2]
        with socket.create_connection((host, port)) as client, server.accept()[0] as accepted:
            mine = owned_by(os.getpid())
            assert listening()[port] <= mine
            peers = {(peer.host, peer.port) for peer in connected() if peer.inode in mine}
            assert {("::1", port), client.getsockname()[:2]} <= peers
            assert accepted.getpeername() == client.getsockname()


def test_proc_tells_descendants() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 60 & wait"]) as shell:
        while len(found := family(shell.pid)) < 2:
            time.sleep(0.01)
        assert shell.pid in found
        assert found < family(os.getpid())
        for process in found:
            os.kill(process, signal.SIGKILL)
