"""What only RabbitMQ does: it takes messages back that are held too long, and version 4 refuses what is deprecated."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from kombu import Queue

from tests.conformance.brokers import BROKERS, QUEUE_TYPES
from tests.conformance.evidence import assert_each_ended_once
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for

RABBITMQS = [name for name in BROKERS if name.startswith("rabbitmq")]
HELD_TOO_LONG = "delivery acknowledgement on channel"


def _limit_deliveries(server, milliseconds: int, tick: int) -> None:
    """For channels that are opened from now on; the configuration file cannot say how often it looks."""
    for name, value in {"consumer_timeout": milliseconds, "channel_tick_interval": tick}.items():
        server.ctl("eval", f"application:set_env(rabbit, {name}, {value}).")


@pytest.fixture
def impatient(databases, server, broker_name) -> Iterator[Stack]:
    """An installation whose broker takes a message back after 4 seconds."""
    _limit_deliveries(server, 4_000, 1_000)
    database_url = databases.create(f"rabbitmq_{uuid4().hex[:8]}")
    queue_type = QUEUE_TYPES.get(broker_name, "classic")
    try:
        with Stack(database_url=database_url, broker_url=server.new_url(), queue_type=queue_type) as stack:
            yield stack
    finally:
        _limit_deliveries(server, 1_800_000, 60_000)


@pytest.mark.parametrize("broker_name", RABBITMQS, indirect=True)
def test_a_task_that_is_longer_than_the_consumer_timeout_runs_once_and_ends_once(impatient, tmp_path):
    trace = tmp_path / "trace"
    long = impatient.submit("trace_run", {"path": str(trace), "seconds": 12})
    wait_for(lambda: HELD_TOO_LONG in impatient.worker.log, timeout=30, what="the broker takes the message back")

    impatient.wait_until("COMPLETED", [long], timeout=40)
    after = impatient.submit("reverse_string", "after")
    impatient.wait_until("COMPLETED", [after], timeout=30)

    assert_each_ended_once(impatient, [long, after])
    assert trace.read_text().count("start") == 1


@pytest.mark.parametrize("broker_name", [name for name in RABBITMQS if name != "rabbitmq"], indirect=True)
def test_rabbitmq_4_refuses_what_is_deprecated_and_we_use_none_of_it(server, stack):
    stack.wait_until("COMPLETED", [stack.submit("reverse_string", "used")], timeout=30)

    used = server.ctl("list_deprecated_features", "used", "--no-table-headers").split()
    with stack.broker.connect() as connection:
        queue = Queue("transient", durable=False, exclusive=False, auto_delete=False)
        with pytest.raises((*connection.connection_errors, *connection.channel_errors), match="transient_nonexcl"):
            queue(connection.default_channel).declare()

    assert used == []
