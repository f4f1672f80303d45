"""Brokers that are there, and refuse: writes, logins, rights or room. Each is refused and allowed again at will."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from kombu import Connection, Exchange, Producer, Queue

from tests.support.servers.nats import PrivateNats, find_nats_server
from tests.support.servers.rabbitmq import PrivateRabbitMQ
from tests.support.servers.rabbitmq_user import User
from tests.support.servers.valkey import PrivateValkey

BALLAST = b"x" * 100_000
MAX_BYTES = 8_000_000


class Refusing(Protocol):
    """A broker whose address stays the same, whatever it refuses."""

    url: str

    def refuse(self) -> None: ...
    def allow(self) -> None: ...


class ReadOnlyValkey:
    """A replica: what a failover makes of the server that was written to."""

    def __init__(self, server: PrivateValkey) -> None:
        self._server, self.url = server, server.new_url()

    def refuse(self) -> None:
        self._server.ask("REPLICAOF", "127.0.0.1", "1")

    def allow(self) -> None:
        self._server.ask("REPLICAOF", "NO", "ONE")


class FullValkey:
    """Its memory is used up, and it is told to evict nothing. Clients are cut off once: they have to declare anew."""

    def __init__(self, server: PrivateValkey) -> None:
        self._server, self.url = server, server.new_url()

    def refuse(self) -> None:
        self._server.ask("CONFIG", "SET", "maxmemory", "1")
        for kind in ("normal", "pubsub"):
            self._server.ask("CLIENT", "KILL", "TYPE", kind)

    def allow(self) -> None:
        self._server.ask("CONFIG", "SET", "maxmemory", "0")


class RefusedUser:
    """A user of RabbitMQ without its `virtual host`, `permission` or `password`."""

    def __init__(self, server: PrivateRabbitMQ, what: str) -> None:
        self._user, self._what = User(server), what
        self.url = self._user.url

    def refuse(self) -> None:
        self._user.refuse(self._what)

    def allow(self) -> None:
        self._user.take_back(self._what)


class FullNats:
    """JetStream has no room: somebody else's stream has taken it. Clients are cut off: they have to declare anew."""

    def __init__(self, server: PrivateNats) -> None:
        self._server, self.url, self._theirs = server, server.new_url(), server.new_url()

    def refuse(self) -> None:
        self._restart()
        exchange = Exchange("ballast", type="direct")
        with Connection(self._theirs) as connection:
            producer = Producer(connection.default_channel)
            Queue("ballast", exchange, routing_key="ballast")(connection.default_channel).declare()
            try:
                for _ in range(2 * MAX_BYTES // len(BALLAST)):
                    producer.publish(BALLAST, exchange=exchange, routing_key="ballast")
            except (*connection.connection_errors, *connection.channel_errors):
                return
        raise AssertionError("NATS took more than it may")

    def allow(self) -> None:
        with Connection(self._theirs) as connection:
            connection.default_channel.queue_purge("ballast")

    def _restart(self) -> None:
        self._server.kill()
        self._server.start().wait_until_ready()


class NatsWithoutJetStream:
    """Started again without its JetStream, as it is after its disk was full."""

    def __init__(self, server: PrivateNats) -> None:
        self._server, self.url = server, server.new_url()

    def refuse(self) -> None:
        self._restart(jetstream=False)

    def allow(self) -> None:
        self._restart(jetstream=True)

    def _restart(self, *, jetstream: bool) -> None:
        self._server.stop()
        self._server.configure(jetstream=jetstream)
        self._server.start().wait_until_ready()


@contextmanager
def valkey(kind: Callable[[PrivateValkey], Refusing]) -> Iterator[Refusing]:
    """A broker of this kind on a server of its own."""
    with PrivateValkey() as server:
        yield kind(server)


@contextmanager
def nats(kind: Callable[[PrivateNats], Refusing]) -> Iterator[Refusing | None]:
    """A broker of this kind on a server of its own; None where nats-server is not installed."""
    program = find_nats_server()
    if program is None:
        yield None
        return
    with PrivateNats(program, most_bytes=MAX_BYTES) as server:
        yield kind(server)
