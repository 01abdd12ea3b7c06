from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest

from langchain_prodtest.demo.middleware import BrokenAnswerError, IncompleteAnswerError
from langchain_prodtest.demo.retry import worth_retrying


class ProviderError(Exception):
    def __init__(self, status: int | None, retry_after: str | None = None) -> None:
        super().__init__("the provider's words")
        if status is not None:
            self.status_code = status
        headers = {} if retry_after is None else {"retry-after": retry_after}
        self.response = SimpleNamespace(headers=headers)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529, None])
def test_a_transient_failure_is_worth_a_retry(status: int | None) -> None:
    assert worth_retrying(ProviderError(status))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_refused_request_is_not_sent_again(status: int) -> None:
    assert not worth_retrying(ProviderError(status))


def test_an_answer_cut_before_any_text_may_be_asked_for_again_and_a_broken_one_not() -> None:
    assert worth_retrying(IncompleteAnswerError())
    assert not worth_retrying(BrokenAnswerError())


@pytest.mark.parametrize(
    "asked", ["3", "3600", "inf", format_datetime(datetime.now(UTC) + timedelta(hours=1))]
)
def test_a_provider_that_asks_for_a_longer_wait_is_not_asked_again(asked: str) -> None:
    assert not worth_retrying(ProviderError(429, asked))


@pytest.mark.parametrize("asked", ["0", "0.1", "-5", "nan", "soon", "", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_short_past_or_senseless_retry_after_does_not_stop_the_retry(asked: str) -> None:
    assert worth_retrying(ProviderError(429, asked))
