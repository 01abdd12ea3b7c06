"""Numbers are written as people read them, and none is rounded into something it is not."""

import pytest

from langchain_prodtest.limit import Limit, parse_limit
from langchain_prodtest.measure import Measurement
from langchain_prodtest.numbers import certainty, count, limit, measured, printable


def of(metric: str, value: float | None, n: int = 300, **more: object) -> Measurement:
    return Measurement(metric=metric, value=value, n=n, n_eff=float(n), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("chat.ttft.p95", 0.312, "312 ms"),
        ("chat.ttft.p95", 0.0314, "31 ms"),
        ("chat.ttft.p95", 0.0031, "3.1 ms"),
        ("chat.ttft.p95", 0.0, "0 ms"),
        ("chat.ttft.p95", None, "never"),
        ("recovery.rto", 3.2, "3.2 s"),
        ("recovery.rto", 15.4, "15.4 s"),
        ("recovery.rto", 123.4, "123 s"),
        ("chat.success", 1.0, "100 %"),
        ("chat.success", 0.0, "0 %"),
        ("chat.success", 0.983, "98.3 %"),
        ("chat.success", 0.9996, "99.96 %"),
        ("chat.success", 0.00001, "0.001 %"),
        ("chat.success", 1 - 1e-12, "99.9999999999 %"),
        ("retry.amplification", 2.0, "2.0"),
        ("stream.masked_failure", 0.0, "0"),
        ("stream.masked_failure", 17.0, "17"),
        ("no.such", 1.25, "1.25"),
    ],
)
def test_a_value_has_its_unit(metric: str, value: float | None, text: str) -> None:
    assert measured(of(metric, value)) == text


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (of("chat.ttft.p95", 0.3, interval=(0.29, 0.34)), "[290, 340] ms"),
        (of("chat.ttft.p95", 1.3, interval=(0.9, 1.4)), "[0.9, 1.4] s"),
        (of("chat.ttft.p95", 1.3, interval=(0.9, None)), ">= 900 ms"),
        (of("chat.ttft.p95", 1.3, interval=(None, 1.4)), "<= 1.4 s"),
        (of("chat.ttft.p95", None), ""),
        (of("chat.success", 1.0, interval=(0.990, 1.0)), "[99.0, 100] %"),
        (of("retry.amplification", 2.0, worst=3), "worst 3"),
        (of("retry.amplification", 2.0), ""),
        (of("timeout.total", 2.0, worst=2.5), "worst 2.5 s"),
        (of("recovery.rto", 3.2, n=1), "1 repeat"),
        (of("recovery.rto", 3.2, n=3, worst=4.0), "worst 4.0 s"),
        (of("stream.masked_failure", 0.0, n=200), "<= 1.5 %"),
        (of("stream.masked_failure", 0.0, n=59), "<= 5.0 %"),
        (of("stream.masked_failure", 2.0, n=200), ""),
        (of("stream.masked_failure", 0.0, n=0), ""),
        (of("no.such", 1.0), ""),
    ],
)
def test_how_sure_a_value_is(found: Measurement, text: str) -> None:
    assert certainty(found) == text


def test_n_is_left_out_where_the_repeat_is_named() -> None:
    assert [count(of("recovery.rto", 3.2, n=n)) for n in (1, 3)] == ["", "3"]
    assert count(of("chat.success", 1.0)) == "300"


def test_a_limit_is_shown_as_it_was_written() -> None:
    assert limit(parse_limit("chat.ttft.p95", "<=1500ms")) == "<= 1500ms"
    assert limit(Limit("chat.ttft.p95", "<=", 1.5)) == "<= 1.5"


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert printable("a\x1b[31m\tb\nc\u202ed\ud800é") == "a\\x1b[31m\\tb\nc\\u202ed\\ud800é"
