import pytest

from langchain_prodtest.demo.settings import read
from langchain_prodtest.errors import UsageError

NEEDED = {
    "OPENAI_API_KEY": "sk-one",
    "FALLBACK_BASE_URL": "http://127.0.0.1:1/v1",
    "FALLBACK_API_KEY": "sk-two",
}


def test_what_is_not_set_has_its_documented_default() -> None:
    settings = read(NEEDED)
    assert (settings.port, settings.deadline_seconds, settings.grace_seconds) == (8000, 8.0, 10.0)
    assert (settings.openai_base_url, settings.demo_defect) == ("https://api.openai.com/v1", "")


def test_every_variable_is_read() -> None:
    given = {"PORT": "81", "OPENAI_BASE_URL": "http://x/v1", "DEADLINE_SECONDS": "2.5", "GRACE_SECONDS": "3"}
    settings = read({**NEEDED, **given, "DEMO_DEFECT": "no_drain"})
    assert (settings.port, settings.openai_base_url, settings.demo_defect) == (81, "http://x/v1", "no_drain")
    assert (settings.deadline_seconds, settings.grace_seconds) == (2.5, 3.0)
    assert settings.openai_api_key.get_secret_value() == "sk-one"
    assert settings.fallback_api_key.get_secret_value() == "sk-two"


def test_the_keys_do_not_show_in_the_repr() -> None:
    assert "sk-" not in repr(read(NEEDED))


@pytest.mark.parametrize("name", NEEDED)
def test_a_needed_variable_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is not set"):
        read({**NEEDED, name: ""})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "1.5"),
        ("DEADLINE_SECONDS", "8s"),
        ("DEADLINE_SECONDS", "-1"),
        ("GRACE_SECONDS", "inf"),
        ("GRACE_SECONDS", "nan"),
    ],
)
def test_a_value_that_is_no_positive_number_is_named(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"{name} must be .* not '{value}'"):
        read({**NEEDED, name: value})
