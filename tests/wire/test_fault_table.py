"""What each real client makes of each fault is what docs/conformance.md says.

`python -m tests.wire.test_fault_table` drives the clients and writes the page; what changed is then read in
its diff.
"""

import gc
import re
import warnings
from collections.abc import Iterator
from importlib.metadata import version

import pytest

from langchain_prodtest.script import Script
from langchain_prodtest.wire import FakeServer
from tests.docs.conformance import cells, section, write
from tests.wire.faulted import BEFORE, CLIENTS, INSIDE, PROVIDERS, measure, ways

pytestmark = [  # the clients' own
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession"),
    pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20"),
    pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince211"),
]
SECTION = "faults"
SUMMARY = {
    "half a stream, ended cleanly": ("clean end", "stream"),
    "error event": ("error event", "stream"),
    "`{}` for an answer": ("{}", "invoke"),
    "cut tool call": ("tool call cut by a clean end", "stream"),
    "429": ("status 429", "invoke"),
    "503": ("status 503", "invoke"),
    "529": ("status 529", "invoke"),
    "closed": ("closed before the head", "invoke"),
}
"""Columns of the first table, and the row and way that each is about; the last are attempts."""

Found = dict[str, dict[str, str]]


def rows(found: Found) -> dict[str, list[str]]:
    """Return by fault the cells of a client's table: streamed and whole, and async where it differs."""
    table = {}
    for row, words in found.items():
        pairs = [("stream", "astream"), ("invoke", "ainvoke")]
        table[row] = [_cell(words.get(sync, ""), words.get(other)) for sync, other in pairs]
    return table


def _cell(word: str, other: str | None) -> str:
    return word if other in (None, word) else f"{word}; async {other}"


def told() -> dict[str, dict[str, list[str]]]:
    """Return what the page says, by client and fault."""
    tables = re.findall(r"^### (.+)\n((?:.+\n|\n)*?)(?=^### |\Z)", section(SECTION), re.M)
    return {
        client: {fault: rest for fault, *rest in map(cells, re.findall(r"^\| (?!fault ).+", table, re.M))}
        for client, table in tables
    }


def page(found: dict[str, Found]) -> str:
    """Return the section of the page, of what was found by client."""
    lines = [f"| client | {' | '.join(SUMMARY)} |", "|---" * (len(SUMMARY) + 1) + "|"]
    for client, words in found.items():
        brief = [_brief(name, words[row][way]) for name, (row, way) in SUMMARY.items()]
        lines.append(f"| `{client}` | {' | '.join(brief)} |")
    for client, words in found.items():
        package = CLIENTS[client].package
        lines += ["", f"### {client}", "", f"`{package}`; measured with {version(package)}.", ""]
        lines += ["| fault | `stream` | `invoke` |", "|---|---|---|"]
        lines += [f"| {fault} | {' | '.join(told)} |" for fault, told in rows(words).items()]
    return "\n".join([*lines, ""])


def _brief(column: str, word: str) -> str:
    if column.isdigit() or column == "closed":
        return word.partition(" ×")[2] or "1"
    return word if word.isupper() or word == "-" or word.startswith(("ok", "no ")) else "raises"


@pytest.fixture(scope="module")
def script() -> Script:
    return Script()


@pytest.fixture(scope="module")
def server(script: Script) -> Iterator[FakeServer]:
    with FakeServer(script, PROVIDERS) as running:
        yield running


@pytest.fixture
def _sessions_left_open() -> Iterator[None]:
    """Collect what aiohttp's users do not close while its warnings are ignored."""
    yield
    gc.collect()


@pytest.mark.usefixtures("_sessions_left_open")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("client", CLIENTS)
def test_each_fault_comes_to_what_the_page_says(server: FakeServer, script: Script, client: str) -> None:
    said, got = told()[client], rows(measure(server, script, client))
    package = CLIENTS[client].package
    changed = [
        f"{client} ({package} {version(package)}), {fault}: expected {said.get(fault)}, got {got.get(fault)}"
        for fault in got | said
        if said.get(fault) != got.get(fault)
    ]
    assert changed == [], "if it is right: python -m tests.wire.test_fault_table"


def test_the_page_has_every_client_and_every_fault() -> None:
    assert list(told()) == list(CLIENTS)
    assert {tuple(faults) for faults in told().values()} == {(*INSIDE, *BEFORE)}


def test_the_first_table_says_what_the_others_say() -> None:
    wanted = {
        client: [
            _brief(name, faults[row]["stream" not in way].partition("; ")[0])
            for name, (row, way) in SUMMARY.items()
        ]
        for client, faults in told().items()
    }
    lines = [cells(line) for line in re.findall(r"^\| `.+", section(SECTION), re.M)]
    assert {client.strip("`"): brief for client, *brief in lines} == wanted


def test_no_stream_that_began_is_tried_again() -> None:
    """Whoever wants that must do it above the client, and count what the model said twice."""
    began = [row for row in INSIDE if "stream" in ways(row)]
    assert [row for faults in told().values() for row in began if "×" in faults[row][0]] == []


def main() -> None:
    """Drive the clients, and write the page."""
    script = Script()
    with FakeServer(script, PROVIDERS) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write(SECTION, page({name: measure(server, script, name) for name in CLIENTS}))


if __name__ == "__main__":
    main()
