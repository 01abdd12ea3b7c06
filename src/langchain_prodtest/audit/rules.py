"""The static rules: one function each, from a file to a finding."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from langchain_prodtest.audit.dockerfile import DockerfileError, Stage, read_stages
from langchain_prodtest.audit.variables import Values, arguments, environment, replace
from langchain_prodtest.evidence import Evidence, Subject
from langchain_prodtest.limit import Finding, Grade
from langchain_prodtest.measure import now

__all__ = ["RULES", "audit", "runs_as_root"]


def runs_as_root(path: Path) -> Finding:
    """Find whether the image of a Dockerfile runs as root: its final stage, and the stages that starts from.

    Without a USER the base image decides, which the file does not show: that fails, but for tags that end in
    `nonroot`. A user that only the build knows is unknown, and so is a file that cannot be read.
    """
    line = 0
    outcome: Grade = "unknown"
    try:
        stage = read_stages(path)[-1]
        user, line = _user(stage)
    except DockerfileError as error:
        detail, remedy = str(error), "a Dockerfile that a build accepts"
    else:
        outcome, detail, remedy = _judge(user, stage.base())
    return Finding(
        check="dockerfile.runs_as_root",
        outcome=outcome,
        detail=detail,
        where=f"{path}:{line}" if line else str(path),
        remedy=remedy,
    )


RULES: tuple[Callable[[Path], Finding], ...] = (runs_as_root,)


def audit(paths: Sequence[Path], subject: Subject) -> Evidence:
    """Apply every rule to every Dockerfile and return the evidence `audit/dockerfile`."""
    started = now()
    findings = [rule(path) for path in paths for rule in RULES]
    return Evidence(
        kind="audit",
        name="dockerfile",
        subject=subject,
        started=started,
        finished=now(),
        complete=True,
        findings=findings,
    )


def _judge(user: str | None, base: str) -> tuple[Grade, str, str]:
    if user is None:
        return "unknown", "USER names a variable that has no value here", "a default: ARG NAME=10001"
    name = user.partition(":")[0]
    if name != "root" and name.strip("+-0"):
        return "pass", f"runs as {user}", ""
    if not user and re.search(r":(debug-)?nonroot(-\w+)?$", base.partition("@")[0]):
        return "pass", f"runs as the user of {base}", ""
    detail = f"The image runs as {user}." if user else f"No USER is set, and {base} may run as root."
    return "fail", detail, 'End the final stage with a user that is not root, by number: "USER 10001".'


def _user(stage: Stage) -> tuple[str | None, int]:
    """Return the image's user and the line that sets it; "" if no line does, None if it is not known."""
    env: Values = {}
    args: Values = {}
    user: str | None = ""
    line = stage.line
    for instruction in stage.lineage():
        values = {**args, **env}
        if instruction.name == "ENV":
            env.update(environment(instruction.rest, values))
        elif instruction.name == "ARG":
            args.update(arguments(instruction.rest, values, stage.before))
        elif instruction.name == "USER":
            if len(instruction.rest.split()) != 1:
                raise DockerfileError(f"line {instruction.line}: USER takes one word")
            user, line = replace(instruction.rest, values), instruction.line
    return user, line
