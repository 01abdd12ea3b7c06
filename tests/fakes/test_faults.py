"""A Fault in the process is the exception that a partner package raises for it."""

from typing import Literal

import pytest
from langchain_core import exceptions

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.fakes.faults import ScriptedConnectionError, exception_for
from langchain_prodtest.script import Fault


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, exceptions.ModelInvalidRequestError, False),
        (401, exceptions.ModelAuthenticationError, False),
        (403, exceptions.ModelPermissionDeniedError, False),
        (404, exceptions.ModelNotFoundError, False),
        (408, exceptions.ModelTimeoutError, True),
        (422, exceptions.ModelInvalidRequestError, False),
        (429, exceptions.ModelRateLimitError, True),
        (500, exceptions.ModelAPIError, True),
        (503, exceptions.ModelAPIError, True),
    ],
)
def test_a_status_is_the_model_error_that_langchain_retries_or_not(
    status: int, kind: type[exceptions.ModelError], retryable: bool
) -> None:
    error = exception_for(Fault(status=status))
    assert type(error) is kind
    assert isinstance(error, exceptions.ModelError)
    assert error.is_retryable is retryable
    assert error.status_code == status  # type: ignore[attr-defined]


def test_retry_after_and_headers_can_be_read_from_the_error() -> None:
    error = exception_for(Fault(status=429, retry_after=1.5, headers={"x-request-id": "r1"}))
    assert error.headers == {"x-request-id": "r1", "retry-after": "1.5"}  # type: ignore[union-attr]


@pytest.mark.parametrize("how", ["refuse", "reset", "eof"])
def test_a_lost_connection_is_a_connection_error_that_is_retried(
    how: Literal["refuse", "reset", "eof"],
) -> None:
    error = exception_for(Fault(how=how))
    assert isinstance(error, ScriptedConnectionError)
    assert isinstance(error, ConnectionError)
    assert error.is_retryable


def test_a_clean_end_is_seen_by_nobody() -> None:
    assert exception_for(Fault(how="clean_end", after=1)) is None


@pytest.mark.parametrize("fault", [Fault(how="hang"), Fault(how="stall", after=1), Fault(how="drip")])
def test_what_needs_a_connection_points_to_the_fake_providers(fault: Fault) -> None:
    with pytest.raises(ScriptError, match="Use the fake_providers fixture"):
        exception_for(fault)
