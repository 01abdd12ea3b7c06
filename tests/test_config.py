"""The configuration: a mistake is an error that names the file, the key and what is valid."""

import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from langchain_prodtest.config import (
    DEFAULT_SLO,
    Gate,
    Load,
    Proxy,
    check_target,
    decode_toml,
    find_config,
    load_config,
)
from langchain_prodtest.errors import UsageError
from langchain_prodtest.limit import parse_limits

WHOLE = """
[target]
url = "http://127.0.0.1:8000/chat"
protocol = "sse"
command = "uvicorn app:app --port {port}"
ready = "/healthz"
allow = ["staging.example"]
[target.env]
OPENAI_BASE_URL = "http://{openai}/v1"

[subject]
revision = "abc"
image = "agent@sha256:1f0c"

[[proxy]]
name = "openai"
upstream = "fake:openai"

[[proxy]]
name = "db"
upstream = "127.0.0.1:5432"
listen = "127.0.0.1:15432"

[load]
scenario = "search"
rate = 20
count = 400
deadline = "1m"

[slo]
"search.success" = ">= 99%"
"search.ttft.p95" = "<= 1.5s"

[gate]
require = ["load/search"]
max_age = "2h"
"""


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PRODTEST_REVISION", "PRODTEST_IMAGE", "PRODTEST_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def write(folder: Path, text: str, name: str = "prodtest.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def refused(path: Path) -> str:
    with pytest.raises(UsageError) as error:
        load_config(path)
    return str(error.value)


def test_a_whole_configuration_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, WHOLE)
    config = load_config(path)
    assert (config.path, config.root) == (path, tmp_path)
    assert config.target.env == {"OPENAI_BASE_URL": "http://{openai}/v1"}
    assert (config.target.ready, config.target.allow) == ("/healthz", ["staging.example"])
    assert config.proxies == (
        Proxy(name="openai", upstream="fake:openai"),
        Proxy(name="db", upstream="127.0.0.1:5432", listen="127.0.0.1:15432"),
    )
    assert config.load == Load(scenario="search", rate=20.0, count=400, deadline="1m")
    assert config.load.patience == 60
    assert config.slo == parse_limits({"search.success": ">= 99%", "search.ttft.p95": "<= 1.5s"})
    assert config.gate == Gate(require=("load/search",), max_age="2h")
    assert (config.subject.revision, config.subject.image) == ("abc", "agent@sha256:1f0c")


def test_without_a_configuration_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(None)
    assert (config.path, config.root, config.proxies) == (None, tmp_path, ())
    assert config.slo == parse_limits(DEFAULT_SLO)
    assert config.gate.require == ("tests/*", "load/*", "chaos/*")
    empty = load_config(write(tmp_path, ""))
    assert msgspec.structs.replace(empty, path=None) == config


@pytest.mark.parametrize(
    ("text", "where", "hint"),
    [
        (
            "[gaet]\n",
            "",
            'unknown key "gaet". Did you mean "gate"? Valid: gate, load, proxy, slo, subject, target',
        ),
        ("[target]\nulr = 'x'\n", " [target]", 'unknown key "ulr". Did you mean "url"?'),
        ("[subject]\nimgae = 'x'\n", " [subject]", 'unknown key "imgae". Did you mean "image"?'),
        (
            "[[proxy]]\nname='a'\nupstraem='b'\n",
            " [proxy]",
            'unknown key "upstraem". Did you mean "upstream"?',
        ),
        ("[load]\nrat = 1\n", " [load]", 'unknown key "rat". Did you mean "rate"?'),
        ("[gate]\nrequires = []\n", " [gate]", 'unknown key "requires". Did you mean "require"?'),
        ("[gate]\nzzz = []\n", " [gate]", 'unknown key "zzz". Valid: max_age, require'),
        (
            "[slo]\n'chat.tft.p95' = '<= 1s'\n",
            "",
            'unknown metric "chat.tft.p95". Did you mean "chat.ttft.p95"?',
        ),
    ],
)
def test_an_unknown_name_gets_the_nearest_valid_one(tmp_path: Path, text: str, where: str, hint: str) -> None:
    path = write(tmp_path, text)
    assert refused(path).startswith(f"{path}{where}: {hint}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[load]\nrate = 'fast'\n", "$.load.rate"),
        ("[load]\ncount = 1.5\n", "$.load.count"),
        ("[load]\nrate = 0\n", "rate is arrivals per second"),
        ("[load]\nrate = nan\n", "rate is arrivals per second"),
        ("[load]\nrate = 10001\n", "rate is arrivals per second"),
        ("[load]\ncount = 0\n", "count is a number of arrivals"),
        ("[load]\ndeadline = 'soon'\n", '"soon" is not a duration'),
        ("[gate]\nmax_age = '1d'\n", '"1d" is not a duration'),
        ("[gate]\nrequire = 'load/*'\n", "$.gate.require"),
        ("[target]\nurl = 1\n", "$.target.url"),
        ("[target]\nenv = {A = 1}\n", "$.target.env"),
        ("[[proxy]]\nname = 'a'\n", "upstream"),
        ("proxy = [1]\n", "$.proxy[0]"),
        ("load = 3\n", "$.load"),
        ("[slo]\n'chat.success' = 0.98\n", "$.slo"),
        ("[slo]\n'chat.success' = '>= 0.98'\n", "wrong unit"),
        ("[load\n", "cannot be read"),
        ("a = '\udc80'\n", "cannot be read"),
    ],
)
def test_a_wrong_value_names_the_file_and_the_key(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "prodtest.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    message = refused(path)
    assert message.startswith(str(path))
    assert says in message


def test_a_file_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    assert "cannot be read" in refused(tmp_path / "prodtest.toml")


def test_pyproject_has_its_own_table(tmp_path: Path) -> None:
    text = "[project]\nname = 'x'\n[tool.other]\na = 1\n[tool.prodtest.load]\ncount = 5\n"
    path = write(tmp_path, text, "pyproject.toml")
    assert load_config(path).load.count == 5
    path.write_text("[tool.prodtest]\nlaod = 1\n")
    assert 'Did you mean "load"?' in refused(path)


@pytest.mark.parametrize("text", ["", "[tool.other]\n", "tool = 1\n", "tool = 'prodtest'\n"])
def test_a_pyproject_without_the_table_has_the_defaults_and_is_not_found(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text, "pyproject.toml")
    (tmp_path / ".git").mkdir()
    assert load_config(path).load == Load()
    assert find_config(tmp_path) is None


@pytest.mark.parametrize("value", ["1", "false", "[]", "'x'"])
def test_a_table_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    path = write(tmp_path, f"[tool]\nprodtest = {value}\n", "pyproject.toml")
    assert f"{path}: expected a table, got" in refused(path)


def test_any_struct_is_decoded_with_the_same_errors() -> None:
    assert decode_toml({"rate": 2}, Load, "here") == Load(rate=2.0)
    with pytest.raises(UsageError, match='here: unknown key "rte"'):
        decode_toml({"rte": 2}, Load, "here")


def test_the_nearest_file_above_is_found_and_prodtest_toml_first(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    top = write(tmp_path, "[tool.prodtest]\n", "pyproject.toml")
    assert find_config(below) == top
    middle = write(tmp_path / "a", "")
    write(tmp_path / "a", "[tool.prodtest]\n", "pyproject.toml")
    assert find_config(below) == middle
    write(below, "[tool.other]\n", "pyproject.toml")
    assert find_config(below) == middle


def test_the_search_ends_at_the_top_of_a_repository(tmp_path: Path) -> None:
    write(tmp_path, "")
    repository = tmp_path / "repository"
    (repository / ".git").mkdir(parents=True)
    assert find_config(repository) is None
    own = write(repository, "")
    assert find_config(repository) == own
    assert find_config(Path("/nowhere")) is None


def test_a_broken_pyproject_on_the_way_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "[", "pyproject.toml")
    with pytest.raises(UsageError, match="cannot be read"):
        find_config(tmp_path)


def test_the_environment_names_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "")
    monkeypatch.setenv("PRODTEST_CONFIG", str(tmp_path / "other.toml"))
    assert find_config(tmp_path) == tmp_path / "other.toml"


def git(folder: Path, *args: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *who, *args], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_subject_comes_from_the_file_then_the_environment_then_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q")
    path = write(tmp_path, "")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "x")
    revision = git(tmp_path, "rev-parse", "HEAD")
    assert (load_config(path).subject.revision, load_config(path).subject.image) == (revision, "")
    write(tmp_path, "", "untracked")
    assert load_config(path).subject.revision == f"{revision}-dirty"
    monkeypatch.setenv("PRODTEST_REVISION", "from-ci")
    monkeypatch.setenv("PRODTEST_IMAGE", "image-ci")
    subject = load_config(path).subject
    assert (subject.revision, subject.image) == ("from-ci", "image-ci")
    path.write_text('[subject]\nrevision = "own"\nimage = "own-image"\n')
    subject = load_config(path).subject
    assert (subject.revision, subject.image) == ("own", "own-image")


def test_outside_a_repository_and_without_git_there_is_no_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert load_config(path).subject.revision == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert load_config(path).subject.revision == ""


def test_the_hash_changes_with_what_is_configured_and_with_nothing_else(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        return load_config(write(tmp_path, text)).subject.config

    assert digest(WHOLE) == digest(WHOLE.replace("rate = 20", "rate = 20.0  # a comment"))
    assert digest(WHOLE) != digest(WHOLE.replace("1.5s", "1.6s"))
    assert digest("[subject]\nconfig = 'given'\n") == "given"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/chat",
        "https://localhost/x",
        "http://[::1]:80/",
        "http://127.9.9.9",
        "http://LOCALHOST",
    ],
)
def test_loopback_is_allowed(url: str) -> None:
    check_target(url, [])


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://staging.example/chat", "staging.example"),
        ("http://127.0.0.1.example/", "127.0.0.1.example"),
        ("http://127.0.0.1@evil.example/", "evil.example"),
        ("http://localhost.example", "localhost.example"),
        ("http://10.0.0.1/", "10.0.0.1"),
        ("http://0.0.0.0/", "0.0.0.0"),
        ("http://[::]/", "::"),
        ("http://2130706433/", "2130706433"),
        ("http://0x7f.1/", "0x7f.1"),
    ],
)
def test_everything_else_is_refused_unless_it_is_listed(url: str, host: str) -> None:
    with pytest.raises(UsageError) as error:
        check_target(url, ["other.example"])
    assert str(error.value).startswith(f'"{host}" is not on the allow-list, nothing was sent.')
    check_target(url, [host.upper()])


@pytest.mark.parametrize(
    "url",
    [
        "",
        "staging.example",
        "ftp://localhost",
        "http://",
        "http://[::1",
        "file:///etc",
        "http://evil\\@localhost",
    ],
)
def test_what_is_no_http_url_is_refused(url: Any) -> None:
    with pytest.raises(UsageError, match="is not an http or https URL"):
        check_target(url, ["evil", "localhost"])
