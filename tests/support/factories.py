"""Rows and values for tests, made with what matters to the test and plausible defaults for the rest."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import Schedule, ScheduleRecord, SlotRecord, Status, Task, TaskRecord, new_id
from app.models.task import COLUMN_OF, RECORD_COLUMNS
from app.services import events, lifecycle
from app.services.lifecycle import Claim, Holder
from app.services.schedules.rule import Rule

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""The moment at which unit and integration tests happen, unless they say another."""
HOLDER = Holder(worker="worker-a/00000001", pid=4711)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def make_task(session: Session, *, now: datetime = NOON, **columns: Any) -> TaskRecord:
    """Insert a task, PENDING and dispatched `now` unless told otherwise; the row as the triggers left it."""
    values: dict[str, Any] = {
        "id": new_id(),
        "type": "reverse_string",
        "status": Status.PENDING,
        "payload": "hello",
        "priority": "normal",
        "queue": "tasks",
        "max_retries": 3,
        "created_at": now,
        "dispatched_at": now,
        "due_at": now + lifecycle.LOOK_AGAIN,
    }
    named = {COLUMN_OF.get(name, name): value for name, value in (values | columns).items()}
    inserted = session.execute(sa.insert(Task.__table__).values(**named).returning(*RECORD_COLUMNS))
    return TaskRecord.of(inserted.mappings().one())


def read_task(session: Session, task_id: UUID) -> TaskRecord:
    """The row as this session's transaction sees it."""
    table = Task.__table__
    return TaskRecord.of(session.execute(sa.select(*RECORD_COLUMNS).where(table.c.id == task_id)).mappings().one())


def make_claim(session: Session, *, now: datetime = NOON, holder: Holder = HOLDER, **columns: Any) -> Claim:
    """A task that a worker has just claimed."""
    task = make_task(session, now=now, **columns)
    [claim] = lifecycle.claim(session, task.type, [task.id], holder=holder, lease_seconds=60, now=now)
    return claim


_STEPS = {
    Status.PROCESSING: "attempt = attempt + 1, lease = gen_random_uuid(), leased_by = 'worker-a/00000001', "
    "started_at = CAST(:at AS timestamptz)",
    Status.COMPLETED: "finished_at = CAST(:at AS timestamptz)",
    Status.FAILED: 'error = \'{"type": "ValueError", "message": "no"}\', finished_at = CAST(:at AS timestamptz)',
    Status.SCHEDULED: "dispatched_at = NULL",
    Status.RETRYING: 'dispatched_at = NULL, error = \'{"type": "ValueError", "message": "no"}\'',
    Status.WAITING: "dispatched_at = NULL, attempt_base = attempt, expires_at = NULL, "
    'waits_for = \'{"step": "approved", "signal": "approved"}\', due_at = \'9999-06-01 00:00:00+00\'',
    Status.CANCELLED: "cancel_receipt = 'never_started', finished_at = CAST(:at AS timestamptz)",
}


def bring_to(session: Session, status: Status | str, *ids: Any, at: datetime = NOON) -> None:
    """Bring PENDING tasks to a status, by the arrows that lead there: the database refuses any other way."""
    status = Status(status)
    is_outcome = status in (Status.COMPLETED, Status.FAILED, Status.RETRYING, Status.WAITING)
    for step in (Status.PROCESSING, status) if is_outcome else (status,):
        set_ = ", ".join(filter(None, (f"status = '{step}'", _STEPS.get(step))))
        session.execute(
            sa.text(f"UPDATE tasks SET {set_} WHERE id = ANY(CAST(:ids AS uuid[]))"),
            {"ids": [str(id_) for id_ in ids], **({"at": at} if ":at" in set_ else {})},
        )


def statuses_of(session: Session, task_id: UUID) -> list[str]:
    """The statuses that the history of a task names, oldest first."""
    rows = session.execute(sa.text("SELECT status FROM task_events WHERE task_id = :id ORDER BY id"), {"id": task_id})
    return [status for (status,) in rows]


def pass_events_on(session: Session, *, now: datetime = NOON) -> None:
    """Commit, and let all events leave the outbox as if the dispatcher had published them."""
    session.commit()
    while batch := events.next_batch(session, events.Head(), limit=1_000):
        events.published(session, batch, now=now)
        session.commit()


def create_schedule(session: Session, *, now: datetime = NOON, **columns: Any) -> ScheduleRecord:
    """Insert a schedule, every hour in UTC unless told otherwise, whose slots up to `now` are accounted for."""
    values: dict[str, Any] = {
        "id": new_id(),
        "time_zone": "UTC",
        "target": {"task": {"type": "reverse_string", "payload": "hello"}},
        "misfire": "run_once",
        "misfire_cap": 10,
        "overlap": "allow",
        "jitter_seconds": 0,
        "enabled": True,
        "accounted_until": now,
        "created_at": now,
        "updated_at": now,
        **({} if columns.get("run_at") else {"cron": "0 * * * *"}),
        **columns,
    }
    rule = {name: values.get(name) for name in ("cron", "run_at", "time_zone", "starts_at", "ends_at")}
    if "next_at" not in values:
        values["next_at"] = Rule(**rule).after(values["accounted_until"]) if values["enabled"] else None
    table = Schedule.__table__
    inserted = session.execute(sa.insert(table).values(**values).returning(table))
    return ScheduleRecord.of(inserted.mappings().one())


def slots_of(session: Session, schedule: ScheduleRecord) -> list[SlotRecord]:
    """What became of a schedule's slots, oldest first."""
    rows = session.execute(
        sa.text("SELECT * FROM schedule_slots WHERE schedule_id = :id ORDER BY slot_at"), {"id": schedule.id}
    )
    return [SlotRecord(**row) for row in rows.mappings()]


class Steady:
    """A clock that nobody sets, for tests: it stands still until a test moves it."""

    def __init__(self) -> None:
        self.passed = 1_000.0

    def __call__(self) -> float:
        return self.passed
