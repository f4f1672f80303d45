"""What many tasks leave behind: how much larger tables and indexes are than if they were written anew.

    python -m benchmarks.bloat [--tasks 1000000] [--json]

Starts PostgreSQL (with fsync, autovacuum as it is set up), RabbitMQ, API, worker and dispatcher of its own, has tasks
submitted 500 a request and worked off, waits for one round of autovacuum, and then rewrites everything to compare.
"""

import argparse
import json
import time
from typing import Any

from benchmarks.servers import Servers
from benchmarks.taskledger import OursInBulk

PART = 20_000
AUTOVACUUM_SECONDS = 75.0  # autovacuum looks once a minute
TABLES = ("tasks", "event_outbox", "task_counts", "event_batches")
SIZES = """
SELECT relname, pg_table_size(oid) AS heap, pg_indexes_size(oid) AS indexes FROM pg_class
WHERE relname = ANY(%(names)s) OR (relispartition AND relkind = 'r' AND relname LIKE 'task_events_p%%')
ORDER BY relname
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Sizes after many tasks, against tables written anew")
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with Servers() as servers, OursInBulk(servers) as system:
        speeds = work(system, options.tasks)
        time.sleep(AUTOVACUUM_SECONDS)
        found = compare(system)
    if options.json:
        print(json.dumps({"tasks": options.tasks, "speeds": speeds, "bytes": found}))
        return
    print(f"{options.tasks:,} tasks; tasks/s in the first, middle and last part: {speeds}")
    for name, sizes in found.items():
        print(f"  {name:<24} " + "   ".join(f"{what} {size / 1e6:8.1f} MB" for what, size in sizes.items()))


def work(system: OursInBulk, tasks: int) -> list[int]:
    """Have them done, in parts; the speed of the first, the middle and the last of these."""
    speeds = []
    for _ in range(max(1, tasks // PART)):
        run = system.measure(PART)
        speeds.append(round(PART / (run.ended - run.began)))
        print(f"\r{len(speeds) * PART:,} of {tasks:,}, {speeds[-1]} a second", end="", flush=True)
    print()
    return [speeds[0], speeds[len(speeds) // 2], speeds[-1]]


def compare(system: OursInBulk) -> dict[str, dict[str, int]]:
    """Bytes by table, as they are and written anew; event partitions are taken together."""
    sizes = _sizes(system)
    for name in (*TABLES, "task_events"):
        system.rows(f"VACUUM FULL {name}")
    anew = _sizes(system)
    return {
        name: {
            "heap": sizes[name][0],
            "anew": anew[name][0],
            "indexes": sizes[name][1],
            "indexes anew": anew[name][1],
        }
        for name in sizes
    }


def _sizes(system: OursInBulk) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    rows: list[Any] = system.rows(SIZES, {"names": list(TABLES)})
    for relation, heap, indexes in rows:
        name = "task_events" if relation.startswith("task_events") else relation
        before = found.get(name, (0, 0))
        found[name] = before[0] + heap, before[1] + indexes
    return found


if __name__ == "__main__":
    main()
