"""timeout.total is the longest time of a request sent while the provider was sick."""

from langchain_prodtest.checks import measure
from langchain_prodtest.limit import judge, parse_limit
from langchain_prodtest.measure import Sample
from langchain_prodtest.outcome import Outcome
from langchain_prodtest.record import Record, Window

LIMIT = parse_limit("timeout.total", "<= 10s")
HANG = Window(what="hang", seam="provider", start=100.0, end=110.0)


def record(*requests: tuple[float | None, Outcome], sent: float = 101.0) -> Record:
    samples = [
        Sample(
            nonce="n", scenario="chat", intended=sent, sent=sent, outcome=outcome,
            ended=None if seconds is None else sent + seconds,
        )
        for seconds, outcome in requests
    ]  # fmt: skip
    return Record(samples=samples, calls=[], faults=[HANG])


def test_every_request_ended_in_time() -> None:
    """Errors count as well as answers: what matters is that they end."""
    found = measure(record(*[(8.0, Outcome.ERROR_IN_BAND)] * 9, (3.0, Outcome.OK)), LIMIT)
    assert found is not None
    assert (found.value, found.n) == (8.0, 10)
    assert judge(LIMIT, found).outcome == "pass"


def test_one_client_that_gave_up_fails() -> None:
    """A client's own patience is not the service's deadline."""
    found = measure(record(*[(1.0, Outcome.OK)] * 20, (15.0, Outcome.TIMEOUT)), LIMIT)
    assert found is not None
    assert found.detail == "1 of 21 clients gave up waiting"
    assert judge(LIMIT, found).outcome == "fail"


def test_a_request_that_never_ended_is_infinite() -> None:
    """Still open when the run ended: worse than any limit."""
    found = measure(record(*[(1.0, Outcome.OK)] * 20, (None, Outcome.CENSORED)), LIMIT)
    assert found is not None
    assert found.value is None
    assert judge(LIMIT, found).outcome == "fail"


def test_few_requests_are_unknown_and_none_is_no_measurement() -> None:
    """Nine are too few; a request before the fault is none."""
    assert judge(LIMIT, measure(record(*[(1.0, Outcome.OK)] * 9), LIMIT)).outcome == "unknown"
    assert measure(record((99.0, Outcome.OK), sent=50.0), LIMIT) is None
