"""Bytes on real sockets: what a client sees of each answer and fault, and what the journal says of it."""

import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from langchain_prodtest.script import Call, Fault, How, Match, Reply, Script
from langchain_prodtest.wire import FakeServer, Limits

MESSAGES = '"messages":[{"role":"user","content":"hi"}]'
WHOLE = f'{{"model":"m",{MESSAGES}}}'.encode()
STREAM = f'{{"model":"m","stream":true,{MESSAGES}}}'.encode()
LIMITS = Limits(head_bytes=4096, body_bytes=100_000)
HASTY = Limits(seconds=0.3)
TEXT = "Grüße aus Köln"


def post(body: bytes, path: str = "/openai/v1/chat/completions", extra: str = "") -> bytes:
    return f"POST {path} HTTP/1.1\r\nhost: h\r\n{extra}content-length: {len(body)}\r\n\r\n".encode() + body


SOCKETS: list[socket.socket] = []


@pytest.fixture(autouse=True)
def close_sockets() -> Iterator[None]:
    yield
    while SOCKETS:
        SOCKETS.pop().close()


class Client:
    """A raw socket; `closed` says how the server ended it: "fin" or "rst"."""

    def __init__(self, server: FakeServer, receive_buffer: int | None = None) -> None:
        host, port = server.address.split(":")
        self.socket = socket.socket()
        SOCKETS.append(self.socket)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10)
        self.got = b""
        self.closed = ""
        try:
            self.socket.connect((host, int(port)))
        except ConnectionResetError:  # accepted and reset before connect() looked
            self.closed = "rst"

    def send(self, data: bytes) -> "Client":
        self.socket.sendall(data)
        return self

    def until(self, done: Callable[[bytes], bool]) -> bytes:
        while not done(self.got):
            data = self.socket.recv(65536)
            assert data, f"closed after {self.got!r}"
            self.got += data
        return self.got

    def all(self) -> bytes:
        """Everything until the server closes."""
        try:
            while not self.closed:
                data = self.socket.recv(65536)
                self.got += data
                self.closed = "" if data else "fin"
        except ConnectionResetError:
            self.closed = "rst"
        self.socket.close()
        return self.got

    def body(self) -> bytes:
        return self.all().partition(b"\r\n\r\n")[2]


def events(chunked: bytes) -> list[bytes]:
    """The payloads of the chunks; the last is empty only if the last chunk came."""
    payloads = []
    while chunked:
        size, _, rest = chunked.partition(b"\r\n")
        length = int(size, 16)
        payloads.append(rest[:length])
        chunked = rest[length + 2 :]
    return payloads


@pytest.fixture
def script() -> Script:
    return Script(default=lambda request: Reply(TEXT))


@pytest.fixture
def server(script: Script) -> Iterator[FakeServer]:
    with FakeServer(script, limits=LIMITS) as running:
        yield running


@pytest.fixture
def hasty(script: Script) -> Iterator[FakeServer]:
    with FakeServer(script, limits=HASTY) as running:
        yield running


def the_call(script: Script) -> Call:
    (call,) = script.wait_for(1)
    return call


def wait_until(true: Callable[[], bool]) -> None:
    """Give the server's thread ten seconds."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.002)


# -- answers ----------------------------------------------------------------------------------------------


def test_a_whole_answer_closes_and_is_journalled(server: FakeServer, script: Script) -> None:
    client = Client(server).send(post(WHOLE))
    head, _, body = client.all().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close" in head
    assert b"\r\ncontent-length: %d\r\n" % len(body) in head
    assert json.loads(body)["choices"][0]["message"]["content"] == TEXT
    assert client.closed == "fin"
    call = the_call(script)
    assert (call.status, call.bytes, call.closed_by, call.unexpected) == (200, len(body), "server", False)
    assert call.received <= call.ended
    assert server.open == []


def test_a_stream_is_chunked_event_by_event(server: FakeServer, script: Script) -> None:
    payloads = events(Client(server).send(post(STREAM)).body())
    assert payloads[-2:] == [b"data: [DONE]\n\n", b""]
    assert (
        "".join(json.loads(event[6:])["choices"][0]["delta"].get("content", "") for event in payloads[:-2])
        == TEXT
    )
    assert the_call(script).bytes == sum(map(len, payloads))


def test_http_1_0_gets_a_stream_that_the_close_ends(server: FakeServer, script: Script) -> None:
    body = Client(server).send(post(STREAM).replace(b"HTTP/1.1", b"HTTP/1.0")).body()
    assert body.startswith(b"data: {")
    assert body.endswith(b"data: [DONE]\n\n")


def test_a_chunked_request_is_read(server: FakeServer, script: Script) -> None:
    head = b"POST /openai/v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
    chunks = b"".join(b"1\r\n" + WHOLE[i : i + 1] + b"\r\n" for i in range(len(WHOLE))) + b"0\r\n\r\n"
    assert Client(server).send(head + chunks).all().startswith(b"HTTP/1.1 200")
    assert the_call(script).body == json.loads(WHOLE)


def test_100_continue_comes_before_the_body_is_sent(server: FakeServer) -> None:
    raw = post(WHOLE, extra="expect: 100-continue\r\n")
    client = Client(server).send(raw[: -len(WHOLE)])
    assert client.until(lambda got: b"\r\n\r\n" in got) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert client.send(WHOLE).all().count(b"HTTP/1.1 200 OK") == 1


def test_keep_alive_answers_request_after_request_in_order(script: Script) -> None:
    script.add(Reply("one", first_token=0.05), Reply("two"), Reply("three"))
    with FakeServer(script, keep_alive=True) as server:
        client = Client(server).send(post(WHOLE) + post(WHOLE) + post(WHOLE, extra="connection: close\r\n"))
        got = client.all()
    assert [got.index(word) for word in (b'"one"', b'"two"', b'"three"')] == sorted(
        got.index(word) for word in (b'"one"', b'"two"', b'"three"')
    )
    assert got.count(b"connection: keep-alive") == 2
    assert client.closed == "fin"
    assert len(script.calls) == 3


def test_a_flood_of_pipelined_requests_is_cut(script: Script) -> None:
    script.add(Reply("late", first_token=60))
    with FakeServer(script, keep_alive=True) as server:
        client = Client(server).send(post(WHOLE) * 40)
        assert client.all() == b""
        assert the_call(script).closed_by == "server"


def test_a_paced_stream_takes_its_time(server: FakeServer, script: Script) -> None:
    script.add(Reply("a b c d", first_token=0.1, per_chunk=0.1))
    client = Client(server).send(post(STREAM))
    client.until(lambda got: b'"content":"a"' in got)
    assert (script.calls, len(server.open)) == ([], 1)
    client.all()
    call = the_call(script)
    assert call.ended - call.received >= 0.399


def test_an_exchange_is_open_until_it_ends(server: FakeServer, script: Script) -> None:
    script.add(Fault(how="hang"))
    client = Client(server).send(post(WHOLE))
    wait_until(lambda: len(server.open) == 1)
    assert server.open[0].body == json.loads(WHOLE)
    assert script.calls == []
    client.socket.close()
    script.wait_for(1)
    assert (server.open, server.peak) == ([], 1)


# -- the client leaves ------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [WHOLE, STREAM])
@pytest.mark.parametrize(
    "step", [Reply("late", first_token=60), Fault(how="hang"), Fault(status=503, delay=60)]
)
@pytest.mark.parametrize("rst", [True, False])
def test_a_client_that_leaves_is_noticed_before_any_answer(
    server: FakeServer, script: Script, step: Reply | Fault, body: bytes, rst: bool
) -> None:
    script.add(step)
    client = Client(server).send(post(body))
    wait_until(lambda: bool(server.open))
    if rst:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    client.socket.close()
    assert the_call(script).closed_by == "client"


def test_a_client_that_leaves_inside_a_stream_is_noticed(server: FakeServer, script: Script) -> None:
    script.add(Reply("one two three", per_chunk=60))
    client = Client(server).send(post(STREAM))
    seen = client.until(lambda got: b'"one"' in got)
    client.socket.close()
    call = the_call(script)
    assert (call.status, call.closed_by) == (200, "client")
    assert call.bytes == sum(map(len, events(seen.partition(b"\r\n\r\n")[2])))


def test_a_client_that_reads_nothing_holds_the_exchange_until_it_leaves(
    server: FakeServer, script: Script
) -> None:
    script.add(Reply("x" * 20_000_000))
    client = Client(server, receive_buffer=4096).send(post(WHOLE))
    wait_until(lambda: bool(server.open))
    client.until(lambda got: len(got) > 1000)
    assert (script.calls, len(server.open)) == ([], 1)
    client.socket.close()
    assert the_call(script).closed_by == "client"


def test_a_slow_reader_gets_every_byte(server: FakeServer, script: Script) -> None:
    script.add(Reply("xy " * 2_000_000, chunks=50, per_chunk=0.002))
    client = Client(server, receive_buffer=4096).send(post(STREAM))
    payloads = events(client.body())
    text = "".join(json.loads(event[6:])["choices"][0]["delta"].get("content", "") for event in payloads[:-2])
    assert text == "xy " * 2_000_000
    assert the_call(script).closed_by == "server"


# -- faults -----------------------------------------------------------------------------------------------


def test_refuse_resets_at_accept_whatever_is_sent(server: FakeServer, script: Script) -> None:
    script.add(Fault(how="refuse"), Reply("after"))
    client = Client(server)
    assert (client.all(), client.closed) == (b"", "rst")
    call = the_call(script)
    assert (call.provider, call.status, call.closed_by, call.bytes) == ("openai", 0, "fault", 0)
    assert b'"after"' in Client(server).send(post(WHOLE)).all()


def test_a_refusal_known_only_by_the_request_resets_it(server: FakeServer, script: Script) -> None:
    script.add(Fault(how="refuse"), match=Match(model="m"))
    client = Client(server).send(post(WHOLE))
    assert (client.all(), client.closed) == (b"", "rst")
    assert (the_call(script).status, the_call(script).closed_by) == (0, "fault")


@pytest.mark.parametrize("body", [WHOLE, STREAM])
@pytest.mark.parametrize(("how", "closed"), [("reset", "rst"), ("eof", "fin")])
@pytest.mark.parametrize("delay", [0.0, 0.05])
def test_before_the_head_the_connection_ends_without_a_byte(
    server: FakeServer, script: Script, how: How, closed: str, body: bytes, delay: float
) -> None:
    script.add(Fault(how=how, delay=delay))
    client = Client(server).send(post(body))
    assert (client.all(), client.closed) == (b"", closed)
    call = the_call(script)
    assert (call.status, call.bytes, call.closed_by) == (0, 0, "fault")
    assert call.ended - call.received >= delay


@pytest.mark.parametrize(("how", "closed"), [("reset", "rst"), ("eof", "fin")])
@pytest.mark.parametrize("after", [1, 2, 4])
def test_a_stream_is_cut_after_exactly_so_many_events_and_has_no_last_chunk(
    server: FakeServer, script: Script, how: How, closed: str, after: int
) -> None:
    script.add(Fault(how=how, after=after))
    client = Client(server).send(post(STREAM))
    payloads = events(client.body())
    assert (len(payloads), client.closed) == (after, closed)
    assert all(payload.startswith(b"data: ") for payload in payloads)
    call = the_call(script)
    assert (call.status, call.bytes, call.closed_by) == (200, sum(map(len, payloads)), "fault")


@pytest.mark.parametrize(("how", "closed"), [("reset", "rst"), ("eof", "fin")])
@pytest.mark.parametrize("mark", ['"id"', "ü", "ß", "ln"])
def test_a_whole_answer_is_cut_at_a_byte_also_inside_a_character(
    server: FakeServer, script: Script, how: How, closed: str, mark: str
) -> None:
    healthy = Client(server).send(post(WHOLE)).body()
    after = healthy.index(mark.encode()) + 1
    script.add(Fault(how=how, after=after))
    client = Client(server).send(post(WHOLE))
    head, _, body = client.all().partition(b"\r\n\r\n")
    assert len(body) == after
    assert b"content-length: %d\r\n" % len(healthy) in head
    assert client.closed == closed
    assert (script.wait_for(2)[1].bytes, script.calls[1].closed_by) == (after, "fault")


def test_a_clean_end_of_a_stream_has_a_last_chunk_and_no_finish(server: FakeServer, script: Script) -> None:
    script.add(Fault(how="clean_end", after=3))
    client = Client(server).send(post(STREAM))
    payloads = events(client.body())
    assert (len(payloads), payloads[-1], client.closed) == (4, b"", "fin")
    assert b'"stop"' not in b"".join(payloads)
    assert the_call(script).closed_by == "fault"


def test_a_clean_end_of_a_whole_answer_is_valid_http_with_half_a_json(
    server: FakeServer, script: Script
) -> None:
    script.add(Fault(how="clean_end", after=30))
    head, _, body = Client(server).send(post(WHOLE)).all().partition(b"\r\n\r\n")
    assert b"content-length: 30\r\n" in head
    assert len(body) == 30


@pytest.mark.parametrize(("after", "body"), [(3, STREAM), (30, WHOLE)])
def test_a_stall_sends_the_beginning_and_waits_for_the_client(
    server: FakeServer, script: Script, after: int, body: bytes
) -> None:
    script.add(Fault(how="stall", after=after))
    client = Client(server).send(post(body))
    if body is STREAM:
        client.until(lambda got: len(events(got.partition(b"\r\n\r\n")[2])) == after)
    else:
        client.until(lambda got: len(got.partition(b"\r\n\r\n")[2]) == after)
    client.socket.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client.socket.recv(1)
    client.socket.close()
    assert (the_call(script).status, the_call(script).closed_by) == (200, "client")


@pytest.mark.parametrize("body", [WHOLE, STREAM])
def test_a_drip_is_the_whole_answer_one_byte_at_a_time(
    server: FakeServer, script: Script, body: bytes
) -> None:
    script.add(Fault(how="drip", delay=0.0001))
    client = Client(server).send(post(body))
    got = client.body()
    text = b"".join(events(got)) if body is STREAM else got
    assert text.endswith(b"[DONE]\n\n" if body is STREAM else b"}")
    if body is STREAM:
        assert set(map(len, events(got)[:-1])) == {1}
    call = the_call(script)
    assert (call.bytes, call.closed_by) == (len(text), "server")
    assert call.ended - call.received >= 0.0001 * (len(text) - 10)


def test_garbage_is_an_event_of_its_own_and_the_answer_goes_on(server: FakeServer, script: Script) -> None:
    script.add(Fault(how="garbage", after=2))
    payloads = events(Client(server).send(post(STREAM)).body())
    assert payloads[2] == b'data: {"choices": [{not json\n\n'
    assert payloads[-2:] == [b"data: [DONE]\n\n", b""]


def test_an_error_with_a_wrong_retry_after_is_sent_as_it_is(server: FakeServer, script: Script) -> None:
    script.add(Fault(status=429, retry_after="Wed, 21 Oct 2065 07:28:00 GMT", headers={"x-reason": "quöta"}))
    got = Client(server).send(post(STREAM)).all()
    assert got.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"\r\nretry-after: Wed, 21 Oct 2065 07:28:00 GMT\r\n" in got
    assert "\r\nx-reason: quöta\r\n".encode() in got
    assert (the_call(script).status, the_call(script).closed_by) == (429, "server")


# -- limits, slow and hostile peers -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 5000 + b"\r\n\r\n", 431),
        (b"GET /openai/" + b"a" * 5000, 431),
        (post(b"x" * 100_001), 413),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET /nothing HTTP/1.1\r\n\r\n", 404),
        (b"GET /openai/v1/chat/completions HTTP/1.1\r\n\r\n", 404),
        (b"CONNECT api.openai.com:443 HTTP/1.1\r\n\r\n", 404),
        (post(b"{}"), 400),
    ],
)
def test_what_is_no_request_gets_an_error_and_is_unexpected(
    server: FakeServer, script: Script, raw: bytes, status: int
) -> None:
    client = Client(server).send(raw)
    head, _, body = client.until(lambda got: got.endswith(b"}}")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(body)["error"]["message"]
    call = the_call(script)
    assert (call.status, call.unexpected, call.closed_by) == (status, True, "server")
    assert script.unexpected == [call]


def test_a_client_still_sending_a_body_too_large_can_read_why(server: FakeServer, script: Script) -> None:
    client = Client(server).send(post(b"x" * 100_001)[:300])
    client.until(lambda got: b"larger than 100000 bytes" in got)
    for _ in range(50):
        client.send(b"x" * 1000)  # would fail if the server had reset the connection
    client.socket.shutdown(socket.SHUT_WR)
    client.all()
    assert client.closed == "fin"


@pytest.mark.parametrize("piece", [b"", b"POST /openai", post(WHOLE)[:-1]])
def test_a_request_that_does_not_get_whole_in_time_is_closed(
    hasty: FakeServer, script: Script, piece: bytes
) -> None:
    client = Client(hasty).send(piece)
    assert (client.all(), client.closed) == (b"", "fin")
    assert script.calls == []


def test_dripping_a_request_does_not_extend_its_time(hasty: FakeServer) -> None:
    client = Client(hasty)
    client.socket.settimeout(0.01)
    began, closed = time.monotonic(), False
    for byte in post(WHOLE):
        try:
            client.socket.sendall(bytes([byte]))
            closed = client.socket.recv(1) == b""
        except TimeoutError:
            continue
        except ConnectionError:
            closed = True
        if closed:
            break
    assert closed
    assert time.monotonic() - began < 10


def test_an_answer_may_take_longer_than_a_request(hasty: FakeServer, script: Script) -> None:
    script.add(Reply("late", first_token=0.6))
    assert b'"late"' in Client(hasty).send(post(WHOLE)).all()


def test_an_idle_kept_connection_is_closed(script: Script) -> None:
    with FakeServer(script, keep_alive=True, limits=HASTY) as server:
        client = Client(server).send(post(WHOLE))
        client.all()
    assert client.got.startswith(b"HTTP/1.1 200")
    assert client.closed == "fin"


def test_random_and_damaged_bytes_do_not_stop_the_server(server: FakeServer, script: Script) -> None:
    chance = random.Random(7)
    for number in range(120):
        raw = bytearray(post(WHOLE if number % 2 else STREAM))
        for _ in range(chance.randint(1, 12)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        junk = bytes(raw) if number % 3 else chance.randbytes(chance.randint(1, 300))
        client = Client(server)
        client.send(junk[: chance.randint(1, len(junk))])
        client.socket.close()
    assert Client(server).send(post(WHOLE)).all().startswith(b"HTTP/1.1 200")
    wait_until(lambda: server.open == [])


def test_a_client_that_stops_reading_is_closed(hasty: FakeServer, script: Script) -> None:
    script.add(Reply("x" * 20_000_000))  # more than any socket takes
    before = len([*Path("/proc/self/fd").iterdir()])
    Client(hasty, receive_buffer=2048).send(post(WHOLE))
    assert [call.closed_by for call in script.wait_for(1, 20)] == ["client"]
    wait_until(lambda: len([*Path("/proc/self/fd").iterdir()]) <= before + 1)
