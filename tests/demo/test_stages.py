"""Progress is finished lines in a log, and live lines on a terminal; -q is silent."""

import io

import pytest

from langchain_prodtest.demo.stages import Stages


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_one_line_when_a_stage_is_done() -> None:
    out = io.StringIO()
    stages = Stages(out)
    with stages.stage("chaos") as stage:
        stage.say("outage")
        stage.add("steady ✓")
        assert out.getvalue() == ""
    assert out.getvalue().split() == ["chaos", "outage", "steady", "✓", "0.0", "s"]
    assert list(stages.took) == ["chaos"]


def test_a_terminal_shows_what_runs_side_by_side() -> None:
    """Running lines stand below finished ones and are drawn anew in place."""
    out = Terminal()
    stages = Stages(out)
    with stages.stage("load"), stages.stage("chaos") as stage:
        stage.say("outage")
    assert "\x1b[2A\x1b[J" in out.getvalue()
    assert out.getvalue().split("\x1b[J")[-1].startswith("  load")


def test_a_stage_that_failed_says_so_and_raises() -> None:
    out = io.StringIO()
    with pytest.raises(RuntimeError), Stages(out).stage("load"):
        raise RuntimeError
    assert "✗" in out.getvalue()


def test_quiet_prints_nothing() -> None:
    out = Terminal()
    stages = Stages(out, quiet=True)
    with stages.stage("load") as stage:
        stage.say("1 of 2")
    stages.note("service", "ready", 1.0)
    assert out.getvalue() == ""
