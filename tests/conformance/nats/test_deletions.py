"""Streams, consumers and bindings that are deleted under work: noticed, made again and said once, in seconds."""

import subprocess
import sys
import time
from uuid import uuid4

import pytest
from kombu import Connection, Consumer, Producer

from tests.chaos.evidence import assert_one_outcome_each, wait_until_running
from tests.conformance.nats.conftest import QUEUE
from tests.conformance.nats.operator import Operator
from tests.support.servers.databases import ROOT
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for

RECOVERY_SECONDS = 15.0
"""The ledger takes a hint for lost, and publishes it again, after five seconds or ten."""


@pytest.fixture(scope="module")
def stack(databases, nats_server):
    """An installation; tests leave it well."""
    database_url = databases.create(f"deletions_{uuid4().hex[:8]}")
    with Stack(database_url=database_url, broker_url=nats_server.new_url(), lease_seconds="6") as stack:
        yield stack


@pytest.fixture
def operator(stack) -> Operator:
    stack.wait_until("COMPLETED", [stack.submit("reverse_string", "all is well")], timeout=40)
    return Operator(stack.broker.url)


def celery(stack, *arguments: str) -> str:
    """A command of Celery's, as an operator types it; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.servers.with_test_types", "celery", "-A", "tasks", *arguments],
        env=stack.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout + done.stderr


def remote_control_works(stack) -> bool:
    """Ping is answered, and revoke reaches a task that waits."""
    if "pong" not in celery(stack, "inspect", "ping", "--timeout", "3"):
        return False
    later = stack.submit("reverse_string", "never", scheduled_at="2100-01-01T00:00:00Z")
    celery(stack, "control", "revoke", later)
    stack.wait_until("CANCELLED", [later], timeout=10)
    return True


def work_through(stack, harm) -> list[str]:
    """Forty tasks, with the harm done in the middle; the ids."""
    ids = [stack.submit("sleep_for", 0.2) for _ in range(20)]
    harm()
    return ids + [stack.submit("sleep_for", 0.05) for _ in range(20)]


def assert_said_once(log: str) -> None:
    """One line for each thing that was found missing; a publisher may have made a queue again before.

    Two queues, and their bindings in two parts: streams are deleted one after the other, and a look may fall between.
    """
    assert "Traceback" not in log
    said = [line.split("] ", 1)[1] for line in log.splitlines() if "made again" in line]
    assert said
    assert len(said) == len(set(said)) <= 4, said


def test_all_streams_deleted_under_work_are_made_again_in_seconds_and_remote_control_works(stack, operator):
    before = len(stack.worker.log)

    ids = work_through(stack, operator.delete_all_streams)

    stack.wait_until("COMPLETED", ids, timeout=RECOVERY_SECONDS)
    assert_one_outcome_each(stack, ids)
    assert remote_control_works(stack)
    assert_said_once(stack.worker.log[before:])


def test_an_idle_worker_notices_within_seconds_that_its_streams_were_deleted(stack, operator):
    time.sleep(1)
    operator.delete_all_streams()

    wait_for(lambda: len(operator.streams()) >= 3, timeout=6, what="the streams are there again")

    began = time.monotonic()
    stack.wait_until("COMPLETED", [stack.submit("reverse_string", "after")], timeout=RECOVERY_SECONDS)
    assert time.monotonic() - began < 2


def test_consumers_deleted_while_their_puller_is_busy_are_made_again(stack, operator):
    running = [stack.submit("sleep_for", 3.0) for _ in range(2)]  # as many as there are children
    for task_id in running:
        wait_until_running(stack, task_id)
    before, waiting = len(stack.worker.log), [stack.submit("reverse_string", f"{number}") for number in range(10)]

    assert operator.delete_consumers("tasks") == 4

    stack.wait_until("COMPLETED", [*running, *waiting], timeout=RECOVERY_SECONDS)
    assert len(operator.consumers("tasks")) == 4
    assert_one_outcome_each(stack, [*running, *waiting])
    assert stack.worker.log[before:].count("queue tasks is made again: its consumers were deleted: priority-0") == 1
    assert remote_control_works(stack)


@pytest.mark.parametrize("harm", ["delete_bucket", "purge_bucket"])
def test_lost_bindings_are_made_again(stack, operator, harm):
    getattr(operator, harm)()

    wait_for(lambda: "KV_" in str(operator.streams()) and operator.bindings() >= 2, timeout=6, what="bindings")
    with Connection(stack.broker.url) as connection:  # one that has never declared the queue
        routed = connection.channel()._ask(connection.transport.bindings.queues("tasks", "tasks"))
    assert routed == ["tasks"]
    stack.wait_until("COMPLETED", [stack.submit("reverse_string", "after")], timeout=RECOVERY_SECONDS)


def test_purged_streams_cost_a_delay(stack, operator):
    ids = work_through(stack, operator.purge_all_streams)

    stack.wait_until("COMPLETED", ids, timeout=RECOVERY_SECONDS)
    assert_one_outcome_each(stack, ids)
    assert remote_control_works(stack)


def test_a_server_that_comes_back_with_an_empty_store_costs_a_delay(stack, operator, nats_server):
    ids = [stack.submit("sleep_for", 0.2) for _ in range(20)]
    nats_server.kill()
    nats_server.configure(store=f"data-{uuid4().hex[:8]}")
    nats_server.start().wait_until_ready()
    ids += [stack.submit("sleep_for", 0.05) for _ in range(20)]

    stack.wait_until("COMPLETED", ids, timeout=2 * RECOVERY_SECONDS)
    assert_one_outcome_each(stack, ids)
    assert remote_control_works(stack)


def test_remote_control_leaves_no_streams_behind(operator):
    assert not [name for name in operator.streams() if "pidbox" in name]


def test_kombu_alone_goes_on_when_a_consumer_is_deleted_while_it_holds_a_message(url, channel, connect):
    """The credit of its channel is spent, so that it asks for nothing in that moment."""
    got, connection, operator = [], connect(), Operator(url)
    consuming = connection.channel()
    consuming.basic_qos(0, 1, False)
    with Consumer(consuming, [QUEUE], callbacks=[lambda body, message: got.append(message)]):
        Producer(channel).publish("first", exchange="work", routing_key="work")
        while not got:
            connection.drain_events(timeout=5)
        operator.delete_consumers("work")
        Producer(channel).publish("second", exchange="work", routing_key="work")
        got[0].ack()
        deadline = time.monotonic() + 8
        while "second" not in [message.payload for message in got] and time.monotonic() < deadline:
            connection.drain_events(timeout=8)
            got[-1].ack()

    assert got[-1].payload == "second"
