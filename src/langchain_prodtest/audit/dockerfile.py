"""A reader of Dockerfiles: instructions as BuildKit takes them, cut into stages.

Source: the Dockerfile reference (docs.docker.com/reference/dockerfile), its sections Format, Parser
directives, Here-documents, FROM and ONBUILD.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from langchain_prodtest.audit.variables import Values, arguments, replace, words

__all__ = ["DockerfileError", "Instruction", "Stage", "read_stages"]

NAMES = frozenset(
    {
        "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL",
        "MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
    }
)  # fmt: skip


class DockerfileError(ValueError):
    """The file is not a Dockerfile that a build would accept; the text says why."""


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name in capitals, the rest of its joined lines, and its first line's number."""

    name: str
    rest: str
    line: int


@dataclass
class Stage:
    """A build stage: its base image, its name, the earlier stage it starts from, and its instructions.

    `before` holds the ARGs before the first FROM; a stage sees one only where it declares it.
    """

    image: str
    name: str
    parent: "Stage | None"
    before: Values
    line: int
    instructions: list[Instruction] = field(default_factory=list)

    def lineage(self) -> Iterator[Instruction]:
        """Yield what made the image: the parents' instructions, their ONBUILD triggers, then its own."""
        if self.parent:
            yield from self.parent.lineage()
            for instruction in self.parent.instructions:
                if instruction.name == "ONBUILD":
                    yield _instruction(instruction.rest, instruction.line)
        yield from self.instructions

    def base(self) -> str:
        """Return the image that the first stage of the lineage starts from."""
        return self.parent.base() if self.parent else self.image


def read_stages(path: Path) -> list[Stage]:
    """Return the stages of a file in order, at least one; DockerfileError says what is wrong with it."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DockerfileError(f"it cannot be read: {error}") from None
    stages: list[Stage] = []
    before: Values = {}
    for instruction in _instructions(text):
        if instruction.name == "FROM":
            stages.append(_stage(instruction, stages, before))
        elif stages:
            stages[-1].instructions.append(instruction)
        elif instruction.name == "ARG":
            before.update(arguments(instruction.rest, before, {}))
        else:
            raise DockerfileError(f"line {instruction.line}: {instruction.name} comes before the first FROM")
    if not stages:
        raise DockerfileError("it has no FROM")
    return stages


def _stage(instruction: Instruction, stages: list[Stage], before: Values) -> Stage:
    given = [word for word in instruction.rest.split() if not word.startswith("--")]
    if len(given) not in (1, 3) or (len(given) == 3 and given[1].lower() != "as"):
        raise DockerfileError(f"line {instruction.line}: FROM takes an image, or an image AS a name")
    image = replace(given[0], before) or given[0]
    named = {stage.name: stage for stage in stages if stage.name}
    name = given[2].lower() if len(given) == 3 else ""
    return Stage(image, name, named.get(image.lower()), before, instruction.line)


def _instructions(text: str) -> Iterator[Instruction]:
    """Yield the instructions: lines joined, comments, blank lines and here-documents left out."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    mark = re.escape(_escape(lines))
    continued = re.compile(rf"(^|[^{mark}]){mark}[ \t]*$")
    numbered = enumerate(lines, 1)
    joined, start = "", 0
    for number, line in numbered:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        start = start or number
        if continued.search(line):
            joined += continued.sub(r"\1", line)
            continue
        instruction = _instruction(joined + line, start)
        _skip_heredocs(instruction, numbered)
        yield instruction
        joined, start = "", 0
    if joined:
        yield _instruction(joined, start)


def _instruction(line: str, number: int) -> Instruction:
    name, _, rest = re.sub(r"\s", " ", line.strip()).partition(" ")
    if name.upper() not in NAMES:
        raise DockerfileError(f'line {number}: "{name}" is not an instruction')
    return Instruction(name.upper(), rest.strip(), number)


_DIRECTIVE = re.compile(r"#\s*([A-Za-z]+)\s*=\s*(\S.*)")


def _escape(lines: list[str]) -> str:
    """Return the escape character; directives stand before every comment, blank line and instruction."""
    for line in lines:
        directive = _DIRECTIVE.fullmatch(line.strip())
        if not directive:
            break
        if directive[1].lower() == "escape":
            if directive[2] not in ("\\", "`"):
                raise DockerfileError(f'the escape directive names \\ or `, not "{directive[2]}"')
            return directive[2]
    return "\\"


_HEREDOC = re.compile(r"""\d*<<(-?)(["']?)([^\s<"']+)\2""")


def _skip_heredocs(instruction: Instruction, numbered: Iterator[tuple[int, str]]) -> None:
    """Take the here-documents that follow an instruction off the lines: their text is no Dockerfile."""
    if instruction.name not in ("RUN", "COPY", "ADD"):
        return
    for word in words(instruction.rest):
        if heredoc := _HEREDOC.fullmatch(word):
            tabs, _, end = heredoc.groups()
            for _, line in numbered:
                if (line.lstrip("\t") if tabs else line) == end:
                    break
            else:
                raise DockerfileError(f'line {instruction.line}: the here-document "{end}" never ends')
