"""Tasks that take longer than the broker lets anybody hold a message, mixed with short ones.

The times are a tenth and more of those that operators have; LONG_WORK_SCALE=1 makes them a minute for the broker, and
two and a half for a task.
"""

import os
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.chaos.evidence import attempts
from tests.conformance.brokers import BROKERS, HELD_TOO_LONG, QUEUE_TYPES, limit_deliveries
from tests.conformance.evidence import assert_each_ended_once
from tests.conformance.waits import longest_beside_a_free_child
from tests.support.servers.programs import Worker
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for

SCALE = float(os.environ.get("LONG_WORK_SCALE", "0.17"))
HELD_SECONDS = round(60 * SCALE)  # as long as the broker lets a message be held: 10 s
ACK_WAIT = round(30 * SCALE)  # of NATS
LONG_SECONDS = 150 * SCALE
CHILDREN = 2
SHORT = 1_000
LOST = "Connection to broker lost"

pytestmark = pytest.mark.timeout(400 + 400 * SCALE)  # a machine that is busy starts processes slowly


@pytest.fixture
def patient(databases, server, broker_name) -> Iterator[dict[str, str]]:
    """The settings of an installation whose broker does not let a message be held for as long as a long task takes."""
    url = server.new_url()
    if broker_name.startswith("rabbitmq"):
        limit_deliveries(server, seconds=HELD_SECONDS)
    elif broker_name == "nats":
        url = f"{url}?ack_wait={ACK_WAIT}"
    yield {
        "database_url": databases.create(f"long_{uuid4().hex[:8]}"),
        "broker_url": url,
        "longest_delivery_seconds": str(HELD_SECONDS),
        "queue_type": QUEUE_TYPES.get(broker_name, "classic"),
    }
    if broker_name.startswith("rabbitmq"):
        limit_deliveries(server)


def test_long_tasks_and_short_ones_complete_at_once_and_no_channel_is_closed(patient, tmp_path):
    trace = tmp_path / "trace"
    with Stack(**patient) as stack, Worker(stack.environment, concurrency=CHILDREN) as second:
        began = time.monotonic()
        long = [_submit_long(stack, trace) for _ in range(3)]
        short = _submit_short(stack, SHORT // 4, until=began + LONG_SECONDS / 2)
        long += [_submit_long(stack, trace) for _ in range(2)]  # one more than there are children
        short += _submit_short(stack, SHORT - len(short), until=began + 2 * LONG_SECONDS)
        stack.wait_until("COMPLETED", long + short, timeout=60 + LONG_SECONDS)
        logs = stack.worker.log + second.log

        assert attempts(stack, long + short) == {1: 5 + SHORT}
        assert_each_ended_once(stack, long + short)
        assert trace.read_text().count("start") == 5
        assert HELD_TOO_LONG not in logs
        assert LOST not in logs
        waited = longest_beside_a_free_child(stack, short, children=CHILDREN)
        print(f"waited for {waited:.2f} s at most beside a free child")
        assert waited < 2


RABBITMQS = [name for name in BROKERS if name.startswith("rabbitmq")]
POOLS = [("threads", "classic"), ("autoscale", "quorum")]
"""The first test is for prefork with classic queues."""


@pytest.mark.parametrize("broker_name", RABBITMQS, indirect=True)
@pytest.mark.parametrize(("pool", "queue_type"), POOLS)
def test_a_worker_whose_children_are_taken_for_long_leaves_what_waits_to_others(
    pool, queue_type, patient, server, tmp_path
):
    trace = tmp_path / "trace"
    options = ("--autoscale=2,1",) if pool == "autoscale" else ("--pool", pool)
    with Stack(**{**patient, "queue_type": queue_type}) as stack, stack.without_worker():
        with Worker(stack.environment, *options, concurrency=CHILDREN) as busy:
            long = [_submit_long(stack, trace) for _ in range(CHILDREN)]
            wait_for(
                lambda: busy.log.count("hint_acknowledged_early") == 2,
                timeout=HELD_SECONDS,
                what="both are acknowledged",
            )
            wait_for(
                lambda: _told(stack, busy) == (0, CHILDREN), timeout=5, what="the worker says that it has no place"
            )
            left = stack.submit("sleep_for", 0.01)
            wait_for(lambda: _state_of_queue(stack) == (1, 0), timeout=10, what="it waits, and nobody consumes")
            _lose_connections(server, busy)
            wait_for(lambda: _state_of_queue(stack) == (1, 0), timeout=10, what="nor after a lost connection")
            # Once the worker that was killed is not taken for alive any more.
            wait_for(lambda: _cause(stack, left) == "workers_busy", timeout=20, what="the answer is why it waits")
            with Worker(stack.environment, concurrency=1):
                stack.wait_until("COMPLETED", [left], timeout=10)
            stack.wait_until("COMPLETED", long, timeout=LONG_SECONDS + 10)
            # The API has lost its connection, too: a hint that it could not publish follows within a minute.
            stack.wait_until("COMPLETED", [stack.submit("sleep_for", 0.01)], timeout=70)
            after = [stack.submit("sleep_for", 0.01) for _ in range(10)]
            stack.wait_until("COMPLETED", after, timeout=5)
            wait_for(lambda: _told(stack, busy) == (CHILDREN, 0), timeout=5, what="its children are free")
            log = busy.log

        assert attempts(stack, [*long, left, *after]) == {1: 13}
        assert trace.read_text().count("start") == CHILDREN
        assert HELD_TOO_LONG not in log


def _lose_connections(server, worker: Worker) -> None:
    """Close the worker's connection; it comes back by itself, and its children go on."""
    before = worker.log.count("Connected to")
    server.close_connections() if hasattr(server, "close_connections") else server.ctl("close_all_connections", "test")
    wait_for(lambda: worker.log.count("Connected to") > before, timeout=20, what="the worker is connected again")


def _cause(stack: Stack, task_id: str) -> str:
    return str(stack.get(f"/tasks/{task_id}/why").json()["cause"])


def _state_of_queue(stack: Stack) -> tuple[int, int]:
    """How many hints wait, and how many consumers there are."""
    state = stack.broker.queue()
    return state.ready, state.consumers


def _told(stack: Stack, worker: Worker) -> tuple[int, int]:
    """What /workers says of it."""
    [found] = [each for each in stack.get("/workers").json()["items"] if each["node"].startswith(worker.node)]
    return found["free"], found["acknowledged_early"]


def _submit_long(stack: Stack, trace) -> str:
    return stack.submit("trace_run", {"path": str(trace), "seconds": LONG_SECONDS}, timeout=7 * 24 * 3600)


def _submit_short(stack: Stack, count: int, *, until: float) -> list[str]:
    """So many short tasks, spread evenly over the time until then."""
    ids = []
    for number in range(count):
        ids.append(stack.submit("sleep_for", 0.01))
        pause = (until - time.monotonic()) / (count - number)
        time.sleep(max(0.0, pause))
    return ids
