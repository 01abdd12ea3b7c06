"""`python -m langchain_prodtest.toxiproxy`: the embedded server in the foreground."""

import argparse
import asyncio
import ipaddress
import os
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from langchain_prodtest.errors import ProdtestError, UsageError
from langchain_prodtest.toxiproxy.address import Allowed, hosts_of
from langchain_prodtest.toxiproxy.policy import MAX_FAULTS, Policy, stop_file
from langchain_prodtest.toxiproxy.server import run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server with these arguments (default: the command line's); 2 if it cannot start."""
    parser = argparse.ArgumentParser(prog="prodtest toxiproxy", description=__doc__)
    parser.add_argument(
        "--host", default="127.0.0.1", help="loopback address of the API (default %(default)s)"
    )
    parser.add_argument(
        "--port", type=int, default=8474, help="port of the API, 0 for a free one (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, help="make draws and jitter reproducible")
    parser.add_argument("--config", type=Path, metavar="FILE", help="JSON array of proxies to start with")
    parser.add_argument("--proxy-metrics", action="store_true", help="serve /metrics with bytes by proxy")
    parser.add_argument("--runtime-metrics", action="store_true", help="serve /metrics of the process")
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="IP address, network or host name, beside loopback, to listen on and to connect to; repeatable",
    )
    parser.add_argument(
        "--max-faults", type=int, default=MAX_FAULTS, help="toxics and disabled proxies at once (%(default)s)"
    )
    parser.add_argument(
        "--stop-file",
        type=Path,
        default=stop_file(),
        metavar="FILE",
        help="while it exists there are no faults (default: PRODTEST_STOP_FILE, else %(default)s)",
    )
    parser.add_argument("--strict", action="store_true", help="imitate Toxiproxy 2.12 where this is safer")
    parser.add_argument("--parent", type=int, metavar="PID", help="end when this process has ended")
    options = parser.parse_args(argv)
    try:
        policy = _read_policy(options)
        _check_host(options.host, policy)
        with asyncio.Runner(loop_factory=_find_loop()) as runner:
            runner.run(run(options.host, options.port, policy, options.parent, options.config))
    except ProdtestError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _read_policy(options: argparse.Namespace) -> Policy:
    seed = random.getrandbits(64) if options.seed is None else options.seed
    return Policy(
        str(seed),
        strict=options.strict,
        token=os.environ.get("TOXIPROXY_AUTH_TOKEN"),
        proxy_metrics=options.proxy_metrics,
        runtime_metrics=options.runtime_metrics,
        allowed=Allowed(options.allow),
        max_faults=options.max_faults,
        stop_file=options.stop_file,
    )


def _check_host(host: str, policy: Policy) -> None:
    """Refuse an API address that is not allowed, or that others could reach without a token."""
    policy.allowed.check(host)
    if not policy.token and any(not ipaddress.ip_address(ip).is_loopback for ip in hosts_of(host)):
        raise UsageError(f"an API on {host} needs a token: set TOXIPROXY_AUTH_TOKEN")


def _find_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return uvloop's event loop if it is installed (the extra `fast`), else asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
