"""A journal of any length, of which memory holds the end."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from langchain_prodtest.journal import KEPT, PAGE, Journal


class Entry(msgspec.Struct):
    number: int
    text: object = ""


def journal_of(count: int) -> Journal[Entry]:
    journal = Journal(Entry)
    for number in range(count):
        journal.append(Entry(number))
    return journal


def read(journal: Journal[Entry], start: int) -> list[int]:
    numbers: list[int] = []
    while page := journal.page(start + len(numbers)):
        numbers += [entry.number for entry in msgspec.json.Decoder(Entry).decode_lines(page)]
    return numbers


@pytest.mark.parametrize("count", [0, 1, KEPT, KEPT + PAGE - 1, KEPT + PAGE, KEPT + 5 * PAGE + 7])
def test_it_holds_what_was_appended_in_order(count: int) -> None:
    journal = journal_of(count)
    assert [entry.number for entry in journal] == [*range(count)]
    assert len(journal) == count


@pytest.mark.parametrize("start", [0, 1, PAGE - 1, PAGE, 3 * PAGE + 5, 2999, 3000, 4000])
def test_pages_are_read_from_any_place(start: int) -> None:
    assert read(journal_of(3000), start) == [*range(start, 3000)]


def test_memory_holds_the_last_ones_only() -> None:
    journal = journal_of(10 * KEPT)
    assert KEPT <= len(journal._recent) < KEPT + PAGE


def test_a_cleared_journal_begins_again() -> None:
    journal = journal_of(3000)
    journal.clear()
    assert (len(journal), list(journal), journal.page(0)) == (0, [], b"")
    for number in range(3000):
        journal.append(Entry(number))
    assert read(journal, 0) == [*range(3000)]


def test_what_json_does_not_know_is_kept_as_it_looks() -> None:
    journal = Journal(Entry)
    for _ in range(KEPT + PAGE):
        journal.append(Entry(1, text=journal_of))
    assert next(iter(journal)).text == repr(journal_of)


def test_on_a_full_disk_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError("no space left on device")

    journal = journal_of(KEPT)
    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", full)
        for number in range(KEPT, 2 * KEPT):
            journal.append(Entry(number))
    assert read(journal, 0) == [*range(2 * KEPT)]
    journal.append(Entry(2 * KEPT))
    assert read(journal, 0) == [*range(2 * KEPT + 1)]


def test_the_file_goes_with_the_journal() -> None:
    journal = journal_of(2 * KEPT)
    file = journal._file
    os.fstat(file)
    del journal
    gc.collect()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(file)


def test_a_killed_process_leaves_no_file(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from tests.test_journal import journal_of\n"
        "journal = journal_of(5000)\n"
        "assert journal._file > 0\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = str(Path(__file__).parents[1])
    env = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program, root], env=env, timeout=60, check=False)
    assert done.returncode == -9
    assert list(tmp_path.iterdir()) == []
