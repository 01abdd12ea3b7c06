"""Replay files: a failed test writes one with the smallest fault; it is run again alone, until it passes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., pytest.RunResult]
ACTIVE = ("-p", "langchain_prodtest")

APP = """
    import pytest
    from langchain_core.runnables import RunnableLambda
    from langchain_openai import ChatOpenAI

    DEFECT = True

    def build():
        model = ChatOpenAI(model="m", max_retries=0 if DEFECT else 2)

        async def answer(text):
            print("asked", text)
            try:
                got = await model.ainvoke(text)
            except Exception as error:
                print("failed with", error)
                raise
            if DEFECT or got.response_metadata.get("finish_reason") == "stop":
                return got
            raise ValueError("cut")

        return RunnableLambda(answer)
"""
SUITE = """
    import asyncio
    import pytest
    from langchain_prodtest import ProductionTests
    import app

    class TestMine(ProductionTests):
        @pytest.fixture
        def runnable(self, fake_providers):
            return app.build()

    @pytest.mark.prodtest(faults=["eof", "503"], strict=False)
    def test_survives(fault, fake_providers):
        fake_providers.script(fault, fault)
        assert asyncio.run(app.build().ainvoke("hello")).text.endswith("end.")
"""
CHOSEN = "test_one_transient_failure_is_survived and html or test_survives and eof"


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(app=APP, test_mine=SUITE)
    return pytester


def files(pytester: pytest.Pytester) -> list[Path]:
    return sorted((pytester.path / ".prodtest" / "replays").glob("*.json"))


def mend(pytester: pytest.Pytester) -> None:
    path = pytester.path / "app.py"
    path.write_text(path.read_text("utf-8").replace("DEFECT = True", "DEFECT = False"), "utf-8")


def test_a_failed_test_writes_the_smallest_fault_and_is_run_again_until_it_is_mended(
    project: pytest.Pytester, run: Run
) -> None:
    first = run(*ACTIVE, "-k", CHOSEN)
    first.assert_outcomes(failed=2)
    suite, marked = files(project)
    told = json.loads(suite.read_text("utf-8"))
    assert told["fault"] == {"status": 502}  # without the page of HTML
    assert told["requests"] == 1
    assert told["test"].endswith("TestMine::test_one_transient_failure_is_survived[html-502]")
    assert json.loads(marked.read_text("utf-8"))["fault"] == {"how": "eof", "after": 1}
    for path in (suite, marked):
        first.stdout.fnmatch_lines([f"Run it again alone: pytest --prodtest-replay .prodtest/*/{path.name}"])

    again = run(*ACTIVE, "--prodtest-replay", str(suite))
    again.assert_outcomes(failed=1)
    assert told["failure"].split(".")[0] in again.stdout.str()

    mend(project)
    for path in (suite, marked):
        run(*ACTIVE, "--prodtest-replay", str(path)).assert_outcomes(passed=1)


def test_a_bare_name_is_run_for_each_subclass_with_the_fault_and_the_prompt_of_the_file(
    project: pytest.Pytester, run: Run
) -> None:
    file = project.path / "finding.json"
    told = {
        "schema": "prodtest-replay/1",
        "test": "test_an_outage_is_not_an_answer",
        "fault": {"status": 500},
        "prompt": "Where is pt-0123456789abcdef?",
    }
    file.write_text(json.dumps(told), "utf-8")
    result = run(*ACTIVE, "-rP", "--prodtest-replay", str(file))
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["asked Where is pt-*", "failed with Error code: 500*"])


def test_a_test_that_is_not_there_is_told(pytester: pytest.Pytester, run: Run) -> None:
    (pytester.path / "bad.json").write_text(
        '{"schema": "prodtest-replay/1", "test": "a.py::test_x"}', "utf-8"
    )
    result = run(*ACTIVE, "--prodtest-replay", "bad.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: replay file bad.json: a.py is not in*"])


def test_a_bare_name_that_no_subclass_has_is_told(project: pytest.Pytester, run: Run) -> None:
    (project.path / "bad.json").write_text('{"schema": "prodtest-replay/1", "test": "test_x"}', "utf-8")
    result = run(*ACTIVE, "--prodtest-replay", "bad.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: no subclass of ProductionTests with test_x was collected.*"])


def test_an_expected_failure_and_a_plain_test_write_nothing(pytester: pytest.Pytester, run: Run) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.xfail
        @pytest.mark.prodtest(faults="503", strict=False)
        def test_expected(fault):
            assert False

        @pytest.mark.prodtest(strict=False)
        def test_plain(fake_chat):
            assert False
        """
    )
    run(*ACTIVE).assert_outcomes(failed=1, xfailed=1)
    assert files(pytester) == []
