"""One experiment at a time on one rig, across processes, and a dead holder holds nothing."""

import subprocess
import sys

import pytest

from langchain_prodtest.errors import UsageError
from langchain_prodtest.rig.lock import locked

HOLD = """
import sys
from langchain_prodtest.rig.lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_told_who_holds_the_rig(tmp_path: str) -> None:
    """The lock is between processes; when its holder is killed it is free again."""
    rig = f"http://127.0.0.1/{tmp_path}"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, rig], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=rf"process {holder.pid}\) runs on this rig"), locked(rig):
            pass
        with locked(rig + "/other"):
            holder.kill()
        holder.wait()
    with locked(rig):
        pass
