import re
from pathlib import Path

import configargparse  # type: ignore[import-untyped]
import pytest

from langchain_prodtest.errors import UsageError
from langchain_prodtest.load.options import Plan, add_options, plan_run, resolve_url
from langchain_prodtest.load.schedule import Phase

HOST = "http://127.0.0.1:8000"


def plan(*words: str, host: str | None = HOST) -> Plan:
    parser = configargparse.ArgumentParser()  # what Locust's parser is made of
    add_options(parser)
    parser.add_argument("--run-time", type=int)
    parser.add_argument("--num-users", type=int)
    return plan_run(parser.parse_args(words), host)


def steady(rate: float, count: int) -> list[Phase]:
    return [Phase("", count, rate, rate)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_options_and_configuration_the_defaults_hold() -> None:
    found = plan()
    assert (found.scenario, found.phases, found.patience) == ("chat", steady(10.0, 300), 30.0)
    assert (found.url, found.users, found.config.path) == (f"{HOST}/chat", 300, None)


def test_options_beat_the_configuration_and_the_configuration_beats_the_defaults(folder: Path) -> None:
    (folder / "prodtest.toml").write_text('[load]\nrate = 20\ncount = 40\ndeadline = "2s"\n')
    assert (plan().phases, plan().patience) == (steady(20.0, 40), 2.0)
    assert plan("--prodtest-rate", "5").phases == steady(5.0, 40)
    assert plan("--prodtest-count", "7").count == 7


def test_the_configuration_can_be_named(folder: Path) -> None:
    (folder / "other.toml").write_text("[load]\ncount = 40\n")
    assert plan("--prodtest-config", "other.toml").count == 40


def test_locusts_own_run_time_and_users_are_caps() -> None:
    assert plan("--run-time", "4").count == 40
    assert plan("--run-time", "4", "--prodtest-count", "10").count == 10
    assert plan("--run-time", "1", "--prodtest-count", "99").count == 10
    assert plan("--num-users", "3").users == 3


@pytest.mark.parametrize("words", [("--prodtest-rate", "0"), ("--prodtest-count", "0")])
def test_a_rate_or_count_that_gives_no_load_is_refused(words: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match=words[0]):
        plan(*words)


def test_a_profile_adds_phases_to_the_steady_part(folder: Path) -> None:
    (folder / "prodtest.toml").write_text(
        '[load]\nrate = 20\ncount = 40\nprofile = "spike"\narrivals = "bursts"\n'
    )
    found = plan("--prodtest-deadline", "1s")
    assert (found.count, found.total, found.arrivals) == (40, 120, "bursts")
    assert found.users == 4 * 20 + 1  # all that the spike can keep waiting for a second
    other = plan("--prodtest-profile", "steady", "--prodtest-arrivals", "poisson")
    assert (other.total, other.arrivals) == (40, "poisson")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--prodtest-profile", "spikes"), 'unknown profile "spikes". Did you mean "spike"?'),
        (("--prodtest-arrivals", "poison"), 'unknown arrivals "poison". Did you mean "poisson"?'),
    ],
)
def test_an_unknown_profile_or_arrival_process_is_refused(words: tuple[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        plan(*words)


def test_a_limit_on_a_phase_that_no_profile_has_is_refused(folder: Path) -> None:
    (folder / "prodtest.toml").write_text('[slo]\n"chat@spkie.success" = ">= 90%"\n')
    with pytest.raises(UsageError, match=r'unknown phase "spkie"\. Did you mean "spike"\?'):
        plan()


def test_a_target_off_the_allow_list_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="not on the allow-list, nothing was sent"):
        plan(host="http://prod.example.com")
    (folder / "prodtest.toml").write_text('[target]\nallow = ["prod.example.com"]\n')
    assert plan(host="http://prod.example.com").url == "http://prod.example.com/chat"


def test_samples_for_a_folder_that_does_not_exist_are_refused() -> None:
    with pytest.raises(UsageError, match="its folder does not exist"):
        plan("--prodtest-samples", "nowhere/samples.ndjson")


def test_the_run_folder_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRODTEST_RUN", "runs/1")
    assert plan().out == Path("runs/1")


def test_an_empty_environment_variable_is_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRODTEST_RUN", "")
    assert plan().out is None


@pytest.mark.parametrize(
    ("host", "configured", "url"),
    [
        (HOST, "", f"{HOST}/chat"),
        (f"{HOST}/", "", f"{HOST}/chat"),
        (HOST, "http://127.0.0.1:{port}/v1/ask", f"{HOST}/v1/ask"),
        (f"{HOST}/own", "http://127.0.0.1/v1/ask", f"{HOST}/own"),
        ("", "http://127.0.0.1:9/v1/ask", "http://127.0.0.1:9/v1/ask"),
    ],
)
def test_the_path_comes_from_the_host_then_from_the_configuration(
    host: str, configured: str, url: str
) -> None:
    assert resolve_url(host, configured, "/chat") == url


@pytest.mark.parametrize("configured", ["", "http://127.0.0.1:{port}/chat"])
def test_without_any_target_the_remedy_is_named(configured: str) -> None:
    with pytest.raises(UsageError, match="-H URL"):
        resolve_url("", configured, "/chat")
