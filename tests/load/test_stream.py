import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from langchain_prodtest.load import stream
from langchain_prodtest.load.protocols.sse import Sse
from langchain_prodtest.load.stream import Client, Exchange, traceparent
from langchain_prodtest.measure import now
from langchain_prodtest.outcome import Ending, Outcome, decide
from langchain_prodtest.script import answer_for, new_nonce

NONCE = new_nonce(5, seed=77)
BODY = b'event: token\ndata: {"text": "hi"}\n\nevent: done\ndata: {}\n\n'
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
LOCALHOST = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgXUe3iR5y60ubiFBM
y5sNKhuEVVCubrmMngvolyIb6gihRANCAARVZ0g2LnrGKlhRZAri7ioBzyQJwdmU
gNlzZ+DuF4QnOwt/1m8iQAe//Acg1LBnsgkUKaSqa/LVhy01Tv6ID9jn
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUQ8sThAkGhwanKknBq312XE5SJpowCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNDE0MjUzM1oYDzIxMjYxMDMx
MTQyNTMzWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARVZ0g2LnrGKlhRZAri7ioBzyQJwdmUgNlzZ+DuF4QnOwt/1m8iQAe/
/Acg1LBnsgkUKaSqa/LVhy01Tv6ID9jno28wbTAdBgNVHQ4EFgQU8l4zoIhaTFTJ
hPFDca/gOU5GSTIwHwYDVR0jBBgwFoAU8l4zoIhaTFTJhPFDca/gOU5GSTIwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIhALCYSxPZkqIEWGr/YeCOJW58e6ZMLWgzsKzmusYBFxOHAiAR
0kmUKMYQ1CEZBPYc9umma56X3qAerrQnlTNnKJiIcg==
-----END CERTIFICATE-----
"""  # a self-signed certificate for localhost and 127.0.0.1, used nowhere else


def ask(service: Any, how: str, patience: float = 10.0) -> Exchange:
    service.behave = lambda number: how
    return Client(service.url, Sse()).ask(f"Hello? ({NONCE})", NONCE, now() + patience)


@pytest.mark.parametrize(
    ("how", "ending", "outcome"),
    [
        ("ok", "complete", Outcome.OK),
        ("close_delimited", "complete", Outcome.OK),
        ("clean_cut", "closed", Outcome.BROKEN_STREAM),
        ("eof", "broken", Outcome.BROKEN_STREAM),
        ("reset", "broken", Outcome.BROKEN_STREAM),
        ("error_event", "error_event", Outcome.ERROR_IN_BAND),
        ("500", "closed", Outcome.HTTP_ERROR),
        ("hangup", "refused", Outcome.REFUSED),
        ("duplicate", "complete", Outcome.DUPLICATED),
        ("soft", "complete", Outcome.SOFT_FAILURE),
        ("truncated", "complete", Outcome.SILENT_TRUNCATION),
    ],
)
def test_each_way_to_end_is_told_apart(service: Any, how: str, ending: Ending, outcome: Outcome) -> None:
    exchange = ask(service, how)
    assert exchange.answer.ending == ending
    assert decide(exchange.answer, answer_for(NONCE)) is outcome
    assert exchange.ended is not None


def test_the_clocks_agree_with_what_the_service_did(service: Any) -> None:
    """First word, end and longest silence are those of the service, up to what the machine adds."""
    exchange = ask(service, "stall")
    truth = service.truth[NONCE]
    assert exchange.headers is not None
    assert exchange.first_answer is not None
    assert exchange.ended is not None
    assert exchange.sent < exchange.headers < exchange.first_answer < exchange.ended
    assert exchange.first_event == exchange.first_answer
    assert 0 <= exchange.first_answer - truth.first < 0.25
    assert 0 <= exchange.ended - truth.last < 0.25
    assert exchange.longest_gap == pytest.approx(truth.gap, abs=0.25)
    assert (exchange.stalls, exchange.tokens) == (1, len(answer_for(NONCE).split()))


def test_a_stream_that_is_buffered_on_its_way_comes_in_one_read(service: Any) -> None:
    """Its tokens, gaps and outcome are those of a good answer; only the number of reads tells."""
    lump, stream = ask(service, "buffered"), ask(service, "ok")
    assert lump.answer.ending == "complete"
    assert (lump.tokens, lump.reads) == (stream.tokens, 1)
    assert stream.reads > stream.tokens / 4


def test_a_service_that_never_answers_is_a_timeout_when_patience_ends(service: Any) -> None:
    start = now()
    exchange = ask(service, "hang", patience=0.3)
    assert exchange.answer.ending == "timeout"
    assert 0.3 <= now() - start < 5
    assert exchange.headers is None


def test_a_stall_beyond_patience_is_a_timeout_and_its_silence_counts(service: Any) -> None:
    exchange = ask(service, "stall", patience=0.8)
    assert exchange.answer.ending == "timeout"
    assert exchange.answer.text.startswith(answer_for(NONCE)[:20])
    assert exchange.longest_gap > 0.3


def test_a_port_that_nobody_listens_on_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    exchange = Client(f"http://127.0.0.1:{port}/chat", Sse()).ask("Hello?", NONCE, now() + 5)
    assert (exchange.answer.ending, exchange.answer.status) == ("refused", 0)
    assert "refused" in exchange.answer.detail


def test_an_error_status_keeps_the_beginning_of_its_body_as_detail(service: Any) -> None:
    answer = ask(service, "500").answer
    assert (answer.status, answer.text, answer.detail) == (500, "", "HTTP 500: oops")


def test_the_request_carries_the_nonce_as_trace_id_and_asks_for_no_compression(service: Any) -> None:
    ask(service, "ok")
    headers = service.truth[NONCE].headers
    assert headers["traceparent"] == traceparent(NONCE) == f"00-70726f6474657374{NONCE[3:]}-{NONCE[3:]}-01"
    assert headers["accept"] == "text/event-stream, application/json"
    assert headers["accept-encoding"] == "identity"


def test_a_host_name_is_looked_up(service: Any) -> None:
    service.url = service.url.replace("127.0.0.1", "localhost")
    assert ask(service, "ok").answer.ending == "complete"


def test_tls_is_used_for_https_and_its_certificate_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that nobody vouches for is refused before anything is sent; a trusted one serves."""
    pem = tmp_path / "localhost.pem"
    pem.write_text(LOCALHOST)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    stream._trust.cache_clear()
    assert answer_with(WHOLE, tls=context).answer.ending == "refused"
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    stream._trust.cache_clear()
    assert answer_with(WHOLE, tls=context).answer.ending == "complete"
    stream._trust.cache_clear()


def answer_with(*pieces: bytes, tls: ssl.SSLContext | None = None) -> Exchange:
    """Ask a server that sends `pieces` whatever is asked, one by one, and then closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            conn, _ = listener.accept()
            with conn, suppress(OSError):
                peer = tls.wrap_socket(conn, server_side=True) if tls else conn
                with peer:
                    peer.recv(65_536)
                    for piece in pieces:
                        peer.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}/"
        exchange = Client(url, Sse()).ask("Hello?", NONCE, now() + 5)
        thread.join()
    return exchange


def test_an_answer_that_is_not_http_is_refused() -> None:
    exchange = answer_with(b"SSH-2.0-OpenSSH_9.6\r\n")
    assert (exchange.answer.ending, exchange.answer.status) == ("refused", 0)


def test_an_interim_response_is_not_the_answer() -> None:
    exchange = answer_with(b"HTTP/1.1 103 Early Hints\r\n\r\n", WHOLE)
    assert (exchange.answer.ending, exchange.answer.status, exchange.answer.text) == ("complete", 200, "hi")


def test_a_body_shorter_than_it_says_is_broken() -> None:
    exchange = answer_with(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nevent: token\n")
    assert exchange.answer.ending == "broken"


def test_a_complete_answer_stays_complete_when_the_connection_breaks_after_it() -> None:
    exchange = answer_with(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + BODY)
    assert exchange.answer.ending == "complete"


def test_an_answer_of_any_size_needs_little_memory() -> None:
    """A megabyte of one event, or of head, ends the exchange as broken or refused."""
    flood = b"x" * (1 << 18)
    body = answer_with(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ndata: ", *[flood] * 5)
    head = answer_with(b"HTTP/1.1 200 OK\r\nX-Long: ", flood)
    assert body.answer.ending == "broken"
    assert head.answer.ending == "refused"
