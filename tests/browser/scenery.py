"""An hour in the life of an installation, as rows: for screenshots, and for tests that only look."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import psycopg2.extras

from app.services.accounts import passwords
from app.version import VERSION

PASSWORD = "correct horse battery"
LAST_HOUR = timedelta(hours=1)
TRACEBACK = """Traceback (most recent call last):
  File "/srv/app/worker/attempt.py", line 71, in run
    result = task_type.handler(context, payload)
  File "/srv/tasks/handlers/send_email.py", line 118, in send_email
    refused = relay.send_message(message)
smtplib.SMTPRecipientsRefused: {'bob@example.invalid': (550, b'no such user')}
"""
KINDS: tuple[tuple[str, float, Any, Any], ...] = (
    ("reverse_string", 0.01, "hello world", "dlrow olleh"),
    ("uppercase_text", 0.01, "hello", "HELLO"),
    ("fibonacci_calc", 0.02, 90, {"n": 90, "value": "2880067194370816120"}),
    ("http_request", 0.4, {"url": "https://example.org/health"}, {"status": 200, "elapsed_ms": 381}),
    (
        "send_email",
        0.8,
        {"to": "ann@example.org", "subject": "Your invoice", "text": "Attached."},
        {"message_id": "<…@taskledger>"},
    ),
    (
        "create_invoice",
        0.15,
        {"customer_id": "C-1001", "date_from": "2026-01-01", "date_to": "2026-01-31", "lines": []},
        {"number": "INV-000017"},
    ),
    ("generate_pdf", 1.9, {"template": "report", "data": {"title": "Tasks in January"}}, {"pages": 3}),
)
FAILURES = (
    ("send_email", "a1b2c3d4e5f60718", "PermanentError", "bob@example.invalid was refused by the mail relay", 9),
    ("http_request", "0f1e2d3c4b5a6978", "ServerError", "https://api.example.org/orders answered 503 four times", 4),
    ("data_processing", "77aa88bb99cc00dd", "DrillError", "forceFailure was asked for", 2),
)


@dataclass(frozen=True)
class Scene:
    """What the rows are about, for who visits them."""

    admin: str
    boss: UUID
    user: str
    completed: UUID
    running: UUID
    failed: UUID
    schedule: UUID
    account: UUID


class Painter:
    """Writes rows as they would have come to be; triggers are off, so that moments lie in the past."""

    def __init__(self, connection: Any, now: datetime) -> None:
        self.cursor = connection.cursor()
        self.now = now
        self.random = random.Random(7)  # the same pictures every time
        self.cursor.execute("SET session_replication_role = replica")

    def insert(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            columns = list(rows[0])
            values = [[_sql(row[column]) for column in columns] for row in rows]
            psycopg2.extras.execute_values(
                self.cursor, f"INSERT INTO {table} ({', '.join(columns)}) VALUES %s", values, page_size=1000
            )

    def insert_with_triggers(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """For the audit log, whose trigger gives each entry its number and its place in the chain."""
        self.cursor.execute("SET session_replication_role = origin")
        self.insert(table, rows)
        self.cursor.execute("SET session_replication_role = replica")

    def id_at(self, moment: datetime) -> UUID:
        """A UUIDv7 of that moment."""
        head = int(moment.timestamp() * 1000) << 80
        return UUID(int=head | 0x7 << 76 | self.random.getrandbits(12) << 64 | 0x2 << 62 | self.random.getrandbits(62))

    def account(self, email: str, name: str, role: str) -> UUID:
        id_ = self.id_at(self.now - timedelta(days=90))
        made = self.now - timedelta(days=90)
        row = {"id": id_, "email": email, "name": name, "role": role, "password_hash": passwords.hashed(PASSWORD)}
        self.insert("users", [{**row, "created_at": made, "updated_at": made, "last_login_at": self.now}])
        return id_


def _sql(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    return psycopg2.extras.Json(value) if isinstance(value, dict | list) and not _is_texts(value) else value


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


def paint(database_url: str, now: datetime | None = None) -> Scene:
    """Fill an empty database."""
    connection = psycopg2.connect(database_url)
    try:
        with connection:
            return _paint(Painter(connection, now or datetime.now(UTC)))
    finally:
        connection.close()


def _paint(painter: Painter) -> Scene:
    boss = painter.account("ada@example.com", "Ada", "admin")
    user = painter.account("grace@example.com", "Grace", "user")
    for name in ("linus", "margaret", "barbara"):
        painter.account(f"{name}@example.com", name.title(), "user")
    tasks, events = [], []
    for task, history in _hour(painter, [boss, user]):
        tasks.append(task)
        events += history
    completed = tasks[-1]
    for task, history in (*_failures(painter, user), *_unfinished(painter, boss)):
        tasks.append(task)
        events += history
    failed = next(task for task in reversed(tasks) if task["type"] == "send_email" and task["status"] == "FAILED")
    running = tasks[-1]
    for task in tasks:
        painter.insert("tasks", [task])
    painter.insert("task_events", sorted(events, key=lambda event: event["at"]))
    _log(painter, running)
    _fleet(painter)
    schedule = _schedules(painter, boss, completed["id"])
    _administration(painter, boss, user)
    return Scene(
        admin="ada@example.com",
        boss=boss,
        user="grace@example.com",
        completed=completed["id"],
        running=running["id"],
        failed=failed["id"],
        schedule=schedule,
        account=user,
    )


def _task(painter: Painter, kind: str, created: datetime, owner: UUID, **columns: Any) -> dict[str, Any]:
    values = {
        "id": painter.id_at(created),
        "type": kind,
        "name": None,
        "status": "COMPLETED",
        "payload": psycopg2.extras.Json("hello"),
        "result": None,
        "error": None,
        "error_fingerprint": None,
        "reason": None,
        "priority": "normal",
        "queue": "tasks",
        "attempt": 1,
        "max_retries": 3,
        "owner_id": owner,
        "labels": psycopg2.extras.Json({}),
        "progress": None,
        "created_at": created,
        "scheduled_at": None,
        "started_at": None,
        "finished_at": None,
        "updated_at": created,
        "due_at": None,
        "dispatched_at": None,
        "lease": None,
        "leased_by": None,
        "leased_pid": None,
    }
    return {**values, **columns}


def _event(task: Mapping[str, Any], at: datetime, status: str, previous: str | None, **more: Any) -> dict[str, Any]:
    row = {"at": at, "task_id": task["id"], "type": task["type"], "status": status, "previous_status": previous}
    detail = more.get("detail")
    return {
        **row,
        "attempt": more.get("attempt", 0 if previous is None else 1),
        "worker": "worker-1@ledger/5f0c9a12" if previous else None,
        "detail": psycopg2.extras.Json(detail) if detail else None,
    }


def _hour(painter: Painter, owners: list[UUID]) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Completed tasks, more of them in the middle of the hour."""
    dice = painter.random
    for minute in range(60, 0, -1):
        busy = 14 + 12 * (1 - abs(minute - 28) / 32) + dice.uniform(-4, 5)
        for _ in range(int(busy)):
            created = painter.now - timedelta(minutes=minute) + timedelta(seconds=dice.uniform(0, 58))
            kind, seconds, payload, result = dice.choice(KINDS)
            waited = dice.expovariate(8) + (0.6 if 20 < minute < 34 else 0.02)
            started = created + timedelta(seconds=waited)
            ended = started + timedelta(seconds=dice.uniform(0.6, 1.6) * seconds)
            task = _task(painter, kind, created, dice.choice(owners), started_at=started, finished_at=ended)
            labels = {"team": dice.choice(["billing", "growth", "support"])} if dice.random() < 0.4 else {}
            task |= {
                "payload": psycopg2.extras.Json(payload),
                "result": psycopg2.extras.Json(result),
                "labels": psycopg2.extras.Json(labels),
                "updated_at": ended,
                "name": "January invoices" if kind == "create_invoice" and labels else None,
            }
            history = [
                _event(task, created, "PENDING", None),
                _event(task, started, "PROCESSING", "PENDING"),
                _event(task, ended, "COMPLETED", "PROCESSING"),
            ]
            yield task, history


def _failures(painter: Painter, owner: UUID) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    for kind, fingerprint, error, message, count in FAILURES:
        for number in range(count):
            created = painter.now - timedelta(minutes=3 + 5.5 * number)
            started, ended = created + timedelta(seconds=1), created + timedelta(seconds=2.4)
            told = {"type": error, "message": message, "traceback": TRACEBACK}
            payload = {"to": "bob@example.invalid", "subject": "Welcome", "text": "Hello Bob"}
            task = _task(painter, kind, created, owner, status="FAILED", started_at=started, finished_at=ended)
            task |= {
                "error": psycopg2.extras.Json(told),
                "error_fingerprint": fingerprint,
                "payload": psycopg2.extras.Json(payload),
                "attempt": 2,
                "updated_at": ended,
            }
            history = [
                _event(task, created, "PENDING", None),
                _event(task, created + timedelta(seconds=0.1), "PROCESSING", "PENDING"),
                _event(task, created + timedelta(seconds=0.5), "RETRYING", "PROCESSING", detail={"error": told}),
                _event(task, created + timedelta(seconds=0.9), "PENDING", "RETRYING"),
                _event(task, started, "PROCESSING", "PENDING", attempt=2),
                _event(task, ended, "FAILED", "PROCESSING", attempt=2, detail={"error": told}),
            ]
            yield task, history


def _unfinished(painter: Painter, owner: UUID) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    now = painter.now
    far = now + timedelta(hours=8)
    for number in range(7):
        created = now - timedelta(seconds=4 + 3 * number)
        task = _task(painter, "generate_pdf", created, owner, status="PENDING", attempt=0, due_at=far)
        yield task, [_event(task, created, "PENDING", None)]
    for number in range(3):
        created = now - timedelta(minutes=40 + number)
        later = now + timedelta(hours=6 + 5 * number)
        task = _task(painter, "send_email", created, owner, status="SCHEDULED", attempt=0, due_at=later)
        task |= {"scheduled_at": later, "name": "Weekly letter"}
        yield task, [_event(task, created, "SCHEDULED", None)]
    created = now - timedelta(minutes=2)
    task = _task(painter, "http_request", created, owner, status="RETRYING", due_at=far, started_at=created)
    told = {"type": "ServerError", "message": "https://api.example.org/orders answered 503"}
    task |= {"error": psycopg2.extras.Json(told), "attempt": 2}
    yield task, [_event(task, created, "PENDING", None)]
    created = now - timedelta(seconds=95)
    started = created + timedelta(seconds=2)
    task = _task(painter, "data_processing", created, owner, status="PROCESSING", started_at=started, due_at=far)
    task |= {
        "name": "Orders by customer, 2026",
        "priority": "high",
        "labels": psycopg2.extras.Json({"team": "growth", "report": "q1"}),
        "payload": psycopg2.extras.Json(
            {
                "dataset": "orders-2026.csv",
                "operation": "aggregate",
                "group_by": ["customer_id"],
                "measures": [{"name": "orders", "function": "count"}],
            }
        ),
        "progress": psycopg2.extras.Json({"fraction": 0.62, "message": "1.2 of 1.9 million rows"}),
        "lease": uuid4(),
        "leased_by": "worker-1@ledger/5f0c9a12",
        "leased_pid": 4711,
    }
    yield task, [_event(task, created, "PENDING", None), _event(task, started, "PROCESSING", "PENDING")]


def _log(painter: Painter, task: Mapping[str, Any]) -> None:
    lines = [
        ("source_opened", {"name": "orders-2026.csv", "bytes": 184_467_440}),
        ("rows_read", {"rows": 400_000}),
        ("rows_read", {"rows": 800_000}),
        ("rows_read", {"rows": 1_200_000}),
    ]
    rows = [
        {
            "task_id": task["id"],
            "attempt": 1,
            "at": task["started_at"] + timedelta(seconds=20 * number),
            "message": message,
            "fields": psycopg2.extras.Json(fields),
        }
        for number, (message, fields) in enumerate(lines)
    ]
    painter.insert("task_log", rows)


def _fleet(painter: Painter) -> None:
    types = psycopg2.extras.Json({kind[0]: "0" * 12 for kind in KINDS})
    rows = [
        {
            "id": f"worker-{number}@ledger/5f0c9a1{number + 1}",
            "node": f"worker-{number}@ledger",
            "host": "ledger",
            "pid": 4700 + number,
            "concurrency": 4,
            "queues": ["tasks"],
            "types": types,
            "version": VERSION,
            "started_at": painter.now - timedelta(hours=30 * number),
            "last_seen_at": painter.now if number < 3 else painter.now - timedelta(minutes=50),
            "stopped_at": None if number < 3 else painter.now - timedelta(minutes=50),
        }
        for number in (1, 2, 3)
    ]
    painter.insert("workers", rows)
    names = ("dispatch", "lost_hints", "rescue", "schedules", "pauses", "retention")
    duties = [
        {"name": name, "node": "ledger/ab12", "last_success_at": painter.now, "last_error": None} for name in names
    ]
    painter.insert("duties", duties)
    why = {"paused_by": None, "reason": "the bank's interface is down until noon", "resumed_at": None}
    paused_at = painter.now - timedelta(minutes=12)
    painter.insert("pauses", [{"kind": "type", "name": "create_invoice", "paused_at": paused_at, **why}])


def stay_alive(database_url: str) -> None:
    """What workers and dispatcher write each second, so that a picture does not grow old while it is taken."""
    connection = psycopg2.connect(database_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("UPDATE workers SET last_seen_at = now() WHERE stopped_at IS NULL")
            cursor.execute("UPDATE duties SET last_success_at = now()")
            cursor.execute("UPDATE sinks SET last_seen_at = now() WHERE name <> 'webhooks'")
    finally:
        connection.close()


def _schedules(painter: Painter, owner: UUID, task_id: UUID) -> UUID:
    now, made = painter.now, painter.now - timedelta(days=40)
    rules = (
        ("Nightly report", "30 2 * * *", "Europe/Berlin", "generate_pdf", 9),
        ("Morning mail", "0 7 * * 1-5", "America/New_York", "send_email", 6),
        ("Health check", "*/15 * * * *", "UTC", "http_request", 0.2),
        ("Month's invoices", "0 6 1 * *", "Europe/Warsaw", "create_invoice", 200),
    )
    first = None
    for name, cron, zone, kind, hours in rules:
        payload = next(each[2] for each in KINDS if each[0] == kind)
        id_ = painter.id_at(made)
        first = id_ if name == "Health check" else first
        row = {"id": id_, "owner_id": owner, "name": name, "cron": cron, "run_at": None, "time_zone": zone}
        row |= {"target": psycopg2.extras.Json({"task": {"type": kind, "payload": payload, "priority": "low"}})}
        row |= {"misfire": "run_once", "misfire_cap": 10, "overlap": "skip", "jitter_seconds": 0}
        row |= {"enabled": True, "accounted_until": now, "next_at": now + timedelta(hours=hours)}
        row |= {
            "last_slot_at": now - timedelta(hours=3),
            "last_task_id": task_id,
            "created_at": made,
            "updated_at": made,
        }
        painter.insert("schedules", [row])
    slots = []
    for number in range(14):
        at = (now - timedelta(minutes=15 * number)).replace(second=0, microsecond=0)
        state = {4: "skipped", 9: "missed"}.get(number, "fired")
        reasons = {"skipped": "the last task is unfinished (overlap skip)", "missed": "no dispatcher ran at that time"}
        slot = {"schedule_id": first, "slot_at": at, "state": state, "recorded_at": at}
        slots.append({**slot, "task_id": task_id if state == "fired" else None, "reason": reasons.get(state)})
    painter.insert("schedule_slots", slots)
    assert first is not None
    return first


def _administration(painter: Painter, boss: UUID, user: UUID) -> None:
    now = painter.now
    for owner, name, scopes in (
        (boss, "nightly import", ["tasks:read", "tasks:write"]),
        (boss, "grafana", ["tasks:read"]),
        (user, "laptop", ["tasks:read", "tasks:write"]),
    ):
        row = {"id": uuid4(), "user_id": owner, "name": name, "prefix": "tl_Qm3x", "scopes": scopes}
        row |= {"digest": uuid4().bytes, "created_at": now - timedelta(days=20), "last_used_at": now}
        painter.insert("api_keys", [row])
    entries = (
        ("user.logged_in", boss, f"user:{boss}", {}),
        ("type.paused", boss, "type:create_invoice", {"reason": "the bank's interface is down until noon"}),
        ("user.changed", boss, f"user:{user}", {"max_waiting_tasks": 5000}),
        ("api_key.created", user, "api_key:0f3c…", {"name": "laptop", "scopes": ["tasks:read", "tasks:write"]}),
        ("user.login_failed", None, f"user:{user}", {}),
    )
    rows = [
        {
            "at": now - timedelta(minutes=11 * number),
            "action": action,
            "actor_id": actor,
            "subject": subject,
            "address": "192.0.2.17",
            "detail": psycopg2.extras.Json(detail, dumps=json.dumps),
        }
        for number, (action, actor, subject, detail) in enumerate(entries)
    ]
    painter.insert_with_triggers("audit_log", rows[::-1])
