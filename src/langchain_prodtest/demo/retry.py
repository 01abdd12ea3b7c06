"""Which failed model calls are worth another try, and when."""

import email.utils
import time

from langchain_prodtest.demo.middleware import BrokenAnswerError

__all__ = ["worth_retrying"]

LONGEST_WAIT = 0.15  # seconds; the shortest wait before a retry, see `HEALTHY.retry`


def worth_retrying(error: Exception) -> bool:
    """Tell whether the same provider may be asked again after the short wait of the retry middleware.

    Not when the request itself was refused (4xx other than 408, 409 and 429), when text of the answer was
    streamed already, or when the provider asked for a longer wait (Retry-After): the fallback is asked then.
    """
    if isinstance(error, BrokenAnswerError):
        return False
    status = getattr(error, "status_code", None) or 500
    if status < 500 and status not in (408, 409, 429):
        return False
    return not _asked_wait(error) > LONGEST_WAIT


def _asked_wait(error: Exception) -> float:
    """Return the seconds that a Retry-After header asks for (RFC 9110, 10.2.3), 0 without a valid one."""
    response = getattr(error, "response", None)
    asked = response.headers.get("retry-after", "") if response is not None else ""
    try:
        return float(asked)
    except ValueError:
        pass
    try:
        return email.utils.parsedate_to_datetime(asked).timestamp() - time.time()
    except ValueError:
        return 0.0
