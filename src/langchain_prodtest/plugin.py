"""The pytest plugin: options, the marker, the fixtures. It builds objects and holds no logic.

Installed, it is inert. It closes the network for a whole run where it was asked to: by
`-p langchain_prodtest`, or by a configuration in the root folder; and for one test by its fakes.
"""

import importlib
import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from langchain_prodtest import hooks
from langchain_prodtest.errors import UsageError
from langchain_prodtest.rig.named import is_named
from langchain_prodtest.verdict import (
    BLOCKS,
    FAKES,
    FOUND,
    LATE,
    NETWORK,
    OPTIONS,
    PASSED,
    REFUSED,
    REPLAY,
    SOCKETS,
    begin,
    late_connects,
    problems,
)

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

    from langchain_prodtest.fakes.chat import ScriptedChat
    from langchain_prodtest.fakes.langsmith import FakeLangSmith
    from langchain_prodtest.fakes.providers import FakeProviders
    from langchain_prodtest.isolation.network import Network
    from langchain_prodtest.rig.items import ExperimentFile
    from langchain_prodtest.toxiproxy.client import Toxiproxy
    from langchain_prodtest.toxiproxy.resolve import Resolved

__all__: list[str] = []

# Registered under their entry points' names: autoloading then finds them there and `-p no:NAME` still holds.
# pytest's own import_plugin("socket") would warn about, or on old versions register, the stdlib's socket.
STANDS_ON = {"socket": "pytest_socket", "syrupy": "syrupy"}

GOOD = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)

# Texts of refused calls on a report, and in the output of an xdist worker; there, those of late calls too.
EGRESS, LATE_CALLS = "prodtest_egress", "prodtest_late"


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the options, and load the plugins this one stands on where autoloading is off."""
    for name, module in STANDS_ON.items():
        if not (pluginmanager.is_blocked(name) or pluginmanager.has_plugin(name)):
            pluginmanager.register(importlib.import_module(module), name)
    parser.getgroup("prodtest", "langchain-prodtest").addoption(
        "--prodtest-evidence",
        metavar="DIR",
        help="write the evidence of this run into the run folder DIR (default: $PRODTEST_RUN, else none)",
    )
    parser.getgroup("prodtest").addoption(
        "--prodtest-isolate",
        choices=["netns"],
        help="run in an empty network namespace (Linux): what no hook can see has no network there either",
    )
    parser.addini("prodtest_allow_hosts", "hosts that every test may reach, such as localhost:5432", "args")
    parser.getgroup("prodtest").addoption(
        "--prodtest-faults", action="store_true", help="print what can go wrong (faults=...), and exit"
    )
    parser.getgroup("prodtest").addoption(
        "--prodtest-replay", metavar="FILE", type=Path, help="run what a failed test wrote, and nothing else"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Leave the network before any code of the project is imported, and xdist's workers are started."""
    if early_config.known_args_namespace.prodtest_isolate:
        from langchain_prodtest.isolation.namespace import enter

        try:
            enter()
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let a conftest say how its own types are written in snapshots."""
    pluginmanager.add_hookspecs(hooks)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, close the network if asked to, and start to record if there is a folder."""
    config.addinivalue_line(
        "markers",
        "prodtest(strict=True, allow_hosts=[], faults=[], transparent=False, auto=False, "
        "max_block=None): how the fakes answer, what the test may reach, and which faults it goes through",
    )
    is_closed = _is_asked_for(config)
    if is_closed:
        network = _network(config)
        network.when = "during collection"
        closed = ExitStack()
        closed.enter_context(network.closed())
        if config.getoption("dist", "no") == "no":  # else the workers run the tests
            from langchain_prodtest.isolation.children import carried

            closed.enter_context(carried(network))
        if config.pluginmanager.has_plugin("socket"):
            from langchain_prodtest.isolation.refusals import journalled_refusals

            closed.enter_context(journalled_refusals(network))
        config.add_cleanup(closed.close)
    folder = config.getoption("--prodtest-evidence") or os.environ.get("PRODTEST_RUN")
    if folder and not _is_worker(config):
        from langchain_prodtest.results import recorder_for

        recorder = recorder_for(config, folder, _refused(config), is_closed)
        config.pluginmanager.register(recorder, "prodtest-recorder")
    if config.getoption("--prodtest-replay"):
        from langchain_prodtest.rerun import start

        start(config, config.getoption("--prodtest-replay"))


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Print the catalogue of faults instead of running tests."""
    if not config.getoption("--prodtest-faults"):
        return None
    from langchain_prodtest.catalogue import table

    print(table())
    return 0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Read a test's marker while it is collected, and run the test once for each fault it asks for."""
    if metafunc.definition.get_closest_marker("prodtest"):
        from langchain_prodtest.marker import parametrize_faults

        parametrize_faults(metafunc)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what the replay file is about."""
    if REPLAY in config.stash:
        from langchain_prodtest.rerun import select

        select(config, items)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "ExperimentFile | None":
    """Collect an experiment where the command line names it or its folder."""
    if file_path.suffix != ".toml" or not is_named(file_path, parent.config):
        return None
    from langchain_prodtest.rig.items import ExperimentFile

    made: ExperimentFile = ExperimentFile.from_parent(parent, path=file_path)
    return made


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """After a test failed, look for the smallest fault with which it still does."""
    result = yield
    if FOUND in item.stash:
        from langchain_prodtest.rerun import shrink

        shrink(item, nextitem)
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Read the test's marker, and allow what it allows."""
    if item.get_closest_marker("prodtest"):
        from langchain_prodtest.marker import read_options

        item.stash[OPTIONS] = read_options(item)
    if NETWORK in item.config.stash:
        begin(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Watch the event loops of a test that says how long one may stand still."""
    options = item.stash.get(OPTIONS, None)
    if options is None or options.max_block is None:
        return (yield)
    from langchain_prodtest.isolation.blocking import every_loop

    with every_loop(options.max_block, item.config.rootpath) as item.stash[BLOCKS]:
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Fail the test for calls that tried to leave and for scripts that were not followed."""
    try:
        result = yield
    except BaseException as error:
        for problem in problems(item):
            error.add_note(problem)
        raise
    found = problems(item)
    if found:
        pytest.fail("\n\n".join(found), pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether the test passed; let the report carry its refused calls to whoever records."""
    if call.when == "call":
        item.stash[PASSED] = call.excinfo is None
    report = yield
    if call.when == "call" and call.excinfo and item.get_closest_marker("prodtest"):
        from langchain_prodtest.rerun import note

        note(item, call, report)
    if call.when == "teardown" and REFUSED in item.stash:
        setattr(report, EGRESS, item.stash[REFUSED])
    if call.when == "teardown" and NETWORK in item.config.stash:
        vars(report)["prodtest_opened"] = item.config.stash[NETWORK].is_open
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Take over what an xdist worker saw outside of its tests."""
    config: pytest.Config = node.config  # type: ignore[attr-defined]
    output = getattr(node, "workeroutput", {})
    _refused(config).extend(text for text in output.get(EGRESS, []) if text not in _refused(config))
    config.stash.setdefault(LATE, []).extend(output.get(LATE_CALLS, []))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run for calls that tried to leave outside of any test, or came to a fake after its test."""
    config = session.config
    if NETWORK in config.stash:
        from langchain_prodtest.isolation.attempt import describe

        _refused(config).extend(describe(same, swallowed=False) for same in config.stash[NETWORK].take())
        late_connects(config)
        config.stash[SOCKETS].close()
    late = config.stash.get(LATE, [])
    if _is_worker(config):
        config.workeroutput.update({EGRESS: _refused(config), LATE_CALLS: late})  # type: ignore[attr-defined]
    elif (_refused(config) or late) and session.exitstatus in (
        pytest.ExitCode.OK,
        pytest.ExitCode.NO_TESTS_COLLECTED,
    ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show calls that tried to leave outside of any test, and those to fakes whose test had ended."""
    refused = _refused(config)
    if refused:
        terminalreporter.section("ERROR: network calls outside of tests", red=True)
        terminalreporter.write_line("\n\n".join(refused))
    if late := config.stash.get(LATE, []):
        terminalreporter.section("ERROR: fakes called after their test", red=True)
        terminalreporter.write_line("\n\n".join(late))


@pytest.fixture
def fake_chat(request: pytest.FixtureRequest, prodtest_network: object) -> "ScriptedChat":
    """A chat model that answers what `fake_chat.script(...)` says; strict at the end of the test."""
    from langchain_prodtest.fakes.chat import ScriptedChat
    from langchain_prodtest.fixtures import script_for

    model = ScriptedChat()
    model.follow(script_for(request.node.stash.get(OPTIONS, None), request.config.stash.get(REPLAY, None)))
    request.node.stash.setdefault(FAKES, []).append(model)
    return model


@pytest.fixture
def fake_providers(request: pytest.FixtureRequest, prodtest_network: object) -> Iterator["FakeProviders"]:
    """Fake providers on a real socket; clients built in the test are led to them by the environment.

    With `@pytest.mark.prodtest(transparent=True)` the clients keep their production URLs. Where pytest-socket
    forbids ports (`--disable-socket --allow-unix-socket`), the fakes listen on a UNIX socket.
    """
    from langchain_prodtest.fixtures import served

    options, replay = request.node.stash.get(OPTIONS, None), request.config.stash.get(REPLAY, None)
    with served(options, replay) as providers:
        request.node.stash.setdefault(FAKES, []).append(providers)
        yield providers


@pytest.fixture
def fake_langsmith(prodtest_network: object) -> Iterator["FakeLangSmith"]:
    """A LangSmith that tracing is on for and that keeps the runs: `fake_langsmith.recorded`."""
    from langchain_prodtest.fakes.langsmith import traced

    with traced() as client:
        yield client


@pytest.fixture
def lc_snapshot(request: pytest.FixtureRequest, snapshot: "SnapshotAssertion") -> "SnapshotAssertion":
    """Syrupy's snapshot for LangChain's types, streams and graphs, without what differs each run."""
    from langchain_prodtest.fakes.environment import KEY
    from langchain_prodtest.snapshots.extension import extension

    return snapshot.use_extension(
        extension(KEY, lambda data: request.config.hook.pytest_prodtest_normalise(data=data))
    )


@pytest.fixture(scope="session")
def prodtest_toxiproxy() -> Iterator["Resolved"]:
    """The Toxiproxy of this run: that at TOXIPROXY_URL, a toxiproxy-server on PATH, or the embedded one."""
    from langchain_prodtest.toxiproxy.resolve import resolve
    from langchain_prodtest.toxiproxy.undo import Watchdog

    with Watchdog() as watchdog, resolve(watchdog=watchdog) as resolved:
        yield resolved


@pytest.fixture
def toxiproxy(prodtest_toxiproxy: "Resolved", prodtest_network: object) -> Iterator["Toxiproxy"]:
    """A client of it; the proxies that the test creates are removed at its end."""
    from langchain_prodtest.toxiproxy.resolve import lend

    with lend(prodtest_toxiproxy) as client:
        yield client


@pytest.fixture
def prodtest_network(request: pytest.FixtureRequest) -> Iterator["Network"]:
    """The network, closed for this test; what tries to leave is in `prodtest_network.take()`."""
    network = _network(request.config)
    if network.is_closed:
        yield network
        return
    from langchain_prodtest.isolation.children import carried

    with network.closed(), carried(network):
        begin(request.node)
        yield network


def _is_asked_for(config: pytest.Config) -> bool:
    if "langchain_prodtest" in config.getoption("plugins", []):
        return True
    project = config.rootpath / "pyproject.toml"
    configured = project.is_file() and "[tool.prodtest" in project.read_text("utf-8", errors="replace")
    return configured or (config.rootpath / "prodtest.toml").is_file()


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _network(config: pytest.Config) -> "Network":
    if NETWORK not in config.stash:
        from langchain_prodtest.isolation.network import Network
        from langchain_prodtest.isolation.sockets import Sockets

        config.stash[NETWORK] = Network(config.rootpath)
        config.stash[SOCKETS] = Sockets(run=os.getppid() if _is_worker(config) else os.getpid())
    return config.stash[NETWORK]


def _refused(config: pytest.Config) -> list[str]:
    return config.stash.setdefault(REFUSED, [])
