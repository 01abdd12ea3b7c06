"""Progress of the demo: one line a stage, live on a terminal, as finished lines in a log."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

__all__ = ["Stage", "Stages"]

QUIET = 10.0  # seconds after which a log is told that a stage still runs


class Stage:
    """One line: what is done, and what became of it so far."""

    def __init__(self, stages: "Stages", name: str) -> None:
        self.name, self.text, self.began = name, "", time.monotonic()
        self._stages = stages
        self.shown = self.began

    def say(self, text: str) -> None:
        """Replace the text of the line."""
        self.text = text
        self._stages.redraw(self)

    def add(self, text: str) -> None:
        """Add to the text of the line."""
        self.say(f"{self.text}  {text}".strip())


class Stages:
    """The lines of stages that run, at the foot of the output; finished ones stand above for good."""

    def __init__(self, out: TextIO = sys.stderr, quiet: bool = False) -> None:
        self.out, self.quiet = out, quiet
        self.live = out.isatty() and not quiet
        self.took: dict[str, float] = {}
        self._running: list[Stage] = []
        self._drawn = 0
        self._lock = threading.RLock()

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Show a line while the block runs; stages may run side by side."""
        stage = Stage(self, name)
        with self._lock:
            self._running.append(stage)
        self.redraw(stage)
        try:
            yield stage
        except BaseException:
            stage.text = f"{stage.text}  ✗".strip()
            raise
        finally:
            with self._lock:
                self._running.remove(stage)
                seconds = time.monotonic() - stage.began
                self.took[name] = self.took.get(name, 0.0) + seconds
                self._erase()
                self._print(_line(name, stage.text, seconds))
                self._draw()

    def note(self, name: str, text: str, seconds: float) -> None:
        """Print a line for something that is already done."""
        with self._lock:
            self.took[name] = seconds
            self._erase()
            self._print(_line(name, text, seconds))
            self._draw()

    def redraw(self, stage: Stage) -> None:
        """Show the lines anew; in a log, say at times that `stage` still runs."""
        with self._lock:
            if self.live:
                self._erase()
                self._draw()
            elif time.monotonic() - stage.shown > QUIET:
                stage.shown = time.monotonic()
                self._print(f"  {stage.name:<10} {stage.text} …")

    def _print(self, line: str) -> None:
        if not self.quiet:
            print(line, file=self.out, flush=True)

    def _draw(self) -> None:
        if self.live:
            for stage in self._running:
                print(_line(stage.name, stage.text, time.monotonic() - stage.began), file=self.out)
            self._drawn = len(self._running)
            self.out.flush()

    def _erase(self) -> None:
        if self._drawn:
            print(f"\x1b[{self._drawn}A\x1b[J", end="", file=self.out)
            self._drawn = 0


def _line(name: str, text: str, seconds: float) -> str:
    return f"  {name:<10} {text:<60} {seconds:5.1f} s"
