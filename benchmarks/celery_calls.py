"""`.delay()` of one Celery application: adopted by the ledger, and to RabbitMQ with confirms; calls a second.

    python -m benchmarks.celery_calls [--seconds 5] [--rounds 3] [--threads 32] [--json]

Starts PostgreSQL (with fsync), RabbitMQ and one API process, as the tests do; TEST_DATABASE_URL and TEST_BROKER_URL
name others. No worker runs. Both ways take turns, each in a process of its own; the figures are medians of the rounds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from celery import Celery

from benchmarks.latency import installation
from taskledger_sdk.celery import adopt
from taskledger_sdk.celery.payloads import payload_schema
from tests.support.servers.stack import Stack

TASK = "bench.add"
WARM_UP = 50
WAYS = ("adopted", "confirms")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.way:
        print(rate(application(options.way, options.threads), options.threads, options.seconds))
        return 0
    with installation() as stack:
        assert stack.post("/task-types", {"name": TASK, "schema": payload_schema()}).status_code == 201
        found: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way, rates in found.items():
                rates.append(measured(stack, way, options))
    medians = {way: round(statistics.median(rates)) for way, rates in found.items()}
    if options.json:
        print(json.dumps(medians, indent=2))
        return 0
    print(f"adopted by the ledger            {medians['adopted']:>8} calls a second")
    print(f"to RabbitMQ, with confirms       {medians['confirms']:>8}")
    print(f"times as many                    {medians['adopted'] / medians['confirms']:>8.2f}")
    return 0


def measured(stack: Stack, way: str, options: argparse.Namespace) -> float:
    """By a process of its own, as an application is."""
    key = str(stack.http.headers["Authorization"]).removeprefix("Bearer ")
    environment = {**os.environ, "TASKLEDGER_URL": stack.api.url, "TASKLEDGER_API_KEY": key}
    environment["BENCH_BROKER"] = stack.environment["BROKER_URL"]
    command = [sys.executable, "-m", "benchmarks.celery_calls", "--way", way]
    command += ["--threads", str(options.threads), "--seconds", str(options.seconds)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def application(way: str, threads: int) -> Celery:
    """As a team has it: its broker confirms what is published, or the ledger has its calls."""
    app = Celery("bench", broker=os.environ["BENCH_BROKER"])
    app.conf.update(
        broker_transport_options={"confirm_publish": True},
        broker_pool_limit=threads,  # the default of 10 would be waited for
        task_ignore_result=True,
    )
    return adopt(app) if way == "adopted" else app


def rate(app: Celery, threads: int, seconds: float) -> float:
    """Calls a second by this many threads, each of which waits for its answer before it calls again."""

    @app.task(name=TASK)
    def add(x: int, y: int) -> int:
        return x + y

    counts = [0] * threads
    start, stop = threading.Barrier(threads + 1), threading.Event()

    def call(place: int) -> None:
        for _ in range(WARM_UP):
            add.delay(1, 2)
        start.wait()
        while not stop.is_set():
            add.delay(1, 2)
            counts[place] += 1

    callers = [threading.Thread(target=call, args=(place,)) for place in range(threads)]
    for each in callers:
        each.start()
    start.wait()
    began = time.perf_counter()
    time.sleep(seconds)
    stop.set()
    for each in callers:
        each.join()
    return sum(counts) / (time.perf_counter() - began)


if __name__ == "__main__":
    raise SystemExit(main())
