"""An attempt names its thread, the packages on its way, and the user's own line."""

import threading
from pathlib import Path

from langchain_prodtest.isolation.attempt import Attempt, describe, witness

HERE = Path(__file__).parent
ALLOW = 'allow the host: @pytest.mark.prodtest(allow_hosts=["api.example.invalid"])'


def attempt(host: str = "api.example.invalid", port: int | None = 443) -> Attempt:
    return Attempt(
        host=host,
        port=port,
        how="connect",
        thread="Thread-3 (go)",
        through=("urllib3/connection.py:73", "langsmith/client.py:1043"),
        line='tests/test_agent.py:21  agent.invoke("Book 12A")',
        when="during tests/test_agent.py::test_books",
    )


def test_the_text_says_what_happened_where_and_what_to_do() -> None:
    assert describe([attempt()], swallowed=True).splitlines() == [
        "A network call tried to leave the test: api.example.invalid:443",
        '  connect from thread "Thread-3 (go)", through urllib3/connection.py:73 <- langsmith/client.py:1043',
        '  during tests/test_agent.py::test_books, at tests/test_agent.py:21  agent.invoke("Book 12A")',
        "  The error was swallowed, so the test itself passed.",
        f"Let the `fake_providers` fixture answer it, or {ALLOW}",
    ]


def test_a_tracer_s_host_gets_the_remedy_for_tracing() -> None:
    last = describe([attempt("api.smith.langchain.com")], swallowed=False).splitlines()[-1]
    assert last.startswith("Turn tracing off (LANGSMITH_TRACING=false), use the `fake_langsmith`")


def test_several_attempts_are_counted_and_a_raised_error_is_not_called_swallowed() -> None:
    text = describe([attempt(port=None)] * 3, swallowed=False)
    assert text.startswith("A network call tried to leave the test: api.example.invalid (3 attempts)\n")
    assert "swallowed" not in text


def test_the_line_of_the_user_is_the_innermost_below_the_root() -> None:
    seen = witness("h", 1, "connect", "during x", HERE)
    assert seen.thread == threading.current_thread().name
    assert seen.line.endswith('seen = witness("h", 1, "connect", "during x", HERE)')
    assert seen.line.startswith("test_attempt.py:")


def test_from_a_library_s_thread_the_line_of_the_main_thread_is_told() -> None:
    seen: list[Attempt] = []
    library = "def run():\n    seen.append(witness('h', 1, 'connect', '', HERE))\n"
    names = {"seen": seen, "witness": witness, "HERE": HERE}
    exec(compile(library, "/venv/site-packages/tracer/client.py", "exec"), names)

    thread = threading.Thread(target=names["run"], name="tracer")  # type: ignore[arg-type]
    thread.start()
    thread.join()

    assert seen[0].thread == "tracer"
    assert seen[0].through == ("tracer/client.py:2",)
    assert seen[0].line.startswith("test_attempt.py:")


def test_packages_on_the_way_are_told_innermost_first_without_the_test_runner() -> None:
    from pydantic import BaseModel, field_validator

    seen: list[Attempt] = []

    class Model(BaseModel):
        x: int

        @field_validator("x")
        @classmethod
        def look(cls, value: int) -> int:
            seen.append(witness("h", 1, "connect", "", HERE))
            return value

    Model(x=1)
    assert seen[0].through[0].startswith("pydantic/main.py:")
    assert not any(part.startswith(("_pytest/", "pluggy/")) for part in seen[0].through)
