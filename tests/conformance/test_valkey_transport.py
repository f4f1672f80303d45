"""kombu's Redis transport as we mend it, on a Valkey that takes no writes: nothing is left open, nothing raises."""

from contextlib import suppress

import psutil
import pytest
from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.asynchronous import Hub

from tests.support.servers.valkey import PrivateValkey

WORK = Queue("work", Exchange("work", type="direct"), routing_key="work")
MAILBOX = Queue("mailbox", Exchange("news", type="fanout"), auto_delete=True, durable=False)
CONNECTIONS = 10


@pytest.fixture(scope="module")
def server():
    with PrivateValkey() as server:
        yield server


@pytest.fixture
def read_only(server):
    """Makes it a replica; it is none any more after the test."""
    yield lambda: server.ask("REPLICAOF", "127.0.0.1", "1")
    server.ask("REPLICAOF", "NO", "ONE")


def _listening(url: str) -> tuple[Connection, Consumer]:
    connection = Connection(url)
    consumer = Consumer(connection.default_channel, [WORK, MAILBOX], callbacks=[lambda *_: None])
    consumer.consume()
    with suppress(TimeoutError):
        while True:  # until its subscription is confirmed, and nothing else comes
            connection.drain_events(timeout=0.1)
    return connection, consumer


def _connections_to(server: PrivateValkey) -> int:
    """Those of other servers, of tests before this one, may close meanwhile."""
    return sum(bool(each.raddr) and each.raddr.port == server.port for each in psutil.Process().net_connections("tcp"))


def test_channels_give_their_sockets_back_though_their_last_words_are_refused(server, read_only):
    listening = [_listening(server.new_url()) for _ in range(CONNECTIONS)]
    assert _connections_to(server) >= CONNECTIONS
    read_only()

    for connection, _ in listening:
        connection.close()

    assert _connections_to(server) == 0


def test_a_settlement_that_is_refused_raises_nothing_and_keeps_the_message(server, read_only):
    url = server.new_url()
    with Connection(url) as connection:
        channel = connection.default_channel
        WORK(channel).declare()
        Producer(channel).publish("once", exchange="work", routing_key="work")
        message = channel.basic_get("work")
        read_only()

        message.ack()

        assert server.ask("CLIENT", "LIST")
        assert channel.client.hlen("unacked") == 1


@pytest.mark.parametrize("is_refused", [False, True])
def test_a_connection_leaves_nothing_in_the_event_loop(server, read_only, is_refused):
    hub, url = Hub(), server.new_url()
    ticks = set(hub.on_tick)
    for _ in range(CONNECTIONS):
        connection, _ = _listening(url)
        connection.register_with_event_loop(hub)
        if is_refused:
            read_only()
        connection.close()
        server.ask("REPLICAOF", "NO", "ONE")

    assert hub.on_tick == ticks
    assert [entry for entry in hub.timer.queue if not entry.entry.canceled] == []
    hub.close()
