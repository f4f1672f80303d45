"""What the sinks cost: how fast the same tasks are worked off with all sinks on, compared with none.

    python -m benchmarks.sinks [--tasks 4000] [--rounds 5] [--json]

Starts PostgreSQL (with fsync), RabbitMQ, API, worker and dispatcher of its own. Rounds with and without alternate on
the same installation, because the machine's speed varies more than what is measured: the answer is the median ratio.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.latency import installation
from tests.support.servers.programs import Sink
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for

NAMES = ("csv", "stats", "webhooks")
SUBMIT = """
INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, due_at)
SELECT gen_random_uuid(), 'reverse_string', 'PENDING', '"x"', 'normal', 'tasks', 3, now(), now()
FROM generate_series(1, %(count)s)
"""
NOT_PASSED_ON = "SELECT event_id FROM event_outbox LIMIT 1"
UNFINISHED = "SELECT id FROM tasks WHERE due_at IS NOT NULL LIMIT 1"
BEHIND = "SELECT name FROM sinks WHERE position < (SELECT coalesce(max(last_position), 0) FROM event_batches) LIMIT 1"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Work speed with all sinks on, against none")
    parser.add_argument("--tasks", type=int, default=4_000, help="in each round")
    parser.add_argument("--rounds", type=int, default=5, help="of each kind")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with installation() as stack:
        ratios = measure(stack, options.tasks, options.rounds)
    figures = {"ratios": [round(ratio, 3) for ratio in ratios], "median": round(statistics.median(ratios), 3)}
    if options.json:
        print(json.dumps({"tasks": options.tasks, **figures}))
    else:
        print(f"speed with all sinks / with none, {options.rounds} pairs of {options.tasks} tasks: {figures}")


def measure(stack: Stack, tasks: int, rounds: int) -> list[float]:
    """The ratio of each pair of rounds; which of a pair comes first alternates, too."""
    seconds_of(stack, tasks)  # warms everything up
    ratios = []
    for number in range(rounds):
        found = {}
        for with_sinks in (True, False) if number % 2 else (False, True):
            if with_sinks:
                with sinks(stack):
                    found[True] = seconds_of(stack, tasks)
                    wait_for(lambda: not stack.rows(BEHIND), timeout=120, what="the sinks have caught up")
            else:
                found[False] = seconds_of(stack, tasks)
        ratios.append(found[False] / found[True])
    return ratios


def seconds_of(stack: Stack, tasks: int) -> float:
    """From submission until all are finished."""
    wait_for(lambda: not stack.rows(NOT_PASSED_ON), timeout=120, what="nothing is left to pass on")
    began = time.perf_counter()
    stack.rows(SUBMIT, {"count": tasks})
    wait_for(lambda: not stack.rows(UNFINISHED), timeout=300, what="all tasks are finished")
    return time.perf_counter() - began


@contextmanager
def sinks(stack: Stack, names: Sequence[str] = NAMES):
    """All sinks, each in a process of its own, caught up with what was before."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as closing:
        environment = {**stack.environment, "CSV_DIR": str(Path(folder))}
        running = [Sink(environment, name) for name in names]
        for sink in running:
            closing.callback(sink.end)
            sink.start()
        for sink in running:
            sink.wait_until_ready()
        wait_for(lambda: not stack.rows(BEHIND), timeout=120, what="the sinks have caught up")
        yield


if __name__ == "__main__":
    main()
