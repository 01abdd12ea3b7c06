"""Answer requests from a cassette, each with what was recorded for one of the same meaning."""

import copy
import logging
import threading
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, unquote

import msgspec

from langchain_prodtest.errors import UsageError
from langchain_prodtest.script import Reply, Request, answer_for
from langchain_prodtest.wire.arrival import Arrival
from langchain_prodtest.wire.cassette import Answered, Asked, Recording, heard, read_cassette
from langchain_prodtest.wire.codec import Codec, Head, Rejected, digest_of
from langchain_prodtest.wire.differences import differences
from langchain_prodtest.wire.redaction import Redaction
from langchain_prodtest.wire.response import Ending, Response

__all__ = ["Replay", "Replayed", "replay"]

_log = logging.getLogger(__name__)
_ENDINGS: dict[str, Ending] = {"whole": "end", "cut": "eof", "reset": "reset"}
_PLAIN = Redaction()


class Replayed(Reply, frozen=True):
    """Stands for what the cassette has; its own words are for Faults, which need some to cut."""


class Replay:
    """The default of a Script whose requests are answered from recordings; its rules go before them.

    Requests of the same meaning (method, path, JSON of the body, without credentials) get the recordings of
    it one after the other. `speed` divides the recorded times: 1 keeps them, infinity leaves no waiting.
    """

    def __init__(self, recordings: Sequence[Recording], speed: float = 1.0) -> None:
        if not speed > 0:
            raise UsageError(f"speed is a factor above 0, or inf for no waiting, not {speed:g}")
        self._asked = [_meaning(recording.request) for recording in recordings]
        self._responses = [_response(recording.response, speed) for recording in recordings]
        self._places: dict[bytes, list[int]] = defaultdict(list)
        for place, asked in enumerate(self._asked):
            self._places[_key(asked)].append(place)
        self._used: set[int] = set()
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Reply:
        """Return what stands for a recording."""
        return Replayed(answer_for(request.nonce))

    def read(self, codec: Codec, head: Head, body: bytes) -> Request:
        """Return the Request; of one that the fake provider itself would refuse, what anyone can tell."""
        try:
            return codec.decode(head, body)
        except Rejected:
            return Request(
                provider=head.provider, operation=head.path, headers=head.headers,
                digest=digest_of((head.path, body)), received=head.received,
            )  # fmt: skip

    def again(self) -> Self:
        """Return one that begins with the first recordings, whatever this one has used."""
        other = copy.copy(self)
        other._used, other._lock = set(), threading.Lock()
        return other

    def answer(self, arrival: Arrival) -> Response:
        """Return the next recording for a request to `/<mount>/...`.

        Rejected (400) if there is none: the text names the nearest one and the first difference.
        """
        asked = _meaning(heard(arrival)[0])
        with self._lock:
            fitting = [
                place for place in self._places.get(_key(asked), ()) if _fits(self._asked[place], asked)
            ]
            left = [place for place in fitting if place not in self._used]
            if left:
                self._used.add(left[0])
                return self._responses[left[0]]
        target = f"{arrival.method} {asked.path}"
        if fitting:
            why = f"This {target} is asked for more often than it was recorded ({len(fitting)})."
        else:
            why = f"No recording is like this {target}. {self._nearest(asked)}"
        _log.warning("%s", why)
        raise Rejected(400, why)

    def _nearest(self, asked: Asked) -> str:
        found = [
            (
                [*differences(*_heads(recorded, asked), "")],
                [*differences(recorded.body, asked.body, "body")],
                place,
            )
            for place, recorded in enumerate(self._asked, start=1)
        ]
        if not found:
            return "The cassette is empty."
        head, body, place = min(found, key=lambda one: (len(one[0]), len(one[1])))
        return f"Recording {place} is the nearest; the first difference: {[*head, *body][0]}"


def _meaning(asked: Asked) -> Asked:
    """Return what counts of a request, the same for all that mean the same."""
    path, _, query = asked.path.partition("?")
    fields = sorted(parse_qsl(_PLAIN.text(f"?{query}")[1:], keep_blank_values=True))
    path = unquote(path) + "".join(
        f"{'&' if n else '?'}{name}={value}" for n, (name, value) in enumerate(fields)
    )
    body = asked.body if asked.body is msgspec.UNSET else _plain_numbers(_PLAIN.json(asked.body))
    return Asked(provider=asked.provider, method=asked.method.upper(), path=path, body=body)


def _plain_numbers(value: Any) -> Any:
    """Return JSON in which 1.0 is 1."""
    if isinstance(value, dict):
        return {name: _plain_numbers(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain_numbers(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _key(asked: Asked) -> bytes:
    return b"" if asked.body is msgspec.UNSET else msgspec.json.encode(asked.body, order="deterministic")


def _heads(recorded: Asked, asked: Asked) -> tuple[dict[str, str], dict[str, str]]:
    """Return method, provider and path of both, as far as the recorded ones say something."""
    named = [name for name in ("method", "provider", "path") if getattr(recorded, name)]
    return {name: getattr(recorded, name) for name in named}, {name: getattr(asked, name) for name in named}


def _fits(recorded: Asked, asked: Asked) -> bool:
    first, second = _heads(recorded, asked)
    return first == second


def _response(answered: Answered, speed: float) -> Response:
    end = answered.seconds / speed
    if answered.body is not msgspec.UNSET:
        parts = [(end, msgspec.json.encode(answered.body))]
    else:
        parts = [(part.at / speed, part.data) for part in answered.chunks]
    framing = answered.framing or ("chunked" if answered.chunks else "length")
    closed = framing == "close" and answered.ends == "whole"
    return Response(
        status=answered.status,
        headers=answered.headers,
        parts=parts,
        streamed=bool(answered.chunks),
        length=answered.length,
        ending="eof" if closed else _ENDINGS[answered.ends],
        pause=max(0.0, end - parts[-1][0]) if parts else end,
        spoiled=answered.ends != "whole",
        framing=framing,
    )


def replay(cassette: Path | str, speed: float = 1.0) -> Replay:
    """Return what answers from a cassette file, for one server or test: `script.default = replay(path)`."""
    return Replay(read_cassette(Path(cassette)), speed)
