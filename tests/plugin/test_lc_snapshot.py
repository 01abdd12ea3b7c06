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


MANY = """
    import uuid
    import pytest
    from langchain_core.messages import AIMessage

    @pytest.mark.parametrize("n", range(12))
    def test_message(lc_snapshot, n):
        assert [AIMessage(f"answer {n}", id=str(uuid.uuid4()))] == lc_snapshot
        assert {"second": n, "id": uuid.uuid4()} == lc_snapshot
"""
SHUFFLED = """
    import random, os

    def pytest_collection_modifyitems(items):
        random.Random(os.environ["ORDER"]).shuffle(items)

    def pytest_prodtest_normalise(data):
        return "<uuid>" if type(data).__name__ == "UUID" else None
"""


def test_two_runs_in_random_order_over_four_workers_give_no_difference(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A type of the project's own is written as its conftest says."""
    pytester.makepyfile(test_it=MANY)
    pytester.makeconftest(SHUFFLED)
    monkeypatch.setenv("ORDER", "1")
    run("--snapshot-update").assert_outcomes(passed=12)
    file = pytester.path / "__snapshots__" / "test_it.lcambr"
    first = file.read_text()
    assert first.count("'id': '<uuid>'") == 12
    for order in ("2", "3"):
        monkeypatch.setenv("ORDER", order)
        result = run("-n", "4")
        result.assert_outcomes(passed=12)
        assert "24 snapshots passed" in result.stdout.str()
    assert file.read_text() == first


def test_a_planted_key_is_not_written_into_a_snapshot(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        test_it="""
        import os

        def test_told(fake_providers, lc_snapshot):
            assert {"env": {"key": os.environ["OPENAI_API_KEY"]}} == lc_snapshot
        """
    )
    result = run("--snapshot-update")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["The provider's key would be in the snapshot:", "  'key': '<key>',"])
    assert not list(pytester.path.glob("__snapshots__/*"))
