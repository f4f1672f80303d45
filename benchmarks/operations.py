"""Answers over a full ledger: how long /why, /queues/status and the like take with 1,000,000 finished tasks.

    python -m benchmarks.operations [--finished 1000000] [--waiting 100000] [--requests 200] [--json]

A PostgreSQL of its own (with fsync), one API process, and the dispatcher's duty that measures. Each figure is from the
first byte of a request to the last of its answer, one request at a time; `unmeasured` is without that duty, when the
API counts by itself.
"""

import argparse
import json
import os
import random
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import psycopg2
import requests

from tests.support.people import make_admin
from tests.support.servers.databases import NO_BROKER, Databases
from tests.support.servers.postgres import PrivatePostgres
from tests.support.servers.programs import Api, service_environment

TYPES = "ARRAY['reverse_string', 'uppercase_text', 'fibonacci_calc', 'http_request', 'send_email']"
# One task a millisecond, up to now; the last ones wait. Counts are as the events duty makes them.
SEED = f"""
SET session_replication_role = replica;
CREATE TEMPORARY TABLE made AS SELECT n, uuidv7(make_interval(secs => (n - %(all)s) * 0.001)) AS id,
    now() + make_interval(secs => (n - %(all)s) * 0.001) AS at, ({TYPES})[1 + n %% 5] AS type,
    n > %(finished)s AS waits FROM generate_series(1, %(all)s) AS n;
INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, due_at, dispatched_at,
                   finished_at, attempt, result)
SELECT id, type, CASE WHEN waits THEN 'PENDING' ELSE 'COMPLETED' END, '{{"text": "a payload of a usual length"}}',
       (ARRAY['normal', 'normal', 'low', 'high'])[1 + n %% 4], 'tasks', 3, at,
       CASE WHEN waits THEN now() + make_interval(secs => 60 + n %% 540) END, CASE WHEN waits THEN at END,
       CASE WHEN NOT waits THEN at + interval '1 second' END, CASE WHEN waits THEN 0 ELSE 1 END,
       CASE WHEN NOT waits THEN '"a result"'::jsonb END FROM made;
INSERT INTO task_counts (hour, type, previous_status, status, n)
SELECT date_trunc('hour', at), type, previous_status, status, count(*) FROM made,
LATERAL (VALUES (NULL, 'PENDING'), ('PENDING', 'PROCESSING'), ('PROCESSING', 'COMPLETED'))
    AS steps (previous_status, status)
WHERE previous_status IS NULL OR NOT waits GROUP BY 1, 2, 3, 4;
INSERT INTO workers (id, node, host, pid, concurrency, queues, types, version, started_at, last_seen_at)
SELECT 'w' || n || '/1', 'w' || n, 'here', n, 4, '{{tasks}}', '{{"reverse_string": "abc"}}', '1', now(),
       now() + interval '1 hour' FROM generate_series(1, 20) AS n;
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How long answers take over a full ledger")
    parser.add_argument("--finished", type=int, default=1_000_000)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=200, help="of each kind")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with full_ledger(options.finished, options.waiting) as (url, key, ids):
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {key}"
        unmeasured = ask(session, url, ids, max(10, options.requests // 10))
        with measuring() as seconds:
            measured = ask(session, url, ids, options.requests)
    figures = {"measured": measured, "unmeasured": unmeasured, "duty_seconds": statistics.median(seconds)}
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{options.finished:,} finished and {options.waiting:,} waiting tasks; milliseconds:")
    for path, (median, p99) in measured.items():
        first = unmeasured[path]
        print(f"  {path:<28} median {median:7.1f}   p99 {p99:7.1f}     unmeasured: {first[0]:7.1f} {first[1]:7.1f}")
    print(f"the duty that measures took {1000 * figures['duty_seconds']:.0f} ms a time")


def ask(session: requests.Session, url: str, ids: Sequence[str], count: int) -> dict[str, tuple[float, float]]:
    """Median and 99th percentile of each kind of request, in milliseconds."""
    chance = random.Random(4711)
    paths = {
        "/tasks/{id}/why (waiting)": lambda: f"/api/v1/tasks/{chance.choice(ids)}/why",
        "/tasks/{id}/why (finished)": lambda: f"/api/v1/tasks/{ids[0]}/why",
        "/queues/status": lambda: "/api/v1/queues/status",
        "/queues/overloaded": lambda: "/api/v1/queues/overloaded",
        "/queues/scaling": lambda: "/api/v1/queues/scaling?queue=tasks",
        "/queues/pending-count": lambda: "/api/v1/queues/pending-count",
        "/queues/failed-count": lambda: "/api/v1/queues/failed-count",
        "/workers": lambda: "/api/v1/workers",
        "/stats": lambda: "/api/v1/stats",
        "/metrics": lambda: "/metrics",
    }
    figures = {}
    for name, path in paths.items():
        took = []
        for _ in range(count + 3):
            asked = url + path()
            began = time.perf_counter()
            answer = session.get(asked, timeout=30)
            took.append(1000 * (time.perf_counter() - began))
            assert answer.status_code == 200, answer.text
        ordered = sorted(took[3:])  # without the first ones, which open connections
        figures[name] = round(statistics.median(ordered), 1), round(ordered[-max(1, len(ordered) // 100)], 1)
    return figures


@contextmanager
def measuring() -> Iterator[list[float]]:
    """The duty, as a dispatcher runs it; the list gets how long each time took."""
    from app.dispatcher.measure import Measure

    duty, stopping, took = Measure(), threading.Event(), []

    def run() -> None:
        while not stopping.is_set():
            began = time.perf_counter()
            duty._not_before = None
            duty.run_once(datetime.now(UTC))
            took.append(time.perf_counter() - began)
            stopping.wait(2.0)

    thread = threading.Thread(target=run, name="measuring")
    thread.start()
    while not took:
        time.sleep(0.1)
    try:
        yield took
    finally:
        stopping.set()
        thread.join()


@contextmanager
def full_ledger(finished: int, waiting: int) -> Iterator[tuple[str, str, list[str]]]:
    """The URL of an API over such a ledger, an admin's key, the ids of a finished task and of waiting ones."""
    with ExitStack() as closing:
        databases = Databases(closing.enter_context(PrivatePostgres(durable=True)).url())
        closing.callback(databases.drop_all)
        database_url = databases.create("operations")
        connection = psycopg2.connect(database_url)
        closing.callback(connection.close)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(SEED, {"finished": finished, "all": finished + waiting})
            for table in ("tasks", "task_counts", "workers"):
                cursor.execute(f"VACUUM ANALYZE {table}")
            cursor.execute("SELECT id::text FROM made WHERE n = 1 UNION ALL (SELECT id::text FROM made WHERE waits "
                           "ORDER BY random() LIMIT 1000)")  # fmt: skip
            ids = [id_ for (id_,) in cursor.fetchall()]
        environment = service_environment(database_url=database_url, broker_url=NO_BROKER)
        os.environ |= {"DATABASE_URL": database_url, "BROKER_URL": NO_BROKER}
        api = closing.enter_context(Api(environment))
        yield api.url, make_admin(database_url).key, ids


if __name__ == "__main__":
    main()
