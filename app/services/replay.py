"""Starting dead letters and cancelled tasks over: one, or all that match a filter after a dry run has counted them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import to_json
from app.errors import Conflict
from app.models import Json, Status, Task, TaskRecord
from app.services import lifecycle
from app.services.tasks import read
from tasks.registry import get_type

TASKS = Task.metadata.tables["tasks"]
BATCH = 500
REPLAYABLE = (Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Edited:
    """A payload that replaces the task's own; None inside is a payload, too, hence the wrapper."""

    payload: Json


def replay(
    session: Session, task_id: UUID, *, now: datetime, edited: Edited | None = None, max_retries: int | None = None
) -> TaskRecord:
    """Start one task over, or run one that waits for its retry at once. Raises NotFound, Conflict or PayloadRefused."""
    task = read(session, task_id)
    if edited is not None:
        get_type(task.type).payload.load(edited.payload)
    text = None if edited is None else to_json(edited.payload)
    if not lifecycle.replay(session, [task_id], now=now, payload=text, max_retries=max_retries):
        task = read(session, task_id)
        raise Conflict(f"The task is {task.status}; only a task that is FAILED or CANCELLED can be replayed.")
    return read(session, task_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterFilter:
    """Which dead letters; what is None does not restrict. `failed_before` is fixed by the dry run."""

    type: str | None = None
    fingerprint: str | None = None
    failed_after: datetime | None = None
    failed_before: datetime | None = None
    ids: Sequence[UUID] | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """As SQL."""
        found: list[sa.ColumnElement[bool]] = [TASKS.c.status == Status.FAILED.value]
        if self.type is not None:
            found.append(TASKS.c.type == self.type)
        if self.fingerprint is not None:
            found.append(TASKS.c.error_fingerprint == self.fingerprint)
        if self.failed_after is not None:
            found.append(TASKS.c.finished_at >= self.failed_after)
        if self.failed_before is not None:
            found.append(TASKS.c.finished_at < self.failed_before)
        if self.ids is not None:
            found.append(TASKS.c.id.in_(self.ids))
        return found


def count(session: Session, wanted: DeadLetterFilter) -> int:
    """How many dead letters match."""
    return session.scalar(sa.select(sa.func.count()).select_from(TASKS).where(*wanted.conditions())) or 0


def replay_batch(session: Session, wanted: DeadLetterFilter, *, now: datetime) -> int:
    """Start the next few hundred over; returns how many, 0 when all are done. A transaction for each batch."""
    query = sa.select(TASKS.c.id).where(*wanted.conditions()).order_by(TASKS.c.id).limit(BATCH)
    ids = list(session.scalars(query))
    return len(lifecycle.replay(session, ids, now=now)) if ids else 0


def purge_batch(session: Session, wanted: DeadLetterFilter) -> int:
    """Delete the next few hundred with their history; returns how many, 0 when all are done."""
    query = sa.select(TASKS.c.id).where(*wanted.conditions()).order_by(TASKS.c.id).limit(BATCH).with_for_update()
    ids = list(session.scalars(query))
    if ids:
        session.execute(sa.text("DELETE FROM task_events WHERE task_id = ANY(CAST(:ids AS uuid[]))"), {"ids": ids})
        session.execute(sa.text("DELETE FROM task_log WHERE task_id = ANY(CAST(:ids AS uuid[]))"), {"ids": ids})
        session.execute(sa.delete(TASKS).where(TASKS.c.id.in_(ids)))
    return len(ids)


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Dead letters with one cause."""

    fingerprint: str
    type: str
    error_type: str
    message: str
    count: int
    first_at: datetime
    last_at: datetime
    example_id: UUID


GROUPS = sa.text(
    "SELECT error_fingerprint AS fingerprint, type, max(error->>'type') AS error_type, "
    "max(error->>'message') AS message, count(*) AS count, min(finished_at) AS first_at, max(finished_at) AS last_at, "
    "(array_agg(id ORDER BY id DESC))[1] AS example_id FROM tasks WHERE status = 'FAILED' AND finished_at >= :since "
    "GROUP BY error_fingerprint, type ORDER BY count(*) DESC, max(finished_at) DESC LIMIT :limit"
)


def groups(session: Session, *, now: datetime, days: int = 30, limit: int = 100) -> list[Group]:
    """Dead letters of the last days by cause, most frequent first."""
    rows: Any = session.execute(GROUPS, {"since": now - timedelta(days=days), "limit": limit}).mappings()
    return [Group(**row) for row in rows]
