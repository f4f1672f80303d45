"""kombu's own integration tests on our transport; where it differs is said in docs/reference/brokers.md."""

from contextlib import suppress

import pytest
from kombu import Connection

from tests.conformance.nats.from_kombu.common import (
    BaseEventLoop,
    BaseExchangeTypes,
    BaseFailover,
    BaseMessage,
    BasePriority,
    BaseTimeToLive,
    BasicFunctionality,
)


@pytest.fixture
def connection(nats_server) -> Connection:
    """To a namespace of the test's own; the tests close it themselves."""
    return Connection(nats_server.new_url(), connect_timeout=3)


@pytest.fixture
def invalid_connection() -> Connection:
    """Nothing listens there."""
    return Connection("nats://127.0.0.1:1", connect_timeout=1)


@pytest.fixture
def failover_connection(nats_server) -> Connection:
    """The first of two servers is dead."""
    return Connection(f"nats://127.0.0.1:1;{nats_server.new_url()}", connect_timeout=3)


class TestBasicFunctionality(BasicFunctionality):
    pass


class TestExchangeTypes(BaseExchangeTypes):
    pass


class TestTimeToLive(BaseTimeToLive):
    pass


class DrainsAll(Connection):
    """`drain_events` hands over one message, as in all of kombu's virtual transports; these tests want all of them."""

    def drain_events(self, **kwargs) -> None:
        super().drain_events(**kwargs)
        with suppress(TimeoutError):
            while True:
                super().drain_events(timeout=0.5)


class TestPriority(BasePriority):
    @pytest.fixture
    def connection(self, nats_server) -> Connection:
        return DrainsAll(nats_server.new_url(), connect_timeout=3)


class TestFailover(BaseFailover):
    def test_failover_switches_to_alternate_url(self, failover_connection):
        """Not by kombu's `switch()`, so that `port` shows nothing: the transport itself tries all that were given."""
        dead, live = failover_connection.alt

        assert failover_connection.connect()

        assert dead == "nats://127.0.0.1:1"
        assert failover_connection.transport.nats.where in live
        failover_connection.close()


class TestMessage(BaseMessage):
    pass


class TestEventLoop(BaseEventLoop):
    pass
