"""Waiting work: what 100,000 WAITING tasks cost while nothing happens, and how soon each goes on after its signal.

    python -m benchmarks.waiting [idle] [wake] [--tasks 100000] [--rate 200] [--seconds 60] [--rounds 5] [--json]

idle: seconds of CPU that the dispatcher, and the whole PostgreSQL server, take a minute with no task at all and with
WAITING ones, in turns; "noise" is how far two measurements of the same differ. wake: signals at a rate over HTTP; from
the moment at which the API recorded a signal to the hint of its task, to the moment at which a worker has claimed it,
by the ledger's clock, and until it is COMPLETED. What is promised is the hint: how soon workers take it is for them.
The sender has an ordinary account. The worker runs at the lowest priority, as one that is no neighbour of the ledger
would: it gets what the ledger leaves. Servers as in benchmarks.latency. Exits with 1 when a promise does not hold.
"""

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import requests

from benchmarks.latency import installation
from tests.support.people import make_person
from tests.support.servers.stack import Stack
from tests.support.servers.waiting import wait_for

Figures = dict[str, Any]

SENDERS = 8
WAKE_SECONDS = 1.0
SETTLE_SECONDS = 5.0
# As a worker leaves them: the handler has run once from its top, and waits for its first step. They are the sender's
# own: what an administrator does to the tasks of others is looked at, and written into the audit log.
FILL = """
WITH made AS (
    INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, labels, attempt, attempt_base,
                       created_at, started_at, updated_at, due_at, waits_for, owner_id)
    SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7'
            || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
           'wait_to_go', 'WAITING', to_jsonb(n), 'normal', 'tasks', 3, '{}', 1, 1, now(), now(), now(),
           '9999-06-01 00:00:00+00', '{"step": "go", "signal": "go"}', CAST(%(owner)s AS uuid)
    FROM generate_series(1, %(tasks)s) AS n
    RETURNING id
)
INSERT INTO task_steps (task_id, name, seq, kind, state) SELECT id, 'go', 1, 'signal', 'BEGUN' FROM made
"""
EMPTY = ("TRUNCATE tasks, task_events, event_outbox, signals, task_steps CASCADE",)
CHOOSE = "SELECT id::text FROM tasks WHERE status = 'WAITING' LIMIT %(most)s"
# The first claim after the signal: the history has each change with the moment of its transaction.
WOKEN = """
SELECT extract(epoch FROM t.dispatched_at - s.at)::float8 AS dispatched,
       extract(epoch FROM claimed.at - s.at)::float8 AS claimed,
       extract(epoch FROM t.finished_at - s.at)::float8 AS done
FROM signals s
JOIN tasks t ON t.id = s.target
JOIN LATERAL (SELECT min(e.at) AS at FROM task_events e
              WHERE e.task_id = s.target AND e.status = 'PROCESSING' AND e.at >= s.at) AS claimed ON true
"""
LEFT = "SELECT count(*) AS n FROM signals s JOIN tasks t ON t.id = s.target WHERE t.finished_at IS NULL"


def idle(stack: Stack, options: argparse.Namespace) -> Figures:
    """CPU a minute, in turns without and with WAITING tasks."""
    stack.worker.kill()  # what it does while it waits is no matter of the tasks
    found: dict[str, list[tuple[float, float]]] = {"empty": [], "waiting": []}
    for _ in range(options.rounds):
        _empty(stack)
        found["empty"].append(_cpu_a_minute(stack, options.seconds))
        stack.rows(FILL, {"tasks": options.tasks, "owner": None})
        _settle(stack)
        found["waiting"].append(_cpu_a_minute(stack, options.seconds))
    figures: Figures = {"tasks": options.tasks, "rounds": options.rounds, "seconds a round": options.seconds}
    holds = True
    for place, name in enumerate(("dispatcher", "postgres")):
        empty, waiting = ([each[place] for each in found[kind]] for kind in ("empty", "waiting"))
        noise = max(empty) - min(empty)
        more = statistics.median(waiting) - statistics.median(empty)
        holds = holds and more <= max(noise, 0.6)  # 1 % of a core is what such a machine does by itself
        figures |= {
            f"{name} empty CPU s/min": round(statistics.median(empty), 2),
            f"{name} waiting CPU s/min": round(statistics.median(waiting), 2),
            f"{name} more CPU s/min": round(more, 2),
            f"{name} noise CPU s/min": round(noise, 2),
        }
    return figures | {"holds": holds}


def wake(stack: Stack, options: argparse.Namespace) -> Figures:
    """Signals at a rate, and how soon their tasks go on beside all that go on waiting."""
    sender = make_person(stack.database_url)
    stack.rows(FILL, {"tasks": options.tasks, "owner": str(sender.id)})
    _settle(stack)
    _give_way(stack.worker.pid)
    count = min(int(options.rate * options.seconds), options.tasks)
    ids = [row["id"] for row in stack.rows(CHOOSE, {"most": count})]
    began = time.perf_counter()
    refused = _send(stack.api.url, sender.headers, ids, options.rate)
    sent_seconds = time.perf_counter() - began
    _wait_until_ended(stack)
    rows = stack.rows(WOKEN)
    dispatched, claimed, done = (sorted(row[what] for row in rows) for what in ("dispatched", "claimed", "done"))
    late = sum(each > WAKE_SECONDS for each in dispatched)
    figures = {
        "waiting tasks": options.tasks,
        "signals": len(rows),
        "refused": refused,
        "wanted a second": options.rate,
        "sent a second": round(len(ids) / sent_seconds, 1),
        "signal to hint p50 ms": _percentile(dispatched, 50),
        "signal to hint p99 ms": _percentile(dispatched, 99),
        "signal to claim p50 ms": _percentile(claimed, 50),
        "signal to claim p99 ms": _percentile(claimed, 99),
        "signal to claim worst ms": _percentile(claimed, 100),
        "signal to COMPLETED p99 ms": _percentile(done, 99),
        "hints later than 1 s": late,
        "claims later than 1 s": sum(each > WAKE_SECONDS for each in claimed),
    }
    return figures | {"holds": not late and not refused and len(rows) == len(ids)}


PARTS: dict[str, Callable[[Stack, argparse.Namespace], Figures]] = {"idle": idle, "wake": wake}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What waiting tasks cost, and how soon they wake")
    parser.add_argument("parts", nargs="*", help="all unless named")
    parser.add_argument("--tasks", type=int, default=100_000, help="how many wait")
    parser.add_argument("--rate", type=float, default=200, help="signals a second")
    parser.add_argument("--seconds", type=float, default=60, help="length of a measurement")
    parser.add_argument("--rounds", type=int, default=5, help="of the part idle")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    found = {}
    for name in options.parts or PARTS:
        with installation() as stack:
            found[name] = PARTS[name](stack, options)
        if not options.json:
            print(f"{name}: " + ", ".join(f"{what} {value}" for what, value in found[name].items()), flush=True)
    if options.json:
        print(json.dumps(found))
    sys.exit(0 if all(each["holds"] for each in found.values()) else 1)


def _empty(stack: Stack) -> None:
    for statement in EMPTY:
        stack.rows(statement)
    _settle(stack)


def _settle(stack: Stack) -> None:
    """Until what filling has left behind is done: statistics, and events that are passed on."""
    stack.rows("VACUUM (ANALYZE) tasks")
    stack.rows("VACUUM (ANALYZE) task_steps")
    wait_for(
        lambda: stack.rows("SELECT count(*) AS n FROM event_outbox")[0]["n"] == 0, timeout=600, what="events are out"
    )
    stack.rows("CHECKPOINT")
    time.sleep(SETTLE_SECONDS)


def _cpu_a_minute(stack: Stack, seconds: float) -> tuple[float, float]:
    """Seconds of CPU a minute of the dispatcher, and of all processes of its database server."""
    server = _server_of(stack)
    before = _cpu([psutil.Process(stack.dispatcher.pid)]), _cpu(server)
    began = time.perf_counter()
    time.sleep(seconds)
    took = time.perf_counter() - began
    after = _cpu([psutil.Process(stack.dispatcher.pid)]), _cpu(server)
    return 60 * (after[0] - before[0]) / took, 60 * (after[1] - before[1]) / took


def _server_of(stack: Stack) -> list[psutil.Process]:
    """The postmaster; what its children have used counts once they are gone, and is added while they live."""
    [row] = stack.rows("SELECT pg_backend_pid() AS pid")
    postmaster = psutil.Process(row["pid"]).parent()
    assert postmaster is not None
    return [postmaster]


def _cpu(processes: Sequence[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        for each in (process, *process.children(recursive=True)):
            try:
                times = each.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        ended = process.cpu_times()
        total += ended.children_user + ended.children_system
    return total


def _give_way(worker: int) -> None:
    """Let a worker's processes run when nobody else wants to."""
    for process in (psutil.Process(worker), *psutil.Process(worker).children(recursive=True)):
        process.nice(19)


def _send(url: str, headers: Mapping[str, str], ids: Sequence[str], rate: float) -> int:
    """Send a signal to each at an even rate; returns how many were not taken."""
    begin, local = time.perf_counter(), threading.local()
    refused: list[str] = []

    def send(place: int, task_id: str) -> None:
        if not hasattr(local, "http"):
            local.http = requests.Session()
            local.http.headers.update(headers)
        pause = begin + place / rate - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
        answer = local.http.post(f"{url}/api/v1/tasks/{task_id}/signals/go", json={}, timeout=30)
        if answer.status_code != 201:
            refused.append(answer.text)

    with ThreadPoolExecutor(SENDERS) as senders:
        list(senders.map(send, range(len(ids)), ids))
    return len(refused)


def _wait_until_ended(stack: Stack) -> None:
    """Look once a second: the look itself reads all signals."""
    for _ in range(300):
        if stack.rows(LEFT)[0]["n"] == 0:
            return
        time.sleep(1)
    raise AssertionError("not all that were told to go have ended within 300 s")


def _percentile(ordered: Sequence[float], percent: int) -> float:
    return round(1000 * ordered[max(0, -(-percent * len(ordered) // 100) - 1)], 1) if ordered else 0.0


if __name__ == "__main__":
    main()
