"""What is wrong with a test whatever its own assertions say."""

import warnings
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_prodtest.fakes.chat import ScriptedChat
    from langchain_prodtest.fakes.providers import FakeProviders
    from langchain_prodtest.isolation.blocking import Block
    from langchain_prodtest.isolation.network import Network
    from langchain_prodtest.isolation.sockets import Sockets
    from langchain_prodtest.marker import Options
    from langchain_prodtest.replay import Replay
    from langchain_prodtest.script import Request, Step

__all__ = [
    "BLOCKS",
    "FAKES",
    "FOUND",
    "LATE",
    "NETWORK",
    "OPTIONS",
    "PASSED",
    "REFUSED",
    "REPLAY",
    "SEED",
    "SOCKETS",
    "begin",
    "late_connects",
    "problems",
]

NETWORK: pytest.StashKey["Network"] = pytest.StashKey()
SOCKETS: pytest.StashKey["Sockets"] = pytest.StashKey()
OPTIONS: pytest.StashKey["Options"] = pytest.StashKey()
FAKES: pytest.StashKey[list["ScriptedChat | FakeProviders"]] = pytest.StashKey()
BLOCKS: pytest.StashKey[list["Block"]] = pytest.StashKey()
PASSED = pytest.StashKey[bool]()
REFUSED = pytest.StashKey[list[str]]()  # on a test: texts of its refused calls; on the config: of all others

REPLAY: pytest.StashKey["Replay"] = pytest.StashKey()  # on the config: what is run now
FOUND: pytest.StashKey[tuple["Path", "Replay"]] = pytest.StashKey()  # on a test: what it wrote when it failed
LATE: pytest.StashKey[list[str]] = pytest.StashKey()  # on the config: calls to fakes of tests that had ended
SEED = pytest.StashKey[int]()  # on a test of ProductionTests: what its nonces are made from


def begin(item: pytest.Item) -> None:
    """File what tries to leave under this test, and allow what its markers allow."""
    from langchain_prodtest.isolation.children import tell
    from langchain_prodtest.isolation.named import cover_uvloop
    from langchain_prodtest.isolation.policy import apply_policy

    network, options = item.config.stash[NETWORK], item.stash.get(OPTIONS, None)
    network.when = _during(item)
    cover_uvloop()
    apply_policy(network, item, options.allow_hosts if options else [])
    tell(network)


def problems(item: pytest.Item) -> list[str]:
    """Return one text for each; what was refused stays on the test for its report."""
    found = [*_egress(item), *_local(item), *_scripts(item), *_secrets(item), *_blocks(item)]
    for fake in item.stash.get(FAKES, []):
        _end(fake, item)
    return found


def late_connects(config: pytest.Config) -> None:
    """Note connections to the fake providers of tests that have ended."""
    local = config.stash[NETWORK].local
    if not (late := config.stash[SOCKETS].kept(local)):
        return
    from langchain_prodtest.isolation.attempt import describe_late

    for port, test in late.items():
        text = describe_late(test, f"connect {local[port].target}", local[port])
        config.stash.setdefault(LATE, []).append(text)


def _end(fake: "ScriptedChat | FakeProviders", item: pytest.Item) -> None:
    """Note whoever calls a fake from now on."""
    from langchain_prodtest.isolation.attempt import describe_late, witness

    late, script = item.config.stash.setdefault(LATE, []), fake.journal
    if SOCKETS in item.config.stash and (port := getattr(fake, "port", None)):
        item.config.stash[SOCKETS].keep(port, item.nodeid)
    answer = script.next

    def answer_late(request: "Request") -> "Step | None":
        network = item.config.stash[NETWORK]
        attempt = witness("", None, "", network.when, network.root)
        late.append(describe_late(item.nodeid, f"{request.provider} {request.operation}", attempt))
        return answer(request)

    vars(script)["next"] = answer_late


def _egress(item: pytest.Item) -> list[str]:
    if NETWORK not in item.config.stash:
        return []
    from langchain_prodtest.isolation.attempt import describe, describe_open

    network = item.config.stash[NETWORK]
    network.when = f"after {item.nodeid}"
    passed = item.stash.get(PASSED, False)
    texts = [describe(same, swallowed=passed) for same in network.take(_during(item))]
    peers = {(peer.host, peer.port) for peer in item.config.stash[SOCKETS].new_peers()}
    texts += [describe_open(*peer, _during(item)) for peer in sorted(peers) if network.leaves(*peer)]
    if texts:
        item.stash[REFUSED] = texts
    return texts


def _local(item: pytest.Item) -> list[str]:
    """Warn of connections to what others run on this machine; texts where warnings are made errors."""
    if NETWORK not in item.config.stash:
        return []
    late_connects(item.config)
    network = item.config.stash[NETWORK]
    connects, network.local = network.local, {}
    if not connects:
        return []
    from langchain_prodtest.isolation.attempt import describe_local
    from langchain_prodtest.isolation.sockets import LoopbackWarning

    texts = []
    for port in item.config.stash[SOCKETS].of_others(connects):
        try:
            warnings.warn(LoopbackWarning(describe_local(connects[port])), stacklevel=1)
        except LoopbackWarning as error:
            texts.append(str(error))
    return texts


def _scripts(item: pytest.Item) -> list[str]:
    options = item.stash.get(OPTIONS, None)
    if FAKES not in item.stash or not (options is None or options.strict):
        return []
    from langchain_prodtest.fakes.strictness import complaints

    passed = item.stash.get(PASSED, False)
    return [text for fake in item.stash[FAKES] for text in complaints(fake.journal, fake.mistakes, passed)]


def _secrets(item: pytest.Item) -> list[str]:
    if FAKES not in item.stash:
        return []
    from langchain_prodtest.fakes.environment import KEY
    from langchain_prodtest.isolation.secrets import told

    return told(KEY, [(f"captured {name}", text) for _, name, text in item._report_sections])


def _blocks(item: pytest.Item) -> list[str]:
    blocks = item.stash.get(BLOCKS, [])
    if not blocks:
        return []
    lines = [f"The event loop stood still for {blocks[0]}", *(f"  and for {block}" for block in blocks[1:4])]
    remedy = "Await an asynchronous call there, or move it to asyncio.to_thread(...)."
    return ["\n".join([*lines, f"  during {item.nodeid}", remedy])]


def _during(item: pytest.Item) -> str:
    return f"during {item.nodeid}"
