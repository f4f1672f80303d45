"""What is known of a connection's other end: whether it has read all that was sent when it hangs up."""

import select
import socket
import threading
import time

import pytest

from app.sinks.audit import streams


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def read_to_the_end(listener, taken):
    connection, _ = listener.accept()
    with connection:
        while read := connection.recv(1_000):
            taken.append(read)


def test_a_receiver_that_reads_to_the_end_has_it(listener):
    taken: list[bytes] = []
    thread = threading.Thread(target=read_to_the_end, args=(listener, taken))
    thread.start()

    streams.send(b"x" * 1_000_000, listener.getsockname())

    assert len(b"".join(taken)) == 1_000_000  # before it returned
    thread.join()


def test_a_receiver_that_had_hung_up_before_it_was_sent_anything_has_nothing(listener):
    with socket.create_connection(listener.getsockname(), timeout=5) as connection:
        listener.accept()[0].close()
        assert select.select([connection], [], [], 5)[0]  # its end has arrived, and would be read as one behind all
        connection.sendall(b"lost")

        with pytest.raises(OSError, match="hung up before it had read everything"):
            streams._hang_up(connection, time.monotonic() + 5)


def test_a_receiver_that_never_hangs_up_is_not_waited_for_without_end(listener, monkeypatch):
    monkeypatch.setattr(streams, "READ_SECONDS", 0.2)
    monkeypatch.setattr(streams, "CONNECT_SECONDS", 0.2)

    with pytest.raises(TimeoutError):
        streams.send(b"x", listener.getsockname())
