"""Idle latency: how long from the first byte of a submission to its COMPLETED row, with nothing else to do.

    python -m benchmarks.latency [--tasks 200] [--json]

Starts PostgreSQL (with fsync), RabbitMQ, API, worker and dispatcher of its own, as the tests do; TEST_DATABASE_URL and
TEST_BROKER_URL name others. The end is the row's `finished_at`, the begin is this host's clock before the request.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

from tests.support.servers.databases import Databases
from tests.support.servers.postgres import PrivatePostgres
from tests.support.servers.rabbitmq import PrivateRabbitMQ, find_scripts
from tests.support.servers.stack import Stack

WARM_UP = 20
PAUSE_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Milliseconds."""

    median: float
    p99: float
    worst: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Spread":
        ordered = sorted(1000 * each for each in seconds)
        p99 = ordered[max(0, -(-99 * len(ordered) // 100) - 1)]
        return cls(median=round(statistics.median(ordered), 1), p99=round(p99, 1), worst=round(ordered[-1], 1))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Idle latency from submission to COMPLETED, on RabbitMQ")
    parser.add_argument("--tasks", type=int, default=200, help="how many are measured, one after the other")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with installation() as stack:
        figures = measure(stack, options.tasks)
    if options.json:
        print(json.dumps({"tasks": options.tasks, "milliseconds": {name: asdict(each) for name, each in figures}}))
        return
    print(f"{options.tasks} tasks, one after the other, milliseconds:")
    for name, spread in figures:
        print(f"  {name:<24} median {spread.median:6.1f}   p99 {spread.p99:6.1f}   worst {spread.worst:6.1f}")


def measure(stack: Stack, count: int) -> list[tuple[str, Spread]]:
    """Submit tasks one by one, each after the one before has long ended."""
    began: dict[str, float] = {}
    answered: list[float] = []
    for number in range(WARM_UP + count):
        moment, clock = time.time(), time.perf_counter()
        task_id = stack.submit("reverse_string", "hello world")
        if number >= WARM_UP:
            began[task_id] = moment
            answered.append(time.perf_counter() - clock)
        time.sleep(PAUSE_SECONDS)
    stack.wait_until("COMPLETED", began, timeout=30)
    rows = stack.rows(
        "SELECT id::text, extract(epoch FROM started_at)::float8 AS started, "
        "extract(epoch FROM finished_at)::float8 AS finished FROM tasks WHERE id = ANY(%(ids)s::uuid[])",
        {"ids": list(began)},
    )
    return [
        ("submit to 201", Spread.of(answered)),
        ("submit to PROCESSING", Spread.of([row["started"] - began[row["id"]] for row in rows])),
        ("submit to COMPLETED", Spread.of([row["finished"] - began[row["id"]] for row in rows])),
    ]


@contextmanager
def installation(**settings: str) -> Iterator[Stack]:
    """Servers and processes for the measurement alone, or on the servers that the environment names."""
    with ExitStack() as closing:
        broker_url = os.environ.get("TEST_BROKER_URL")
        if broker_url is None:
            scripts = find_scripts()
            if scripts is None:
                sys.exit("RabbitMQ is needed: install rabbitmq-server, or set TEST_BROKER_URL=amqp://...")
            rabbitmq = closing.enter_context(PrivateRabbitMQ(scripts))
            broker_url = rabbitmq.url(rabbitmq.take_vhost())
        server_url = os.environ.get("TEST_DATABASE_URL")
        if server_url is None:
            server_url = closing.enter_context(PrivatePostgres(durable=True)).url()
        databases = Databases(server_url)
        closing.callback(databases.drop_all)
        database_url = databases.create("latency")
        yield closing.enter_context(Stack(database_url=database_url, broker_url=broker_url, **settings))


if __name__ == "__main__":
    main()
