"""Messages between processes: whole, in order, with the file that belongs to them."""

import os
import socket
import tempfile
import threading
from collections.abc import Iterator

import pytest

from langchain_prodtest.wire.link import CALL, CONNECTION, PLAN, READY, Board, Link


@pytest.fixture
def ends() -> Iterator[tuple[Link, Link]]:
    one, other = socket.socketpair()
    with one, other:
        yield Link(one), Link(other)


def test_a_message_is_received_as_it_was_sent(ends: tuple[Link, Link]) -> None:
    ends[0].send(CALL, b"content")
    ends[0].send(READY)
    assert ends[1].receive() == (CALL, b"content", -1)
    assert ends[1].receive() == (READY, b"", -1)


def test_messages_larger_than_any_buffer_come_whole_and_in_order(ends: tuple[Link, Link]) -> None:
    sent = [bytes([n]) * (n * 300_000) for n in range(1, 8)]

    def send() -> None:
        for content in sent:
            ends[0].send(CALL, content)

    sending = threading.Thread(target=send)
    sending.start()
    received = [ends[1].receive() for _ in sent]
    sending.join()
    assert [message[1] for message in received if message] == sent


def test_a_file_stays_with_its_message(ends: tuple[Link, Link]) -> None:
    with tempfile.TemporaryFile() as first, tempfile.TemporaryFile() as second:
        first.write(b"first")
        second.write(b"second")
        for file in (first, second):
            file.flush()
            ends[0].send(CALL, b"between")
            ends[0].send(CONNECTION, b"file", file.fileno())
    messages = list(ends[1].waiting())
    assert [message.kind for message in messages] == [CALL, CONNECTION] * 2
    numbers = [message.file for message in messages if message.file >= 0]
    assert [os.pread(number, 10, 0) for number in numbers] == [b"first", b"second"]
    for number in numbers:
        os.close(number)


def test_nothing_is_waited_for_where_only_the_waiting_is_asked(ends: tuple[Link, Link]) -> None:
    assert list(ends[1].waiting()) == []
    ends[0].send(PLAN, b"x" * 10, ends[0].socket.fileno())
    ends[0].send(READY)
    kinds = []
    for message in ends[1].waiting():
        kinds.append(message.kind)
        if message.file >= 0:
            os.close(message.file)
    assert kinds == [PLAN, READY]
    assert not ends[1].ended


def test_threads_do_not_cut_into_each_other_s_messages(ends: tuple[Link, Link]) -> None:
    def send(number: int) -> None:
        for _ in range(5):
            ends[0].send(CALL, bytes([number]) * 100_000)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    received = [ends[1].receive() for _ in range(20)]
    for thread in threads:
        thread.join()
    assert all(message and len(set(message.content)) == 1 for message in received)


def test_the_end_is_told_after_what_was_sent_before_it(ends: tuple[Link, Link]) -> None:
    ends[0].send(CALL, b"last")
    ends[0].socket.close()
    assert [message.content for message in ends[1].waiting()] == [b"last"]
    assert ends[1].ended
    assert ends[1].receive() is None


def test_a_board_is_the_same_for_all_who_have_its_file() -> None:
    with tempfile.TemporaryFile() as file:
        one, other = Board(file.fileno(), 3), Board(file.fileno(), 3)
    one[0] = 1
    one[2], other[3] = 5, 7
    assert [other[place] for place in range(4)] == [1, 0, 5, 7]
    assert one.open() == other.open() == 12
