"""Python children of a test: they inherit its closed network, and journal to a file that it reads."""

import json
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from langchain_prodtest.isolation.network import Network

__all__ = ["carried", "network_of_child", "tell"]

VARIABLE = "PRODTEST_CHILD"
FOLDER = str(Path(__file__).parent / "child")


@contextmanager
def carried(network: Network) -> Iterator[None]:
    """Let Python children that are started in this block inherit `network` as it is then.

    They do by the environment: not those that are started without it (`env={}`, `python -I`, `-E` or `-S`),
    nor another language's.
    """
    paths = os.environ.get("PYTHONPATH")
    with tempfile.TemporaryDirectory(prefix="prodtest-") as folder:
        network.journal = Path(folder) / "attempts.ndjson"
        os.environ["PYTHONPATH"] = os.pathsep.join([FOLDER, *([paths] if paths else [])])
        tell(network)
        try:
            yield
        finally:
            os.environ.pop(VARIABLE, None)
            if paths is None:
                os.environ.pop("PYTHONPATH", None)
            else:
                os.environ["PYTHONPATH"] = paths
            network.journal = None


def tell(network: Network) -> None:
    """Let children that are started from now on know what is allowed."""
    if network.journal is not None:
        hosts, everything = network.allowed
        os.environ[VARIABLE] = json.dumps([str(network.journal), str(network.root), [*hosts], everything])


def network_of_child(settings: str) -> Network:
    """Return the Network of this process, which is the child of a test that told it `settings`."""
    journal, root, hosts, everything = json.loads(settings)
    network = Network(Path(root), process=shlex.join([*sys.orig_argv]))
    network.journal = Path(journal)
    network.allow(hosts, everything)
    return network
