"""The judge proves itself in each run: answers that are known to be wrong must be reported as just that.

They come from a server of our own beside the run, by the same client, protocol and rules as all others, in a
phase that no limit is about. A pipeline that takes them for good would take a sick service for a healthy one.
"""

import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress

from langchain_prodtest.load.arrivals import Arrival, sample_of
from langchain_prodtest.load.protocols.posted import Posted
from langchain_prodtest.load.stream import Client
from langchain_prodtest.measure import Sample, now
from langchain_prodtest.outcome import Outcome
from langchain_prodtest.script import answer_for, find_nonce, new_nonce

__all__ = ["PHASE", "PLANTED", "plant", "proven"]

PHASE = "proof"
PLANTED = (Outcome.SILENT_TRUNCATION, Outcome.DUPLICATED, Outcome.REFUSED)
PATIENCE = 5.0  # seconds


def plant(protocol: Posted, scenario: str, seed: int, keep: Callable[[Sample], None]) -> None:
    """Ask for each planted answer, and keep its sample."""
    with _liar(protocol) as port, closing(socket.socket()) as deaf:
        deaf.bind(("127.0.0.1", 0))  # and does not listen
        for number, planted in enumerate(PLANTED):
            at = now()
            nonce = new_nonce(number, seed ^ 1)
            arrival = Arrival(
                nonce=nonce, phase=PHASE, intended=at, latest=at, offered=at, free=True, sent=at
            )
            where = deaf.getsockname()[1] if planted is Outcome.REFUSED else port
            client = Client(f"http://127.0.0.1:{where}/{planted}", protocol)
            keep(
                sample_of(
                    arrival, scenario, client.ask(f"({nonce})", nonce, at + PATIENCE), answer_for(nonce)
                )
            )


def proven(samples: Iterable[Sample]) -> str:
    """Return what is wrong with the reports on the planted answers: "" if they are exactly right."""
    reported = [sample.outcome for sample in samples]
    if sorted(reported) == sorted(PLANTED):
        return ""
    return f"planted answers ({', '.join(PLANTED)}) were reported as {', '.join(reported) or 'nothing'}"


@contextmanager
def _liar(protocol: Posted) -> Iterator[int]:
    """Serve wrong answers, each by its path, on the port that is given."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, protocol), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(PATIENCE)


def _serve(listener: socket.socket, protocol: Posted) -> None:
    for _ in range(len(PLANTED) - 1):
        peer, _address = listener.accept()
        with peer, suppress(OSError):  # whoever does not ask rightly gets no answer, which shows
            peer.settimeout(PATIENCE)
            head, question = _read(peer)
            words = [f"{word} " for word in answer_for(find_nonce(question)).split(" ")]
            part = words[: len(words) // 2]
            cut = f"/{Outcome.SILENT_TRUNCATION}" in head.partition("\r\n")[0]
            body = protocol.speak(part if cut else part + words)
            peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


def _read(peer: socket.socket) -> tuple[str, str]:
    """Return head and body of a request."""
    data = b""
    while not (whole := _REQUEST.match(data)) or len(whole["body"]) < int(whole["length"]):
        chunk = peer.recv(65_536)
        if not chunk:
            raise ConnectionResetError
        data += chunk
    return whole["head"].decode("latin-1"), whole["body"].decode()


_REQUEST = re.compile(
    rb"(?P<head>.*?content-length: *(?P<length>\d+).*?)\r\n\r\n(?P<body>.*)", re.DOTALL | re.IGNORECASE
)
