"""A server that tests may kill, and connections to a namespace of each test's own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from kombu import Connection, Exchange, Queue

from tests.conftest import unavailable
from tests.support.servers.nats import PrivateNats, find_nats_server

QUEUE = Queue(
    "work",
    Exchange("work", type="direct"),
    routing_key="work",
    queue_arguments={
        "x-max-priority": 3,
        "x-dead-letter-exchange": "graveyard",
        "x-dead-letter-routing-key": "failed",
    },
)
GRAVES = Queue("graves", Exchange("graveyard", type="direct"), routing_key="failed")

Connect = Callable[..., Connection]


@pytest.fixture(scope="session")
def nats_server() -> Iterator[PrivateNats]:
    """Left running by every test."""
    program = find_nats_server()
    if program is None:
        unavailable("NATS: no nats-server is installed here (on Debian: apt-get install nats-server)")
    with PrivateNats(program) as server:
        yield server


@pytest.fixture
def url(nats_server: PrivateNats) -> str:
    """A namespace that nothing has used yet; what is not settled comes back after a second, three times at most."""
    return f"{nats_server.new_url()}?ack_wait=1&max_deliveries=3"


@pytest.fixture
def connect(url: str) -> Iterator[Connect]:
    """`connect()`: another connection, closed after the test."""
    with ExitStack() as closing:

        def make(**options: object) -> Connection:
            return closing.enter_context(Connection(url, connect_timeout=3, **options))

        yield make


@pytest.fixture
def channel(connect: Connect):
    """A channel on which both queues are declared."""
    channel = connect().channel()
    QUEUE(channel).declare()
    GRAVES(channel).declare()
    return channel
