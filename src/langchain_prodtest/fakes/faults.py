"""Faults as the exceptions that LangChain's partner packages raise for them."""

from langchain_core.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)

from langchain_prodtest.errors import ScriptError
from langchain_prodtest.script import Fault

__all__ = ["ScriptedConnectionError", "exception_for"]

_BY_STATUS: dict[int, type[ModelError]] = {
    401: ModelAuthenticationError,
    403: ModelPermissionDeniedError,
    404: ModelNotFoundError,
    408: ModelTimeoutError,
    429: ModelRateLimitError,
}


class ScriptedConnectionError(ModelConnectionError, ConnectionError):
    """The connection to the provider was refused, reset or closed; LangChain's retries take it up."""


def exception_for(fault: Fault) -> Exception | None:
    """Return what a client raises for `fault`, or None where it sees nothing wrong (`clean_end`).

    An error of an HTTP status is the member of langchain_core's ModelError family for it, with `status_code`
    and `headers` as attributes. Faults that only bytes or an open connection can show are a ScriptError.
    """
    if fault.status is not None:
        return _status_error(fault, fault.status)
    if fault.how == "clean_end":
        return None
    if fault.how in ("refuse", "reset", "eof"):
        return ScriptedConnectionError(f"scripted Fault: connection {fault.how} after {fault.after} events")
    raise ScriptError(
        f'Fault(how="{fault.how}") happens on a connection, and an in-process fake has none. '
        "Use the fake_providers fixture."
    )


def _status_error(fault: Fault, status: int) -> ModelError:
    kind = _BY_STATUS.get(status, ModelAPIError if status >= 500 else ModelInvalidRequestError)
    error = kind(f"scripted Fault: HTTP {status} {fault.body or ''}".rstrip())
    headers = dict(fault.headers)
    if fault.retry_after is not None:
        headers["retry-after"] = str(fault.retry_after)
    vars(error).update(status_code=status, headers=headers)
    return error
