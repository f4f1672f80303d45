"""kombu's own integration tests on our transport; where it differs is said in docs/reference/brokers.md."""

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


class TestPriority(BasePriority):
    pass


class TestFailover(BaseFailover):
    pass


class TestMessage(BaseMessage):
    pass


class TestEventLoop(BaseEventLoop):
    pass
