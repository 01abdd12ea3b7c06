"""What the package shows: sorted, documented, importable, and cheap until it is used."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import langchain_prodtest

HEAVY = [
    "langchain_core",
    "locust",
    "gevent",
    "rich",
    "click",
    "syrupy",
    "httptools",
    "fastapi",
    "uvloop",
    "pytest",
]


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def loaded_after(statement: str, names: list[str]) -> list[str]:
    return python(f"import sys; {statement}; print(*[n for n in {names!r} if n in sys.modules])").split()


def test_the_public_names_are_sorted_and_unique() -> None:
    names = langchain_prodtest.__all__
    assert names == sorted(set(names))


@pytest.mark.parametrize("name", langchain_prodtest.__all__)
def test_a_public_name_can_be_imported_and_is_documented(name: str) -> None:
    thing: Any = getattr(langchain_prodtest, name)
    assert thing.__name__ == name
    assert inspect.getdoc(thing)
    assert name in importlib.import_module(thing.__module__).__all__


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'langchain_prodtest' has no attribute 'Nothing'"):
        _ = langchain_prodtest.Nothing


def test_the_package_has_no_dir_that_a_fixture_scan_would_resolve() -> None:
    assert "__dir__" not in vars(langchain_prodtest)


def test_importing_the_package_imports_nothing_else() -> None:
    assert python(
        "import sys; before = set(sys.modules); import langchain_prodtest; "
        "print(*[n for n in set(sys.modules) - before if n.split('.')[0] not in sys.stdlib_module_names])"
    ).split() == ["langchain_prodtest"]


@pytest.mark.parametrize("name", langchain_prodtest.__all__)
def test_using_a_public_name_imports_nothing_heavy(name: str) -> None:
    """But pytest, where the name is a class of tests."""
    heavy = set(loaded_after(f"from langchain_prodtest import {name}", HEAVY))
    assert heavy - ({"pytest"} if name == "ProductionTests" else set()) == set()


def test_importing_the_plugin_imports_nothing_heavy() -> None:
    heavy = [name for name in HEAVY if name != "pytest"]
    assert loaded_after("import langchain_prodtest.plugin", heavy) == []


ROOT = Path(langchain_prodtest.__file__).parent
SKIPPED = ("demo", "load")  # they need extras, and locust would patch this process
MODULES = [
    ".".join(["langchain_prodtest", *path.relative_to(ROOT).with_suffix("").parts])
    for path in sorted(ROOT.rglob("*.py"))
    if path.relative_to(ROOT).parts[0] not in SKIPPED and not path.name.startswith("__")
]


@pytest.mark.parametrize("module", MODULES)
def test_what_a_module_shows_exists_and_is_documented(module: str) -> None:
    imported = importlib.import_module(module)
    assert imported.__doc__
    for name in getattr(imported, "__all__", []):
        thing = getattr(imported, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert inspect.getdoc(thing), f"{module}.{name} has no docstring"


def test_the_package_is_typed() -> None:
    assert (ROOT / "py.typed").is_file()
