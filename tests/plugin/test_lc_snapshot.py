"""`lc_snapshot` writes beside the files of `snapshot`, and passes in the next run, over workers too."""

from collections.abc import Callable

import pytest

Run = Callable[..., pytest.RunResult]

TESTS = """
    import pytest
    from langchain_core.messages import AIMessage
    from langchain_prodtest import Reply

    @pytest.mark.parametrize("text", ["one", "two"])
    def test_message(fake_chat, lc_snapshot, text):
        fake_chat.script(Reply(text))
        assert fake_chat.invoke("hi") == lc_snapshot

    def test_beside_the_plain_one(snapshot, lc_snapshot):
        assert "plain" == snapshot
        assert [AIMessage("x", id="run-1")] == lc_snapshot
"""


def test_a_snapshot_passes_in_the_next_run(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_it=TESTS)
    run("--snapshot-update").assert_outcomes(passed=3)
    files = {path.name: path.read_text() for path in (pytester.path / "__snapshots__").iterdir()}
    assert files.keys() == {"test_it.ambr", "test_it.lcambr"}
    assert "content='two'" in files["test_it.lcambr"]

    again = run("-n", "2")
    again.assert_outcomes(passed=3)
    assert "4 snapshots passed" in again.stdout.str()
    assert {path.name: path.read_text() for path in (pytester.path / "__snapshots__").iterdir()} == files


def test_a_change_fails(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(test_it=TESTS)
    run("--snapshot-update")
    pytester.makepyfile(test_it=TESTS.replace("Reply(text)", 'Reply(text + "!")'))
    result = run()
    result.assert_outcomes(passed=1, failed=2)
    assert "content='one!'" in result.stdout.str()
