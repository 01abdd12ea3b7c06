"""Where a thread is: the lines of its stack, the user's own and those of packages."""

import linecache
import sysconfig
from pathlib import Path
from types import FrameType

__all__ = ["Line", "lines_of", "packages", "users_line"]

Line = tuple[str, int]
"""A file and a line number in it."""

STDLIB = sysconfig.get_path("stdlib")
OURS = str(Path(__file__).parent.parent)
PACKAGES = ("site-packages", "dist-packages")
RUNNER = ("pytest", "_pytest", "pluggy", "xdist", "execnet")


def lines_of(frame: FrameType | None) -> list[Line]:
    """Return file and line of each frame, innermost first, without this package's own and frozen ones."""
    found = []
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((OURS, "<")):
            found.append((file, frame.f_lineno))
        frame = frame.f_back
    return found


def users_line(lines: list[Line], root: Path) -> str:
    """Return the innermost line that lies under `root` and in no package, with its code; "" without one."""
    for file, number in lines:
        if Path(file).is_relative_to(root) and not _is_package(file) and not file.startswith(STDLIB):
            code = linecache.getline(file, number).strip()
            shown = file if root == Path("/") else Path(file).relative_to(root)
            return f"{shown}:{number}  {code}".rstrip()
    return ""


def packages(lines: list[Line]) -> tuple[str, ...]:
    """Return the innermost line in each third-party package, without the test runner's own."""
    seen: dict[str, str] = {}
    for file, number in lines:
        if _is_package(file):
            inside = max(PACKAGES, key=lambda name: file.rfind(f"/{name}/"))
            path = file.rpartition(f"/{inside}/")[2]
            package = path.split("/")[0]
            if package not in RUNNER:
                seen.setdefault(package, f"{path}:{number}")
    return tuple(seen.values())


def _is_package(file: str) -> bool:
    return any(f"/{name}/" in file for name in PACKAGES)
