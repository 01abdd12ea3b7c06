"""A secret that was told is named with its place, and not repeated."""

from langchain_prodtest.isolation.secrets import told

KEY = "key-123"


def test_the_place_is_named_and_the_secret_is_not_told_again() -> None:
    (text,) = told(KEY, [("captured log", f"fine\nusing {KEY} now"), ("captured stdout", KEY), ("x", "")])
    assert text.splitlines()[:2] == [
        "The provider's key was told: captured log, captured stdout",
        "  using <key> now",
    ]
    assert KEY not in text


def test_nothing_is_said_where_nothing_was_told() -> None:
    assert told(KEY, [("captured log", "fine")]) == []
