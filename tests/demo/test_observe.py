import json
import logging
import re
import sys

import pytest

from langchain_prodtest.demo.observe import JsonLines, Metrics, trace_header, trace_id, trace_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_the_trace_id_is_taken_from_traceparent() -> None:
    assert trace_of(f"00-{TRACE}-{SPAN}-01") == TRACE
    assert trace_of(f"01-{TRACE}-{SPAN}-01-of-the-future") == TRACE


@pytest.mark.parametrize(
    "header",
    [None, "", "nonsense", f"00-{TRACE}-{SPAN}", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01",
     f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{SPAN}-01"],
)  # fmt: skip
def test_without_a_valid_traceparent_a_new_trace_id_is_made(header: str | None) -> None:
    made = trace_of(header)
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert made not in (TRACE, "0" * 32, trace_of(header))


def test_calls_carry_the_trace_on_with_a_span_of_their_own() -> None:
    token = trace_id.set(TRACE)
    try:
        first, second = trace_header(), trace_header()
    finally:
        trace_id.reset(token)
    assert trace_of(first) == trace_of(second) == TRACE
    assert first != second


def _record(message: str, **attributes: object) -> logging.LogRecord:
    record = logging.LogRecord("demo", logging.INFO, "file.py", 1, message, None, None)
    record.__dict__.update(attributes)
    return record


def test_a_log_line_is_one_json_object_with_the_trace_id() -> None:
    token = trace_id.set(TRACE)
    try:
        line = JsonLines().format(_record("chat.ended\nsecond line", fields={"outcome": "ok"}))
    finally:
        trace_id.reset(token)
    assert "\n" not in line
    told = json.loads(line)
    assert (told["event"], told["outcome"], told["trace_id"]) == ("chat.ended\nsecond line", "ok", TRACE)


def test_the_text_of_an_exception_is_not_logged_but_its_type_and_place_are() -> None:
    try:
        raise ValueError("sk-canary") from TimeoutError("sk-canary")
    except ValueError:
        line = JsonLines().format(_record("chat.failed", exc_info=sys.exc_info()))
    assert "sk-canary" not in line
    assert (json.loads(line)["error"], json.loads(line)["cause"]) == ("ValueError", "TimeoutError")
    assert "test_observe.py:" in json.loads(line)["where"]


def test_each_service_counts_for_itself() -> None:
    first, second = Metrics(), Metrics()
    first.requests.labels("ok").inc()
    counted = [m.registry.get_sample_value("demo_requests_total", {"outcome": "ok"}) for m in (first, second)]
    assert counted == [1.0, None]
