"""Clients led to a UNIX socket, for runs in which pytest-socket forbids every other."""

import asyncio
import contextlib
import importlib
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

__all__ = ["led_to_a_file", "led_url"]

# What base URLs name in its stead: an address, since names are looked up; a port where nobody listens.
PLACE = ("127.0.0.1", 1)

# Asked of `create_connection` about addresses; a socket that is connected already takes none of them.
_ABOUT_ADDRESSES = (
    "family",
    "proto",
    "flags",
    "local_addr",
    "happy_eyeballs_delay",
    "interleave",
    "all_errors",
)


def led_url(url: str) -> str:
    """Return the URL, with the host `localhost`, as one to PLACE."""
    return url.replace("//localhost/", "//{}:{}/".format(*PLACE), 1)


@contextmanager
def led_to_a_file() -> Iterator[Path]:
    """Give the path for a UNIX socket that connections to PLACE lead to while the block runs.

    That holds for all that connect by `socket.create_connection`, urllib3, aiohttp or an asyncio loop, and
    so for httpx, httpx2, requests and botocore. Not for uvloop, libraries with sockets of their own, and
    children.
    """

    class Led(socket.socket):  # here, since pytest-socket puts a guard in the place of socket.socket
        """A UNIX socket that is asked for TCP's options and needs none."""

        def setsockopt(self, level: int, *option: Any) -> None:
            if level != socket.IPPROTO_TCP:
                super().setsockopt(level, *option)

    def connected(timeout: object = None) -> Led:
        made = Led(socket.AF_UNIX, socket.SOCK_STREAM)
        if isinstance(timeout, int | float):
            made.settimeout(timeout)
        made.connect(str(path))
        return made

    def in_place_of(create: Any) -> Any:
        def create_connection(address: Any, timeout: Any = None, *args: Any, **kwargs: Any) -> Any:
            return connected(timeout) if address == PLACE else create(address, timeout, *args, **kwargs)

        return create_connection

    def for_aiohttp(start: Any) -> Any:
        async def start_connection(addr_infos: Any, *args: Any, **kwargs: Any) -> Any:
            if not any(address[-1][:2] == PLACE for address in addr_infos):
                return await start(addr_infos, *args, **kwargs)
            made = connected()
            made.setblocking(False)
            return made

        return start_connection

    of_a_loop = asyncio.BaseEventLoop.create_connection

    async def create_connection(self: Any, factory: Any, *args: Any, **kwargs: Any) -> Any:
        host, port = (*args, kwargs.get("host"), kwargs.get("port"))[:2]
        if (host, port) != PLACE:
            return await of_a_loop(self, factory, *args, **kwargs)
        made = connected()
        made.setblocking(False)
        kept = {name: kwargs[name] for name in kwargs if name not in _ABOUT_ADDRESSES}
        return await of_a_loop(self, factory, sock=made, **kept)

    with ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prodtest-"))) / "fakes"
        stack.enter_context(mock.patch.object(asyncio.BaseEventLoop, "create_connection", create_connection))
        for name, function, replaced in (
            ("socket", "create_connection", in_place_of),
            ("urllib3.util.connection", "create_connection", in_place_of),
            ("aiohappyeyeballs", "start_connection", for_aiohttp),
        ):
            with contextlib.suppress(ImportError):  # a library that is not installed connects nowhere
                module = importlib.import_module(name)
                led = replaced(getattr(module, function))
                stack.enter_context(mock.patch.object(module, function, led))
        yield path
