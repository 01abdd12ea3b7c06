"""What the service tells about itself: metrics, JSON log lines, trace ids."""

import json
import logging
import re
import secrets
import sys
import traceback
from contextvars import ContextVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = ["JsonLines", "Metrics", "log", "start_logging", "trace_header", "trace_id", "trace_of"]

log = logging.getLogger("demo")
trace_id: ContextVar[str] = ContextVar("trace_id", default="")
"""The trace of the request being served: 32 hex digits, or "" outside of a request."""

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"
)


def trace_of(traceparent: str | None) -> str:
    """Return the trace id in a `traceparent` header (W3C Trace Context), or a new one if there is none."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    return match[1] if match else secrets.token_hex(16)


def trace_header() -> str:
    """Return the `traceparent` that a call made for the current request carries."""
    return f"00-{trace_id.get() or secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


class Metrics:
    """The series at /metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "demo_requests", "Chat requests by outcome.", ["outcome"], registry=self.registry
        )
        self.provider_calls = Counter(
            "demo_provider_calls", "HTTP requests sent to a provider.", ["provider"], registry=self.registry
        )
        self.first_token = Histogram(
            "demo_ttft_seconds",
            "Time from the request to its first token.",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8),
            registry=self.registry,
        )
        self.in_flight = Gauge("demo_in_flight", "Answers being streamed.", registry=self.registry)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, trace_id, and the fields given as `extra={"fields": ...}`.

    Of an exception and its cause only type and place are written: the text may hold what a provider or a
    user said.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Render `record` as one line of JSON."""
        line = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "trace_id": trace_id.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
            frame = traceback.extract_tb(record.exc_info[2])[-1]
            line["where"] = f"{frame.filename}:{frame.lineno}"
            if record.exc_info[1] and record.exc_info[1].__cause__:
                line["cause"] = type(record.exc_info[1].__cause__).__name__
        return json.dumps(line)


def start_logging() -> None:
    """Send every log record of the process to standard output as JSON lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    log.setLevel(logging.INFO)
