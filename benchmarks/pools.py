"""The pools of a worker: the same tasks through prefork, threads and solo, one process each, in turn.

    python -m benchmarks.pools [--rounds 3] [--json]

Starts PostgreSQL (with fsync), RabbitMQ, API, worker and dispatcher of its own for each measurement. Single POSTs over
32 connections, and 500 in a request; tasks that only compute a moment. Medians of the rounds.
"""

import argparse
import json
import statistics
import sys

from benchmarks.compare import WARM_UP
from benchmarks.servers import Servers
from benchmarks.taskledger import Ours, OursInBulk

SINGLE, BULK = 2_000, 10_000
POOLS = {
    "prefork, 2 children": ("--pool", "prefork", "--concurrency", "2"),
    "threads, 8": ("--pool", "threads", "--concurrency", "8"),
    "solo": ("--pool", "solo"),
}

Figures = dict[str, dict[str, list[float]]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Tasks a second by the pool of the worker")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    figures: Figures = {name: {"single": [], "bulk": []} for name in POOLS}
    with Servers() as servers:
        for number in range(1, options.rounds + 1):
            print(f"round {number} of {options.rounds}", file=sys.stderr, flush=True)
            for name, chosen in POOLS.items():
                figures[name]["single"].append(measure(Ours, SINGLE, servers, chosen))
                figures[name]["bulk"].append(measure(OursInBulk, BULK, servers, chosen))
    medians = {
        name: {kind: round(statistics.median(found)) for kind, found in by_kind.items()}
        for name, by_kind in figures.items()
    }
    if options.json:
        print(json.dumps(medians))
        return
    print("| pool | single POSTs, tasks/s | 500 a POST, tasks/s |\n| --- | --- | --- |")
    for name, found in medians.items():
        print(f"| {name} | {found['single']} | {found['bulk']} |")


def measure(kind: type[Ours], count: int, servers: Servers, options: tuple[str, ...]) -> float:
    """Tasks a second, from the first submission to the last outcome."""
    chosen = type("Chosen", (kind,), {"options": options})
    with chosen(servers) as system:
        system.measure(round(count * WARM_UP / 500 + 1) * 500)
        run = system.measure(count)
    return count / (run.ended - run.began)


if __name__ == "__main__":
    main()
