"""RabbitMQ, Valkey and NATS on this machine in one run, each with what the service asks of it.

    python -m benchmarks.brokers [--messages 2000] [--tasks 1000] [--rounds 2] [--json]

Starts PostgreSQL (with fsync), every broker that is installed, and API, worker and dispatcher for each, as the tests
do. Rounds alternate between the brokers, so that a busy moment of the machine does not meet one alone; the best round
counts. Servers keep what they have on disk and wait for no disk (RabbitMQ's and NATS's default; Valkey: appendonly).
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import uuid4

from kombu import Connection, Consumer, Producer

from benchmarks.latency import measure as measure_latency
from tasks.topology import work_queue
from tests.conformance.brokers import BROKERS, PrivateBroker
from tests.support.servers.broker import Broker
from tests.support.servers.databases import Databases
from tests.support.servers.postgres import PrivatePostgres
from tests.support.servers.stack import Stack

PREFETCH = 8
LATENCY_TASKS = 40
BODY = [[str(uuid4())], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]

Figures = dict[str, float]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The brokers on this machine in one run")
    parser.add_argument("--messages", type=int, default=2000, help="published and consumed on the bare broker")
    parser.add_argument("--tasks", type=int, default=1000, help="run by the service")
    parser.add_argument("--rounds", type=int, default=2, help="how often each is measured")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    results = run(messages=options.messages, tasks=options.tasks, rounds=options.rounds)
    print(json.dumps(results) if options.json else table(results))


def run(*, messages: int, tasks: int, rounds: int) -> dict[str, Figures]:
    """The best of the rounds for each broker that is present."""
    results: dict[str, Figures] = {}
    with ExitStack() as closing:
        databases = Databases(closing.enter_context(PrivatePostgres(durable=True)).url())
        closing.callback(databases.drop_all)
        servers = {name: closing.enter_context(made) for name, make in BROKERS.items() if (made := make()) is not None}
        for _ in range(rounds):
            for name, server in servers.items():
                figures = measure(server, databases, messages=messages, tasks=tasks)
                results[name] = _best(results.get(name, figures), figures)
                sys.stderr.write(f"{name}: {figures}\n")
    return results


def measure(server: PrivateBroker, databases: Databases, *, messages: int, tasks: int) -> Figures:
    """One round with one broker."""
    figures = bare(Broker(server.new_url()), messages)
    with installation(server, databases) as stack:
        figures["tasks per second"] = throughput(stack, tasks)
        figures["idle latency, ms"] = dict(measure_latency(stack, LATENCY_TASKS))["submit to COMPLETED"].median
    return figures


def bare(broker: Broker, count: int) -> Figures:
    """Confirmed publishing one by one, and consuming with acknowledgements, by one process without Celery."""
    queue = work_queue("tasks", broker.kind.queue_arguments)
    figures: Figures = {}
    with broker.connect() as connection:
        queue(connection.default_channel).declare()
        producer = Producer(connection.default_channel)

        def publish() -> None:
            for number in range(count):
                producer.publish(BODY, exchange="tasks", routing_key="tasks", priority=number % 4, serializer="json")

        figures["published per second"] = count / _seconds(publish)
        figures["consumed per second"] = count / _seconds(lambda: _consume(connection, queue, count))
    return figures


def _consume(connection: Connection, queue: Any, count: int) -> None:
    left = [count]

    def take(_: Any, message: Any) -> None:
        message.ack()
        left[0] -= 1

    channel = connection.channel()
    channel.basic_qos(0, PREFETCH, False)
    with Consumer(channel, [queue], callbacks=[take]):
        while left[0]:
            connection.drain_events(timeout=10)


def throughput(stack: Stack, count: int) -> float:
    """Tasks that travel alone, from the moment their worker is there until the last one is COMPLETED."""
    with stack.without_worker():
        rows = stack.rows(
            "INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, due_at) "
            "SELECT gen_random_uuid(), 'reverse_string', 'PENDING', '\"hello\"'::jsonb, 'high', 'tasks', 3, now(), "
            "now() "
            "FROM generate_series(1, %(count)s) RETURNING id::text",
            {"count": count},
        )
        deadline = time.monotonic() + 60
        while stack.broker.ready() < count and time.monotonic() < deadline:
            time.sleep(0.1)
    stack.wait_until("COMPLETED", [row["id"] for row in rows], timeout=180)
    [times] = stack.rows(
        "SELECT extract(epoch FROM max(finished_at) - min(started_at))::float8 AS seconds FROM tasks "
        "WHERE id = ANY(%(ids)s::uuid[])",
        {"ids": [row["id"] for row in rows]},
    )
    return count / float(times["seconds"])


@contextmanager
def installation(server: PrivateBroker, databases: Databases) -> Iterator[Stack]:
    """API, worker and dispatcher on a namespace and a database of their own."""
    database_url = databases.create(f"bench_{uuid4().hex[:8]}")
    with Stack(database_url=database_url, broker_url=server.new_url()) as stack:
        yield stack
    databases.drop(database_url)


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _best(one: Figures, other: Figures) -> Figures:
    """Per figure; of milliseconds less is better."""
    return {name: (min if "ms" in name else max)(one[name], other[name]) for name in one}


def table(results: dict[str, Figures]) -> str:
    """As it stands in docs/reference/brokers.md."""
    names = list(results)
    figures = next(iter(results.values()))
    lines = [f"| | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]
    lines += [f"| {figure} | {' | '.join(f'{results[name][figure]:,.0f}' for name in names)} |" for figure in figures]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
