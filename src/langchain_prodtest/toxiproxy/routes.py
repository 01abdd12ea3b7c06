"""Which handler a request reaches, and what is answered before any handler runs."""

import hmac
import posixpath
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import unquote

from langchain_prodtest.errors import ToxiproxyError
from langchain_prodtest.toxiproxy.message import PLAIN, Answer, Request, answer_error

__all__ = ["Handler", "Routes"]

Handler = Callable[..., Awaitable[Answer]]
_NOT_FOUND = Answer(404, b"404 page not found\n", PLAIN, routed=False, nosniff=True)
_BROWSER = Answer(403, b"User agent not allowed\n", PLAIN, nosniff=True)


class Routes:
    """Handlers by path and method; `*` in a path stands for a name, which the handler gets.

    With a `token` every routed request must carry it (`Authorization: Bearer <token>`), else it is 401.
    """

    def __init__(self, handlers: Mapping[str, Mapping[str, Handler]], token: str | None) -> None:
        self._handlers = {tuple(path.split("/")): methods for path, methods in handlers.items()}
        self._expected = f"Bearer {token}".encode() if token else None

    async def answer(self, request: Request) -> Answer:
        """Return what the handler answers; every refusal is an answer too."""
        clean = posixpath.normpath("/" + request.path.lstrip("/"))
        if request.path.endswith("/") and clean != "/":
            clean += "/"
        if clean != request.path:
            return Answer(301, content_type="", routed=False, location=clean)
        segments = request.path.split("/")[1:]
        for path, methods in self._handlers.items():
            names = _match(path, segments)
            if names is not None:
                return await self._run(methods, request, names)
        return _NOT_FOUND

    async def _run(self, methods: Mapping[str, Handler], request: Request, names: list[str]) -> Answer:
        handler = methods.get(request.method, methods.get("*"))
        if handler is None:
            return Answer(405, content_type="", routed=False)
        if request.headers.get("user-agent", "").startswith("Mozilla/"):
            return _BROWSER
        try:
            self._check_token(request)
            return await handler(request, *names)
        except ToxiproxyError as error:
            return answer_error(error)
        except OSError as error:  # Out of descriptors or memory: the next request may fare better.
            return answer_error(ToxiproxyError(str(error), 500))

    def _check_token(self, request: Request) -> None:
        given = request.headers.get("authorization", "").encode("utf-8", "replace")
        if self._expected is not None and not hmac.compare_digest(given, self._expected):
            raise ToxiproxyError("unauthorized", 401)


def _match(path: tuple[str, ...], segments: list[str]) -> list[str] | None:
    """Return the names in a path, None if it is another one; a name is one segment, decoded afterwards."""
    if len(path) != len(segments) or any(p not in ("*", s) for p, s in zip(path, segments, strict=True)):
        return None
    names = [unquote(s) for p, s in zip(path, segments, strict=True) if p == "*"]
    return names if all(names) and not any("/" in name for name in names) else None
