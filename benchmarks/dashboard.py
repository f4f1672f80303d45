"""Every page of the dashboard over a million tasks: how long from request to the whole page.

    python -m benchmarks.dashboard [--tasks 1000000] [--requests 40] [--json]

Starts PostgreSQL and one API process of its own. The rows are written by SQL: 2 % of the tasks unfinished, 1 % dead
letters, a tenth of all in the last hour, three events a finished task, 50 accounts. Status 1 if a 95th percentile
passes 200 ms.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import psutil
import psycopg2
import requests

from app.services.accounts import passwords
from benchmarks import dashboard_rows
from benchmarks.latency import Spread
from tests.support.people import make_person
from tests.support.servers.databases import NO_BROKER, Databases
from tests.support.servers.postgres import PrivatePostgres
from tests.support.servers.programs import Api, service_environment
from tests.support.servers.rows import fetched

USER = "user7@example.com"
PASSWORD = "correct horse battery"
MAX_MILLISECONDS = 200
WARM_UP = 3
TYPES = "ARRAY['reverse_string', 'http_request', 'send_email', 'create_invoice', 'generate_pdf', 'data_processing']"
# UUIDv7 of a moment: its milliseconds, then the version, then what a sequence makes unique.
FILL = (
    "SET session_replication_role = replica",
    "SELECT taskledger.make_event_partitions((now() - interval '31 days')::date, 33)",
    """
INSERT INTO users (id, email, name, password_hash, role, created_at, updated_at)
SELECT gen_random_uuid(), 'user' || n || '@example.com', 'User ' || n, 'none', 'user', now(), now()
FROM generate_series(1, 50) AS n
""",
    "CREATE TEMP TABLE owners AS SELECT id, row_number() OVER () - 1 AS number FROM users",
    f"""
INSERT INTO tasks (id, type, name, status, payload, result, error, error_fingerprint, priority, queue, attempt,
                   max_retries, owner_id, labels, created_at, scheduled_at, started_at, finished_at, updated_at, due_at,
                   lease, leased_by)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(n %% 4096), 3, '0') || '8'
        || lpad(to_hex(n), 15, '0'))::uuid,
       ({TYPES})[1 + n %% 6], CASE WHEN n %% 5 = 0 THEN 'Task number ' || n END, status, '{{"text": "hello world"}}',
       CASE WHEN status = 'COMPLETED' THEN '"dlrow olleh"'::jsonb END,
       CASE WHEN status IN ('FAILED', 'RETRYING') THEN jsonb_build_object('type', 'ServerError', 'message',
            'https://api.example.org answered 503 on attempt ' || n %% 20) END,
       CASE WHEN status = 'FAILED' THEN lpad(to_hex(n / 100 %% 20), 16, '0') END,
       (ARRAY['normal', 'normal', 'high', 'low'])[1 + n %% 4], 'tasks', 1, 3,
       (SELECT id FROM owners WHERE number = abs(hashint4(n)) %% (SELECT count(*) FROM owners)),
       CASE WHEN n %% 3 = 0 THEN jsonb_build_object('team', 'team-' || n %% 40) ELSE '{{}}' END,
       at, CASE WHEN status = 'SCHEDULED' THEN at + interval '9 hours' END,
       CASE WHEN status <> 'PENDING' THEN at + interval '0.2 s' END,
       CASE WHEN status IN ('COMPLETED', 'FAILED', 'CANCELLED') THEN at + interval '1 s' END, at + interval '1 s',
       CASE WHEN status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED') THEN now() + interval '9 hours' END,
       CASE WHEN status = 'PROCESSING' THEN gen_random_uuid() END, CASE WHEN status = 'PROCESSING' THEN 'w/1' END
FROM (SELECT n, CASE WHEN n > 0.9 * %(tasks)s THEN now() - (%(tasks)s - n) / (0.1 * %(tasks)s) * interval '1 hour'
                     ELSE now() - interval '1 hour' - (0.9 * %(tasks)s - n) / %(tasks)s * interval '30 days' END AS at,
             CASE WHEN n %% 100 = 7 THEN 'FAILED' WHEN n %% 200 = 9 THEN 'CANCELLED'
                  WHEN n > 0.99 * %(tasks)s AND n %% 20 < 15 THEN 'PENDING'
                  WHEN n > 0.98 * %(tasks)s AND n %% 25 = 3 THEN 'RETRYING'
                  WHEN n > 0.97 * %(tasks)s AND n %% 400 = 5 THEN 'PROCESSING'
                  WHEN n > 0.95 * %(tasks)s AND n %% 9 = 4 THEN 'SCHEDULED' ELSE 'COMPLETED' END AS status
      FROM generate_series(1, %(tasks)s) AS n) AS made
""",
    """
INSERT INTO task_events (at, task_id, type, status, previous_status, attempt)
SELECT at, id, type, status, previous, attempt FROM (
    SELECT created_at AS at, id, type, 'PENDING' AS status, NULL AS previous, 0 AS attempt FROM tasks
    UNION ALL SELECT started_at, id, type, 'PROCESSING', 'PENDING', 1 FROM tasks WHERE started_at IS NOT NULL
    UNION ALL SELECT finished_at, id, type, status, 'PROCESSING', 1 FROM tasks WHERE finished_at IS NOT NULL) AS events
ORDER BY at
""",
    """
INSERT INTO schedules (id, owner_id, name, cron, time_zone, target, misfire, misfire_cap, overlap, jitter_seconds,
                       enabled, accounted_until, next_at, created_at, updated_at)
SELECT gen_random_uuid(), (SELECT id FROM owners WHERE number = n % 50), 'Schedule ' || n, '*/5 * * * *', 'UTC',
       '{"task": {"type": "reverse_string", "payload": "hello"}}', 'run_once', 1, 'allow', 0, true, now(),
       now() + n * interval '1 minute', now(), now() FROM generate_series(1, 5000) AS n
""",
    """
INSERT INTO schedule_slots (schedule_id, slot_at, state, reason, recorded_at)
SELECT schedules.id, now() - n * interval '5 minutes', 'skipped', 'busy', now() - n * interval '5 minutes'
FROM schedules, generate_series(1, 40) AS n
""",
    """
INSERT INTO audit_log (at, action, subject, address, detail)
SELECT now() - n * interval '1 minute', 'user.logged_in', 'user:' || n, '192.0.2.1', '{}'
FROM generate_series(1, 50000) AS n
""",
    """
INSERT INTO workers (id, node, host, pid, concurrency, queues, types, version, started_at, last_seen_at)
SELECT 'w' || n || '/1', 'worker-' || n, 'host', n, 4, ARRAY['tasks'], '{"reverse_string": "0"}', '0.1.0', now(), now()
FROM generate_series(1, 40) AS n
""",
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The dashboard's pages over a million tasks")
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=40, help="of each page")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with ExitStack() as closing:
        databases = Databases(closing.enter_context(PrivatePostgres()).url())
        database_url = databases.create("dashboard")
        began = time.perf_counter()
        fill(database_url, options.tasks)
        more = dashboard_rows.fill(database_url, USER)
        filled = time.perf_counter() - began
        api = closing.enter_context(Api(service_environment(database_url=database_url, broker_url=NO_BROKER)))
        figures = {who: measure(api.url, database_url, who, options.requests, more) for who in ("admin", "user")}
    slow = [
        f"{who} {page}" for who, pages in figures.items() for page, spread in pages.items()
        if spread["p95"] > MAX_MILLISECONDS
    ]  # fmt: skip
    if options.json:
        print(
            json.dumps({"tasks": options.tasks, "fill_seconds": round(filled), "milliseconds": figures, "slow": slow})
        )
    else:
        print(f"{options.tasks} tasks, written in {filled:.0f} s; milliseconds to the whole page:")
        for who, pages in figures.items():
            for page, spread in pages.items():
                said = "   ".join(f"{name} {value:7.1f}" for name, value in spread.items())
                print(f"  {who:<6} {page:<46} {said}")
        print(f"slower than {MAX_MILLISECONDS} ms at the 95th percentile: {', '.join(slow) or 'none'}")
    sys.exit(1 if slow else 0)


def fill(database_url: str, tasks: int) -> None:
    """Write the rows."""
    connection = psycopg2.connect(database_url)
    try:
        with connection, connection.cursor() as cursor:
            for statement in FILL:
                cursor.execute(statement, {"tasks": tasks} if "%(tasks)s" in statement else None)
    finally:
        connection.close()


def measure(url: str, database_url: str, who: str, count: int, more: list[str]) -> dict[str, dict[str, float]]:
    """The spread of each page's times, for one who is an admin (and sees everything) or a user (with 1 in 51 tasks)."""
    email = "admin@example.com" if who == "admin" else USER
    password_hash = passwords.hashed(PASSWORD)
    if who == "admin":
        make_person(database_url, role="admin", email=email, password_hash=password_hash)
    else:
        run(database_url, "UPDATE users SET password_hash = %s WHERE email = %s", password_hash, email)
    (example,) = run(database_url, "SELECT t.id FROM tasks t JOIN users u ON u.id = t.owner_id WHERE u.email = "
                     "'user7@example.com' AND status = 'FAILED' ORDER BY t.id DESC LIMIT 1")  # fmt: skip
    (schedule,) = run(database_url, "SELECT s.id FROM schedules s JOIN users u ON u.id = s.owner_id WHERE u.email = "
                      "'user7@example.com' LIMIT 1")  # fmt: skip
    with requests.Session() as http:
        token = re.search(r'name="csrf" value="([^"]+)"', http.get(f"{url}/login").text)
        assert token
        form = {"csrf": token.group(1), "email": email, "password": PASSWORD}
        assert http.post(f"{url}/login", data=form).ok
        older = re.search(r'rel="next" href="([^"]+)"', http.get(f"{url}/tasks").text)
        assert older
        chosen = pages(str(example[0]), str(schedule[0]), older.group(1).replace("&amp;", "&")) + (
            more if who == "user" else [page for page in more if not page.startswith("/workflows/flow")]
        )
        if who == "admin":
            chosen += [
                "/workers",
                "/accounts",
                "/audit",
                "/tasks?owner=user7@example.com",
                "/queues/queues/tasks/pause",
            ]
        found = {}
        for page in chosen:
            found[page.partition("cursor=")[0]] = _one(http, url + page, count)
    return found


def _one(http: requests.Session, address: str, count: int) -> dict[str, float]:
    """One page's times; `cpu` is what API and PostgreSQL computed for it, which a busy machine does not change much."""
    times, before = [], 0.0
    for number in range(WARM_UP + count):
        if number == WARM_UP:
            before = computed()
        began = time.perf_counter()
        answer = http.get(address)
        times.append(time.perf_counter() - began)
        assert answer.status_code == 200, f"{address}: {answer.status_code} {answer.text[:500]}"
    cpu = 1000 * (computed() - before) / count
    return {**spread(times[WARM_UP:]), "cpu": round(cpu, 1)}


def computed() -> float:
    """Seconds of processor time of everything that this command has started."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            spent = process.cpu_times()
            total += spent.user + spent.system
    return total


def pages(example: str, schedule: str, older: str) -> list[str]:
    """The pages, with the filters that are hardest to serve."""
    yesterday = datetime.fromtimestamp(time.time() - 86_400, tz=UTC).strftime("%Y-%m-%dT%H:%M")
    return [
        "/", "/?window=24h", "/tasks", older, "/tasks?status=COMPLETED", "/tasks?status=FAILED",
        "/tasks?status=PENDING&status=RETRYING", "/tasks?status=PROCESSING", "/tasks?type=send_email&status=CANCELLED",
        "/tasks?type=generate_pdf", "/tasks?label=team:team-9", "/tasks?q=no+task+holds+this", "/tasks?q=number+99999",
        "/tasks?since=7d&status=COMPLETED", f"/tasks?before={yesterday}", f"/tasks/{example}",
        f"/tasks/{example}/retry",
        "/submit", "/submit/data_processing", "/dead-letters", "/dead-letters/replay", "/queues", "/schedules",
        f"/schedules/{schedule}", "/schedules/new?type=http_request", "/account", "/live",
    ]  # fmt: skip


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds."""
    ordered = sorted(1000 * each for each in seconds)
    p95 = ordered[max(0, -(-95 * len(ordered) // 100) - 1)]
    found = asdict(Spread.of(seconds))
    return {"median": found["median"], "p95": round(p95, 1), "worst": found["worst"]}


def run(database_url: str, statement: str, *parameters: Any) -> list[Any]:
    """One statement's rows."""
    connection = psycopg2.connect(database_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return fetched(cursor)
    finally:
        connection.close()


if __name__ == "__main__":
    main()
