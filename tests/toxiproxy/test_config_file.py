"""--config: the proxies a server starts with, or the entry that refuses it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from langchain_prodtest.toxiproxy.client import Toxiproxy

GOOD = {"name": "good", "upstream": "127.0.0.1:9", "listen": "127.0.0.1:0"}
BAD = [
    ([GOOD, {"name": "bad"}], r"proxy 2 \('bad'\): missing required field: upstream"),
    (
        [GOOD, {"name": "bad", "upstream": "127.0.0.1:9", "listen": "127.0.0.1:99999"}],
        "proxy 2 .*invalid port",
    ),
    ([GOOD, GOOD], "proxy 2 .*proxy already exists"),
    ([GOOD, 5], r"proxy 2 \(5\): bad request body"),
    ({}, "must hold a list of proxies"),
]


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(content: Any) -> str:
        path = tmp_path / "proxies.json"
        path.write_text(json.dumps(content))
        return str(path)

    return write


def test_proxies_of_the_file_are_there_from_the_start(serving: Any, file: Any) -> None:
    other = {"name": "off", "upstream": "127.0.0.1:9", "enabled": False}
    with serving("--config", file([GOOD, other])) as served:
        found = Toxiproxy(served.url).proxies()
        assert {name: proxy.enabled for name, proxy in found.items()} == {"good": True, "off": False}


@pytest.mark.parametrize(("content", "error"), BAD)
def test_bad_entry_refuses_the_whole_file_and_is_named(file: Any, content: Any, error: str) -> None:
    done = run("--config", file(content))
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.search(error, done.stderr)


def test_missing_file_is_exit_2(tmp_path: Path) -> None:
    done = run("--config", str(tmp_path / "none.json"))
    assert (done.returncode, "none.json cannot be read" in done.stderr) == (2, True)


def test_strict_says_so_and_goes_on_with_the_entries_before(serving: Any, file: Any, capfd: Any) -> None:
    with serving("--strict", "--config", file(BAD[0][0])) as served:
        assert list(Toxiproxy(served.url).proxies()) == ["good"]
    assert re.search(BAD[0][1], capfd.readouterr().err)


def run(*options: str) -> Any:
    command = [sys.executable, "-m", "langchain_prodtest.toxiproxy", "--port", "0", *options]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, env=dict(os.environ)
    )
