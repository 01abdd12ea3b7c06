"""`/metrics`: Prometheus text with the original's names, and live where the original waits for an end."""

import os
import resource
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from langchain_prodtest.toxiproxy.proxy import Proxy

__all__ = ["show_proxies", "show_runtime"]

_STARTED = time.time()


def show_proxies(proxies: Iterable[Proxy]) -> list[str]:
    """Return bytes received and sent by proxy and direction, and the number of open connections."""
    received = [
        "# HELP toxiproxy_proxy_received_bytes_total ",
        "# TYPE toxiproxy_proxy_received_bytes_total counter",
    ]
    sent = ["# HELP toxiproxy_proxy_sent_bytes_total ", "# TYPE toxiproxy_proxy_sent_bytes_total counter"]
    open_ones = [
        "# HELP prodtest_proxy_connections Open connections.",
        "# TYPE prodtest_proxy_connections gauge",
    ]
    for proxy in proxies:
        listener, name, upstream = map(_escape, (proxy.listen, proxy.name, proxy.upstream))
        names = f'listener="{listener}",proxy="{name}",upstream="{upstream}"'
        for up, counts in proxy.counts().items():
            labels = f'{{direction="{"upstream" if up else "downstream"}",{names}}}'
            received.append(f"toxiproxy_proxy_received_bytes_total{labels} {counts.received}")
            sent.append(f"toxiproxy_proxy_sent_bytes_total{labels} {counts.sent}")
        open_ones.append(f"prodtest_proxy_connections{{{names}}} {proxy.connections}")
    return received + sent + open_ones


def show_runtime() -> list[str]:
    """Return what the process uses, in the names that Prometheus' own clients use."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    lines = [
        "# TYPE process_cpu_seconds_total counter",
        f"process_cpu_seconds_total {used.ru_utime + used.ru_stime:.3f}",
        "# TYPE process_start_time_seconds gauge",
        f"process_start_time_seconds {_STARTED:.3f}",
        "# TYPE python_info gauge",
        f'python_info{{version="{sys.version.split()[0]}"}} 1',
    ]
    descriptors = Path("/proc/self/fd")
    if descriptors.exists():
        lines += ["# TYPE process_open_fds gauge", f"process_open_fds {len(os.listdir(descriptors))}"]  # noqa: PTH208
    return lines


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
