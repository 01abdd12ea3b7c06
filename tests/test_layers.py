"""Who may import whom, read from the source: the table of docs/architecture.md holds."""

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "langchain_prodtest"
SOURCE = Path(__file__).parent.parent / "src" / PACKAGE

CORE = {
    *("catalogue", "config", "errors", "evidence", "expect", "journal", "limit", "measure", "numbers"),
    *("outcome", "record", "replay", "script", "statistics", "steps", "table", "vectors"),
}
PARTS = {
    "audit": set[str](),
    "chaos": {"msgspec"},
    "checks": set[str](),
    "fakes": {"langchain_core", "langgraph", "langsmith", "msgspec", "pydantic"},
    "gate": {"msgspec"},
    "isolation": {"huggingface_hub", "pytest", "pytest_socket"},
    "load": {"httptools", "locust", "msgspec"},
    "snapshots": {"langchain_core", "pydantic", "pytest", "syrupy"},
    "toxiproxy": {"httptools", "uvloop"},
    "wire": {"httptools", "msgspec", "trustme", "uvloop", "yaml"},
}
"""Each part with the third-party packages that are its own."""
FRONTS = {
    "cli",
    "commands",
    "conformance",
    "demo",
    "fixtures",
    "hooks",
    "marker",
    "plugin",
    "rerun",
    "results",
    "rig",
    "verdict",
}

UVLOOP = {"wire.serve", "toxiproxy.__main__"}
LONGEST, MEDIAN = 400, 150


class Import(NamedTuple):
    """Module `by` imports `name`; `eager` if that happens when it is itself imported."""

    by: str
    name: str
    eager: bool

    @property
    def top(self) -> str:
        """The third-party or standard package, or the part of this package."""
        return own(self.name) or self.name.split(".")[0]


def own(name: str) -> str:
    """Return the core module, part or front that a full module name belongs to; "" for other packages."""
    package, _, rest = name.partition(".")
    return rest.split(".")[0] if package == PACKAGE else ""


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def is_typing_only(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def walk(node: ast.AST, eager: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    yield node, eager
    for child in ast.iter_child_nodes(node):
        lazy = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing_only = isinstance(child, ast.stmt) and is_typing_only(child)
        yield from walk(child, eager and not lazy and not typing_only)


def names_in(node: ast.AST) -> list[str]:
    """Return the full names that a node imports, `importlib.import_module("...")` included."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        module = node.module or ""
        inside = [f"{module}.{alias.name}" for alias in node.names]
        return [name for name in inside if own(name) and name.split(".", 1)[1] in TREES] or [module]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        return [a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return []


TREES = {module_of(path): ast.parse(path.read_text("utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
IMPORTS = [
    Import(module, name, eager)
    for module, tree in TREES.items()
    for node, eager in walk(tree)
    for name in names_in(node)
    if name.split(".")[0] not in sys.stdlib_module_names
]


def ring_members(ring: set[str]) -> list[Import]:
    return [found for found in IMPORTS if found.by.split(".")[0] in ring]


def reachable(start: str, eager: bool) -> set[str]:
    """Return every name that importing a module leads to; if not `eager`, also what its functions import."""
    seen: set[str] = set()
    left = [f"{PACKAGE}.{start}"]
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        inside = name.partition(".")[2]
        if own(name):
            left.append(name.rpartition(".")[0])
            left += [i.name for i in IMPORTS if i.by == inside and (i.eager or not eager)]
    return seen


def packages(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names} - {PACKAGE}


def test_every_module_has_one_ring() -> None:
    here = {module.split(".")[0] for module in TREES} - {""}
    assert here == CORE | set(PARTS) | FRONTS
    assert len(here) == len(CORE) + len(PARTS) + len(FRONTS)


def test_no_import_is_relative_and_hidden_from_this_test() -> None:
    nodes = [node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert len(nodes) > 100
    assert all(node.level == 0 for node in nodes)


def test_the_core_imports_the_core_and_msgspec() -> None:
    found = ring_members(CORE)
    assert found
    assert [i for i in found if i.top not in CORE | {"msgspec"}] == []


@pytest.mark.parametrize("part", PARTS)
def test_a_part_imports_the_core_itself_and_its_own_libraries(part: str) -> None:
    found = ring_members({part})
    assert found
    assert [i for i in found if i.top not in CORE | {part} | PARTS[part]] == []


def test_a_part_lists_no_library_that_it_does_not_use() -> None:
    unused = {part: own_ones - {i.top for i in ring_members({part})} for part, own_ones in PARTS.items()}
    assert {part: names for part, names in unused.items() if names} == {}


@pytest.mark.parametrize("front", ["plugin", "cli"])
def test_nobody_imports_plugin_and_cli(front: str) -> None:
    assert [i for i in IMPORTS if i.top == front and i.by != front] == []


def test_the_rig_stands_below_the_other_fronts() -> None:
    assert [i for i in ring_members({"rig"}) if i.top in FRONTS - {"rig"}] == []
    assert [i for i in ring_members({"marker", "results", "verdict"}) if i.top in FRONTS - {"marker"}] == []


def test_only_load_imports_locust_and_nothing_but_locust_imports_load() -> None:
    gevent = {"gevent", "geventhttpclient", "locust"}
    assert {i.by.split(".")[0] for i in IMPORTS if i.top in gevent} == {"load"}
    assert [i for i in IMPORTS if i.top == "load" and i.by.split(".")[0] != "load"] == []


def test_the_plugin_never_reaches_locust_not_even_lazily() -> None:
    reached = reachable("plugin", eager=False)
    assert "langchain_core" in packages(reached)
    assert packages(reached) & {"locust", "gevent", "geventhttpclient"} == set()
    assert [name for name in reached if own(name) == "load"] == []


def test_the_plugin_starts_with_nothing_but_pytest_and_msgspec() -> None:
    assert packages(reachable("plugin", eager=True)) <= {"msgspec", "pytest"} | sys.stdlib_module_names


def test_the_command_starts_with_nothing_but_click_and_msgspec() -> None:
    assert packages(reachable("cli", eager=True)) <= {"click", "msgspec"} | sys.stdlib_module_names


def test_the_package_itself_imports_nothing() -> None:
    assert [i for i in IMPORTS if i.by == "" and i.eager] == []


def test_uvloop_is_only_in_the_processes_that_serve_alone() -> None:
    assert {i.by for i in IMPORTS if i.top == "uvloop"} == UVLOOP
    assert [i for i in IMPORTS if i.top == "uvloop" and i.eager] == []


def test_no_module_is_named_after_nothing() -> None:
    vague = {"utils", "helpers", "base", "manager", "engine", "common"}
    assert [module for module in TREES if vague & set(module.split("."))] == []


def test_modules_stay_small() -> None:
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in SOURCE.rglob("*.py")}
    assert {str(path): count for path, count in lines.items() if count > LONGEST} == {}
    assert statistics.median(lines.values()) <= MEDIAN
