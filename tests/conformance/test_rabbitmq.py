"""What only RabbitMQ does: it takes messages back that are held too long, and version 4 refuses what is deprecated."""

import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import pytest
from kombu import Queue

from tests.conformance.brokers import BROKERS, HELD_TOO_LONG, NEEDED, QUEUE_TYPES, limit_deliveries
from tests.conformance.evidence import assert_each_ended_once
from tests.conftest import unavailable
from tests.support.servers.databases import ROOT
from tests.support.servers.rabbitmq_container import RabbitMQContainer, find_docker
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for

RABBITMQS = [name for name in BROKERS if name.startswith("rabbitmq")]


@pytest.fixture
def impatient(databases, server, broker_name) -> Iterator[Stack]:
    """An installation whose broker takes a message back after 4 seconds."""
    limit_deliveries(server, seconds=4)
    database_url = databases.create(f"rabbitmq_{uuid4().hex[:8]}")
    queue_type = QUEUE_TYPES.get(broker_name, "classic")
    try:
        with Stack(database_url=database_url, broker_url=server.new_url(), queue_type=queue_type) as stack:
            yield stack
    finally:
        limit_deliveries(server)


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


@pytest.fixture(scope="module")
def strict() -> Iterator[RabbitMQContainer]:
    """A RabbitMQ 4 that refuses whatever a later one will not have."""
    docker = find_docker()
    if docker is None:
        unavailable(NEEDED["rabbitmq-4"])
    with RabbitMQContainer(docker, refuses_deprecated=True) as server:
        yield server


@pytest.mark.skipif("rabbitmq-4" not in BROKERS, reason="`make conformance-containers` runs it")
@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_rabbitmq_4_refuses_what_is_deprecated_and_we_use_none_of_it(queue_type, strict, databases):
    database_url = databases.create(f"strict_{uuid4().hex[:8]}")
    with Stack(database_url=database_url, broker_url=strict.new_url(), queue_type=queue_type) as stack:
        ids = [stack.submit("uppercase_text", f"number {number}") for number in range(20)]
        ids.append(stack.submit("reverse_string", "high", priority="high"))
        stack.wait_until("COMPLETED", ids, timeout=60)
        command = [sys.executable, "-m", "celery", "-A", "tasks", "inspect", "ping", "--timeout", "10"]
        asked = subprocess.run(command, cwd=ROOT, env=stack.environment, capture_output=True, text=True, timeout=60)
        used = strict.ctl("list_deprecated_features", "--used", "--no-table-headers").split()
        with stack.broker.connect() as connection:
            queue = Queue("transient", durable=False, exclusive=False, auto_delete=False)
            with pytest.raises((*connection.connection_errors, *connection.channel_errors), match="transient_nonexcl"):
                queue(connection.default_channel).declare()

    assert "1 node online" in asked.stdout
    assert used == []
