"""The reader takes a Dockerfile apart as a build does."""

from pathlib import Path

import pytest

from langchain_prodtest.audit.dockerfile import DockerfileError, Instruction, Stage, read_stages


def stages(tmp_path: Path, text: str) -> list[Stage]:
    path = tmp_path / "Dockerfile"
    path.write_text(text)
    return read_stages(path)


def final(tmp_path: Path, text: str) -> list[tuple[str, str, int]]:
    return [(i.name, i.rest, i.line) for i in stages(tmp_path, text)[-1].instructions]


def test_lines_are_joined_and_counted_from_their_first(tmp_path: Path) -> None:
    text = "FROM a\nRUN one \\\n  # left out\n\n  two \\  \n three\nUSER x\n"
    assert final(tmp_path, text) == [("RUN", "one   two  three", 2), ("USER", "x", 7)]


def test_two_escape_characters_do_not_continue_a_line(tmp_path: Path) -> None:
    assert final(tmp_path, "FROM a\nRUN echo \\\\\nUSER x\n") == [("RUN", "echo \\\\", 2), ("USER", "x", 3)]


def test_an_open_last_line_is_still_an_instruction(tmp_path: Path) -> None:
    assert final(tmp_path, "FROM a\nUSER x \\") == [("USER", "x", 2)]


def test_only_run_copy_and_add_take_here_documents(tmp_path: Path) -> None:
    assert final(tmp_path, "FROM a\nLABEL x=<<EOF <<EOF\nUSER x\n")[-1] == ("USER", "x", 3)


def test_several_here_documents_end_in_their_order(tmp_path: Path) -> None:
    text = 'FROM a\nCOPY <<ONE <<"TWO" /x/\nTWO\nONE\nONE\nTWO\nUSER x\n'
    assert [name for name, *_ in final(tmp_path, text)] == ["COPY", "USER"]


def test_a_here_document_needs_its_end_alone_on_the_line(tmp_path: Path) -> None:
    text = "FROM a\nRUN cat <<EOF > /x\n EOF\nEOF \nEOF\nUSER x\n"
    assert [name for name, *_ in final(tmp_path, text)] == ["RUN", "USER"]


@pytest.mark.parametrize("run", ['echo "a <<EOF b"', "cat <<<EOF", "echo 1<<EOF2<3", "it\\'s"])
def test_what_only_looks_like_a_here_document_is_none(tmp_path: Path, run: str) -> None:
    assert [name for name, *_ in final(tmp_path, f"FROM a\nRUN {run}\nUSER x\n")] == ["RUN", "USER"]


def test_directives_are_read_in_any_case_and_order(tmp_path: Path) -> None:
    text = "# syntax=docker/dockerfile:1\n#EsCaPe = `\nFROM a\nRUN x `\n y\n"
    assert final(tmp_path, text) == [("RUN", "x  y", 4)]


def test_from_takes_a_platform_a_variable_and_a_name(tmp_path: Path) -> None:
    text = "ARG TAG=3.12\nARG BASE=python:$TAG\nFROM --platform=linux/amd64 ${BASE} AS Run\n"
    (stage,) = stages(tmp_path, text)
    assert (stage.image, stage.name, stage.parent, stage.line) == ("python:3.12", "run", None, 3)


def test_an_image_that_is_not_known_keeps_its_variable(tmp_path: Path) -> None:
    assert stages(tmp_path, "ARG BASE\nFROM $BASE\n")[0].base() == "$BASE"


def test_the_lineage_goes_through_the_parents(tmp_path: Path) -> None:
    text = "FROM a AS one\nRUN 1\nONBUILD RUN 2\nFROM b AS two\nRUN 3\nFROM one\nRUN 4\n"
    *_, last = stages(tmp_path, text)
    assert [i.rest for i in last.lineage() if i.name == "RUN"] == ["1", "2", "4"]
    assert last.base() == "a"


def test_a_stage_starts_only_from_an_earlier_one(tmp_path: Path) -> None:
    first, second = stages(tmp_path, "FROM later\nFROM a AS later\n")
    assert (first.parent, second.name) == (None, "later")


def test_a_bad_trigger_is_refused(tmp_path: Path) -> None:
    (*_, last) = stages(tmp_path, "FROM a AS one\nONBUILD nonsense\nFROM one\n")
    with pytest.raises(DockerfileError, match='line 2: "nonsense" is not an instruction'):
        list(last.lineage())


def test_an_instruction_is_a_value() -> None:
    assert Instruction("USER", "x", 1) == Instruction("USER", "x", 1)
