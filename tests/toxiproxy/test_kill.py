"""A killed or frozen runner leaves no fault and no process behind."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from langchain_prodtest.toxiproxy.client import Toxiproxy

LEASE = 2.0

RUNNER = textwrap.dedent(
    """
    import json, sys, time
    from langchain_prodtest.toxiproxy.faults import inject
    from langchain_prodtest.toxiproxy.resolve import resolve
    from langchain_prodtest.toxiproxy.undo import Watchdog

    given, upstream, lease = sys.argv[1], sys.argv[2], float(sys.argv[3])
    with Watchdog() as watchdog, resolve(given or None, watchdog=watchdog) as resolved:
        client = resolved.client()
        one, other = client.create(upstream, "one"), client.create(upstream, "other")
        toxic = {"type": "latency", "attributes": {"latency": 1}}
        with inject(one, watchdog, down=True, lease=lease), inject(other, watchdog, toxic=toxic, lease=lease):
            process = resolved.process.pid if resolved.process else 0
            print(json.dumps({"url": resolved.url, "watchdog": watchdog.pid, "server": process}), flush=True)
            time.sleep(600)
    """
)


@pytest.fixture
def start(peer: Any) -> Iterator[Any]:
    """Start a runner in its own process group that holds a down and a toxic; what it says of itself."""
    started = []

    def run(env: dict[str, str], given: str = "") -> Any:
        command = [sys.executable, "-c", RUNNER, given, peer.address, str(LEASE)]
        runner: Any = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(runner)
        return runner, json.loads(runner.stdout.readline())

    yield run
    for runner in started:
        runner.kill()
        runner.wait()
        runner.stdout.close()


def faults_of(client: Any) -> Any:
    one, other = client.get_proxy("one"), client.get_proxy("other")
    return [not one.enabled, bool(other.toxics())]


def runs(pid: int) -> Any:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
        return stat.read().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("kind", ["embedded", "real"])
def test_kill_of_the_process_group_ends_the_server_it_started(
    start: Any, environment: Any, until: Any, kind: str
) -> None:
    runner, said = start(environment(kind))
    assert runs(said["server"])
    os.killpg(runner.pid, signal.SIGKILL)
    until(lambda: not runs(said["server"]), 20)
    until(lambda: not runs(said["watchdog"]), 20)
    assert not Toxiproxy(said["url"]).running()


def test_kill_of_the_process_group_undoes_the_faults_on_a_given_server(
    start: Any, environment: Any, toxi: Any, until: Any
) -> None:
    runner, said = start(environment("embedded"), toxi.url)
    assert faults_of(toxi) == [True, True]
    os.killpg(runner.pid, signal.SIGKILL)
    until(lambda: faults_of(toxi) == [False, False])
    until(lambda: not runs(said["watchdog"]), 20)


def test_frozen_runner_loses_its_lease(start: Any, environment: Any, toxi: Any, until: Any) -> None:
    runner, _ = start(environment("embedded"), toxi.url)
    assert faults_of(toxi) == [True, True]
    os.killpg(runner.pid, signal.SIGSTOP)
    until(lambda: faults_of(toxi) == [False, False], LEASE + 15)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_to_the_process_group_undoes_the_faults(
    start: Any, environment: Any, toxi: Any, until: Any, number: signal.Signals
) -> None:
    runner, said = start(environment("embedded"), toxi.url)
    os.killpg(runner.pid, number)
    until(lambda: faults_of(toxi) == [False, False])
    until(lambda: not runs(said["watchdog"]), 20)
