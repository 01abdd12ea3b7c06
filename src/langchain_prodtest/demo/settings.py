"""The configuration of the reference service: environment variables, read once."""

import os
from collections.abc import Mapping

import msgspec
from pydantic import SecretStr

from langchain_prodtest.errors import UsageError

__all__ = ["Settings", "read"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the service is told from outside; the keys do not show in its `repr`.

    ================= =========================================================================
    PORT              port to listen on, at 127.0.0.1 (default 8000)
    OPENAI_BASE_URL   first provider, in OpenAI's dialect (default https://api.openai.com/v1)
    OPENAI_API_KEY    its key
    FALLBACK_BASE_URL second provider, asked when the first one fails
    FALLBACK_API_KEY  its key
    DEADLINE_SECONDS  total time of one request (default 8)
    GRACE_SECONDS     time for open streams to finish after SIGTERM (default 10)
    DEMO_DEFECT       name of a defect to plant (default none)
    ================= =========================================================================
    """

    port: int = 8000
    openai_base_url: str = "https://api.openai.com/v1"
    openai_api_key: SecretStr
    fallback_base_url: str
    fallback_api_key: SecretStr
    deadline_seconds: float = 8.0
    grace_seconds: float = 10.0
    demo_defect: str = ""


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the Settings from `environ`; UsageError names the variable that is missing or wrong."""
    missing = [name for name in _REQUIRED if not environ.get(name)]
    if missing:
        raise UsageError(f"environment variable {missing[0]} is not set; the service needs it to start")
    return Settings(
        port=int(_number(environ, "PORT", 8000, whole=True)),
        openai_base_url=environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1",
        openai_api_key=SecretStr(environ["OPENAI_API_KEY"]),
        fallback_base_url=environ["FALLBACK_BASE_URL"],
        fallback_api_key=SecretStr(environ["FALLBACK_API_KEY"]),
        deadline_seconds=_number(environ, "DEADLINE_SECONDS", 8.0),
        grace_seconds=_number(environ, "GRACE_SECONDS", 10.0),
        demo_defect=environ.get("DEMO_DEFECT", ""),
    )


_REQUIRED = ("OPENAI_API_KEY", "FALLBACK_BASE_URL", "FALLBACK_API_KEY")


def _number(environ: Mapping[str, str], name: str, default: float, whole: bool = False) -> float:
    text = environ.get(name) or str(default)
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        expected = "a whole number above 0" if whole else "seconds above 0, such as 8 or 2.5"
        raise UsageError(f"environment variable {name} must be {expected}, not {text!r}")
    return value
