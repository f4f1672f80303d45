"""What ten million finished tasks cost: submitting, claiming, listing, asking why and pruning, beside an empty ledger.

    python -m benchmarks.growth [--rows 10000000] [--waiting 0] [--prune 1000000] [--rounds 5] [--json]

Starts a PostgreSQL of its own with fsync. The two ledgers lie on the same server and are measured in turns, so that
a busy machine slows both; compare their ratio, not their milliseconds. Ten million rows take some 10 GB, and long.
"""

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import sqlalchemy as sa

from app.database import Session
from tests.support.servers.databases import NO_BROKER, Databases
from tests.support.servers.postgres import PrivatePostgres

TASKS_A_ROUND = 200
TASKS_A_MEASUREMENT = 50
STEPS = ("submit", "ask why it waits", "claim", "complete", "list a page", "read a task", "read its history")
SUBMISSIONS_A_SECOND = 50  # while tasks are pruned
CONTROL_SECONDS = 60  # of submitting before anything is pruned
DAYS = 10  # over which the rows are spread, the oldest first
FILL = 200_000  # rows a statement
UUID7 = (
    "(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || "
    "substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid"
)
TASKS = f"""
INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, labels, attempt, result,
                   created_at, started_at, finished_at, updated_at)
SELECT {UUID7}, 'reverse_string', CASE WHEN n %% 100 = 0 THEN 'FAILED' ELSE 'COMPLETED' END, '"hello world"', 'normal',
       'tasks', 3, '{{}}', 1, '"dlrow olleh"', at, at, at, at
FROM (SELECT n, %(begin)s::timestamptz + n * %(step)s::interval AS at
      FROM generate_series(%(first)s, %(last)s) AS n) AS rows
"""
WAITING = f"""
INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, labels, created_at, updated_at, due_at,
                   dispatched_at)
SELECT {UUID7}, 'uppercase_text', 'PENDING', '"hello world"', 'normal', 'tasks', 3, '{{}}', at, at,
       at + interval '1 day', at
FROM (SELECT n, now() - interval '1 hour' + n * interval '1 ms' AS at
      FROM generate_series(%(first)s, %(last)s) AS n) AS rows
"""
EVENTS = f"""
INSERT INTO task_events (task_id, type, status, previous_status, attempt, worker, at)
SELECT {UUID7}, 'reverse_string', status, previous, attempt, 'worker/1', at
FROM (SELECT n, %(begin)s::timestamptz + n * %(step)s::interval AS at
      FROM generate_series(%(first)s, %(last)s) AS n) AS rows,
     (VALUES ('PENDING', NULL, 0), ('PROCESSING', 'PENDING', 1), ('COMPLETED', 'PROCESSING', 1))
         AS change(status, previous, attempt)
"""


@dataclass
class Ledger:
    """One of the two databases, and what was measured in it: milliseconds by what was done."""

    name: str
    url: str
    engine: sa.Engine
    milliseconds: dict[str, list[float]] = field(default_factory=dict)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.milliseconds.setdefault(what, []).append(1000 * (time.perf_counter() - began))

    def median(self, what: str) -> float:
        return statistics.median(self.milliseconds[what])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What a large table costs")
    parser.add_argument("--rows", type=int, default=10_000_000, help="finished tasks in the large ledger")
    parser.add_argument("--waiting", type=int, default=0, help="tasks in the large ledger that wait for a worker")
    parser.add_argument("--prune", type=int, default=1_000_000, help="how many of them are pruned under load; 0: none")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    server = PrivatePostgres(durable=True)
    try:
        server.start().wait_until_ready()
        databases = Databases(server.url())
        figures = measure(databases, options)
    finally:
        server.end()
    print(json.dumps(figures, indent=2) if options.json else "\n".join(_lines(figures)))


def measure(databases: Databases, options: argparse.Namespace) -> dict[str, Any]:
    """All figures; the settings of this process point to the large ledger."""
    urls = {name: databases.create(name) for name in ("empty", "large")}
    os.environ |= {"DATABASE_URL": urls["large"], "BROKER_URL": NO_BROKER}
    from app.config import get_settings, load
    from app.database import make_engine

    get_settings.cache_clear()
    ledgers = [
        Ledger(n, url, make_engine(load({"DATABASE_URL": url, "BROKER_URL": NO_BROKER}))) for n, url in urls.items()
    ]
    _query(urls["large"], lambda cursor: cursor.execute("ALTER SYSTEM SET max_wal_size = '8GB'"))
    _query(urls["large"], lambda cursor: cursor.execute("SELECT pg_reload_conf()"))
    begin = datetime.now(UTC) - timedelta(days=DAYS + 1)
    parameters = (begin.date(), DAYS + 2)
    for url in urls.values():  # history is partitioned by day in both, so that only what is in it differs
        _query(url, lambda cursor: cursor.execute("SELECT taskledger.make_event_partitions(%s, %s)", parameters))
    filled = _fill(urls["large"], options.rows, options.waiting, begin)
    with ExitStack() as closing:
        connections = [(ledger, closing.enter_context(ledger.engine.connect())) for ledger in ledgers]
        _warm_up(connections)
        for _ in range(options.rounds):
            _round(connections)
    kinds = ledgers[0].milliseconds
    compared = {kind: {each.name: round(each.median(kind), 3) for each in ledgers} for kind in kinds}
    for kind in compared.values():
        kind["ratio"] = round(kind["large"] / kind["empty"], 3)
    large = ledgers[1]
    return {
        "rows": options.rows,
        "waiting": options.waiting,
        "load_average": round(os.getloadavg()[0], 1),
        "filled_in_seconds": filled,
        "bytes": _sizes(urls["large"]),
        "median_milliseconds": compared,
        "prune": _prune_under_load(large, options.rows, options.prune, begin) if options.prune else None,
        "drop_a_day_milliseconds": _drop_a_day(urls["large"]),
    }


def _fill(url: str, rows: int, waiting: int, begin: datetime) -> float:
    began = time.perf_counter()
    step = timedelta(days=DAYS) / rows
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off; SET session_replication_role = replica")  # no triggers
        for first in range(0, rows, FILL):
            place = {"begin": begin, "step": step, "first": first, "last": min(rows, first + FILL) - 1}
            cursor.execute(TASKS, place)
            cursor.execute(EVENTS, place)
            print(f"\r{first + FILL:>12,} rows", end="", file=sys.stderr, flush=True)
        for first in range(rows, rows + waiting, FILL):
            cursor.execute(WAITING, {"first": first, "last": min(rows + waiting, first + FILL) - 1})
        cursor.execute("VACUUM (ANALYZE) tasks")
        cursor.execute("ANALYZE task_events")
        cursor.execute("CHECKPOINT")
    connection.close()
    print(file=sys.stderr)
    return round(time.perf_counter() - began, 1)


def _warm_up(connections: list[tuple[Ledger, sa.Connection]]) -> None:
    _round(connections)
    for ledger, _ in connections:
        ledger.milliseconds.clear()


def _round(connections: list[tuple[Ledger, sa.Connection]]) -> None:
    """Submit, claim, complete and read one task after the other, each step in both ledgers before the next."""
    for number in range(TASKS_A_ROUND):
        if number % TASKS_A_MEASUREMENT == 0:
            for ledger, _ in connections:
                _measure_levels(ledger)
        paired = [
            (ledger, connection, _steps(ledger, connection))
            for ledger, connection in (connections if number % 2 else reversed(connections))
        ]
        for _ in STEPS:
            for _, _, steps in paired:
                next(steps)


def _measure_levels(ledger: Ledger) -> None:
    """What a dispatcher does every 2 to 20 s."""
    from app.services.measuring import levels
    from app.services.measuring.levels import Levels

    with ledger.timed("measure levels"), Session(ledger.engine) as session, session.begin():
        counted = Levels(measured_at=_now(), levels=levels.count(session))
        marks = {("tasks", priority): line for priority, line in levels.line_marks(session, "tasks").items()}
        levels.write(session, replace(counted, marks=marks))


def _steps(ledger: Ledger, connection: sa.Connection) -> Iterator[None]:
    """The life of one task, a step at each turn."""
    from app.services import explain, lifecycle
    from app.services.lifecycle import Holder
    from app.services.submission import Submission, accept
    from app.services.tasks import records

    wanted = Submission(type="reverse_string", payload="hello world")
    holder = Holder(worker="benchmark/1", pid=1)
    with _step(ledger, connection, "submit") as session:
        id_ = accept(session, wanted, owner_id=None, now=_now()).task.id
    yield
    with _step(ledger, connection, "ask why it waits") as session:
        explain.why(session, id_, owner=None, now=_now())
    yield
    with _step(ledger, connection, "claim") as session:
        [claim] = lifecycle.claim(session, "reverse_string", [id_], holder=holder, lease_seconds=60, now=_now())
    yield
    with _step(ledger, connection, "complete") as session:
        lifecycle.complete(session, [(claim, "dlrow olleh")], now=_now())
    yield
    with _step(ledger, connection, "list a page") as session:
        records.find(session, records.Filter(), owner=None, before=None, limit=50)
    yield
    with _step(ledger, connection, "read a task") as session:
        records.read(session, id_, owner=None)
    yield
    with _step(ledger, connection, "read its history") as session:
        records.events(session, id_, owner=None, after=None, limit=50)
    yield


@contextmanager
def _step(ledger: Ledger, connection: sa.Connection, what: str) -> Iterator[Session]:
    with ledger.timed(what), Session(connection) as session, session.begin():
        yield session


def _prune_under_load(ledger: Ledger, rows: int, prune: int, begin: datetime) -> dict[str, Any]:
    """Delete the oldest tasks as the dispatcher does, while tasks are submitted at a steady rate."""
    from app.dispatcher.retention import REST_SECONDS
    from app.models import Status
    from app.services.retention import Ages, Pruner

    now = _now()
    oldest_kept = begin + timedelta(days=DAYS) * min(1.0, prune / rows)
    kept = now - oldest_kept
    ages = Ages(by_status={Status.COMPLETED: kept, Status.FAILED: kept}, events=None)
    pruner, looked = Pruner(), 0
    with _submitting(ledger) as undisturbed:
        time.sleep(CONTROL_SECONDS)
    with _submitting(ledger) as submitted:
        began = time.perf_counter()
        while looked < prune:
            with Session(ledger.engine) as session, session.begin():
                seen = pruner.prune_tasks(session, ages, now=now)
            looked += seen
            if not seen:
                break
            time.sleep(REST_SECONDS)
        seconds = time.perf_counter() - began
    ordered, control = sorted(submitted), sorted(undisturbed)
    return {
        "load_average": round(os.getloadavg()[0], 1),
        "undisturbed_submit_p99_ms": round(control[int(len(control) * 0.99)], 1),
        "rows": looked,
        "seconds": round(seconds, 1),
        "rows_a_second": round(looked / seconds),
        "submissions": len(ordered),
        "submit_median_ms": round(statistics.median(ordered), 1),
        "submit_p99_ms": round(ordered[int(len(ordered) * 0.99)], 1),
        "submit_worst_ms": round(ordered[-1], 1),
    }


@contextmanager
def _submitting(ledger: Ledger) -> Iterator[list[float]]:
    """While inside, tasks are submitted at a steady rate; yields their milliseconds, from when each was due."""
    from app.services.submission import Submission, accept

    wanted = Submission(type="reverse_string", payload="hello world")
    taken: list[float] = []
    stopping = threading.Event()

    def submit() -> None:
        due = time.perf_counter()
        with ledger.engine.connect() as connection:
            while not stopping.wait(max(0.0, due - time.perf_counter())):
                with Session(connection) as session, session.begin():
                    accept(session, wanted, owner_id=None, now=_now())
                taken.append(1000 * (time.perf_counter() - due))
                due += 1 / SUBMISSIONS_A_SECOND

    thread = threading.Thread(target=submit)
    thread.start()
    try:
        yield taken
    finally:
        stopping.set()
        thread.join()


def _drop_a_day(url: str) -> float:
    return _query(url, lambda cursor: _dropped(cursor))


def _dropped(cursor: Any) -> float:
    cursor.execute("SELECT min(relname) FROM pg_class WHERE relname ~ '^task_events_p[0-9]{8}$' AND relpages > 0")
    name = cursor.fetchone()[0]
    began = time.perf_counter()
    cursor.execute(f"DROP TABLE public.{name}")
    return round(1000 * (time.perf_counter() - began), 1)


def _sizes(url: str) -> dict[str, int]:
    def ask(cursor: Any) -> dict[str, int]:
        cursor.execute(
            "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relname IN "
            "('tasks', 'tasks_pkey', 'pk_tasks', 'ix_tasks_due_at', 'ix_tasks_ended_badly', 'ix_tasks_owner_id_id') "
            "UNION ALL SELECT 'task_events', sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits "
            "WHERE inhparent = 'public.task_events'::regclass"
        )
        return {name: int(size) for name, size in cursor.fetchall()}

    return _query(url, ask)


def _query(url: str, ask: Callable[[Any], Any]) -> Any:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            return ask(cursor)
    finally:
        connection.close()


def _now() -> datetime:
    return datetime.now(UTC)


def _lines(figures: dict[str, Any]) -> Iterator[str]:
    finished, waiting, load = (figures[name] for name in ("rows", "waiting", "load_average"))
    yield f"{finished:,} finished and {waiting:,} waiting tasks; load average {load}"
    yield f"{'median milliseconds':<22}{'empty':>10}{'large':>10}{'ratio':>8}"
    for what, each in figures["median_milliseconds"].items():
        yield f"{what:<22}{each['empty']:>10.2f}{each['large']:>10.2f}{each['ratio']:>8.2f}"
    for name, size in sorted(figures["bytes"].items()):
        yield f"{name:<22}{size / 1e6:>10,.0f} MB"
    yield f"dropping a day of history: {figures['drop_a_day_milliseconds']} ms"
    prune = figures["prune"]
    if prune is None:
        return
    yield f"pruned {prune['rows']:,} in {prune['seconds']} s ({prune['rows_a_second']:,}/s)"
    median, p99, worst = (prune[f"submit_{name}_ms"] for name in ("median", "p99", "worst"))
    yield f"  beside {SUBMISSIONS_A_SECOND} submissions/s: median {median} ms, p99 {p99} ms, worst {worst} ms"
    yield f"  before, nothing being pruned: p99 {prune['undisturbed_submit_p99_ms']} ms"


if __name__ == "__main__":
    main()
