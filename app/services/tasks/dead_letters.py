"""Dead letters: tasks that are FAILED, by type, cause and time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import Status, Task, TaskRecord
from app.models.page import Page, page_of
from app.models.task import RECORD_COLUMNS
from app.services.circuits import DELIVERY_TYPE
from app.services.tasks.records import belonging_to

TASKS = Task.metadata.tables["tasks"]
BATCH = 500
BY_ITSELF = sa.literal_column(
    "(tasks.run_id IS NULL AND taskledger.may_be_replayed(tasks.id, tasks.parent_id, tasks.step))", sa.Boolean
)
"""Dead letters that can be replayed by themselves: not with a run, or with the task whose handler waits for them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterFilter:
    """Which dead letters; what is None does not restrict. `failed_before` is fixed by the dry run."""

    type: str | None = None
    fingerprint: str | None = None
    failed_after: datetime | None = None
    failed_before: datetime | None = None
    owner_id: UUID | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """As SQL."""
        conditions: list[sa.ColumnElement[bool]] = [TASKS.c.status == Status.FAILED.value]
        if self.type is not None:
            conditions.append(TASKS.c.type == self.type)
        if self.fingerprint is not None:
            conditions.append(TASKS.c.error_fingerprint == self.fingerprint)
        if self.failed_after is not None:
            conditions.append(TASKS.c.finished_at >= self.failed_after)
        if self.failed_before is not None:
            conditions.append(TASKS.c.finished_at < self.failed_before)
        if self.owner_id is not None:
            conditions += belonging_to(self.owner_id, types=(self.type,) if self.type else ())
        return conditions


def count(session: Session, criteria: DeadLetterFilter) -> int:
    """How many dead letters match that can be changed by themselves: tasks of runs and children go with those."""
    theirs = sa.select(sa.func.count()).select_from(TASKS).where(*criteria.conditions(), BY_ITSELF)
    return session.scalar(theirs) or 0


def count_belonging(session: Session, criteria: DeadLetterFilter) -> int:
    """How many match that are changed with their run, or with the task that they are a step of, only."""
    theirs = sa.select(sa.func.count()).select_from(TASKS).where(*criteria.conditions(), sa.not_(BY_ITSELF))
    return session.scalar(theirs) or 0


def find(
    session: Session, criteria: DeadLetterFilter, *, before: UUID | None, limit: int, by_itself: bool = False
) -> Page[TaskRecord]:
    """A page of those older than `before`, newest first; `by_itself`: only those that `count` counts."""
    query = sa.select(*RECORD_COLUMNS).where(*criteria.conditions()).order_by(TASKS.c.id.desc()).limit(limit + 1)
    if by_itself:
        query = query.where(BY_ITSELF)
    if before is not None:
        query = query.where(TASKS.c.id < before)
    records = [TaskRecord(**row) for row in session.execute(query).mappings()]
    return page_of(records, limit)


def ids_batch(session: Session, criteria: DeadLetterFilter) -> list[UUID]:
    """The ids of the next few hundred, oldest first."""
    theirs = sa.select(TASKS.c.id).where(*criteria.conditions(), BY_ITSELF)
    return list(session.scalars(theirs.order_by(TASKS.c.id).limit(BATCH)))


def types_of(session: Session, criteria: DeadLetterFilter) -> list[str]:
    """The types of those that match and can be changed by themselves."""
    theirs = sa.select(TASKS.c.type).where(*criteria.conditions(), BY_ITSELF).distinct()
    return list(session.scalars(theirs.order_by(TASKS.c.type)))


# A question for each task by itself: as a join, the whole outbox would be read for each batch.
_PASSED_ON = sa.text("""
    NOT (
        SELECT EXISTS (
            SELECT FROM task_events AS e
            JOIN event_outbox AS o ON o.event_id = e.id
            WHERE e.task_id = tasks.id AND e.at >= tasks.created_at
            OFFSET 0
        )
    )
""")


def purge_batch(session: Session, criteria: DeadLetterFilter) -> int:
    """Delete the next few hundred with their history; returns how many, 0 when all are done.

    One whose events have not been passed on yet stays, as with DELETE: nobody would be told of its failure.
    """
    theirs = sa.select(TASKS.c.id).where(*criteria.conditions(), BY_ITSELF, _PASSED_ON)
    query = theirs.order_by(TASKS.c.id).limit(BATCH).with_for_update()
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


GROUPS = sa.text("""
    SELECT error_fingerprint AS fingerprint, type, max(error->>'type') AS error_type, max(error->>'message') AS message,
        count(*) AS count, min(finished_at) AS first_at, max(finished_at) AS last_at,
        (array_agg(id ORDER BY id DESC))[1] AS example_id
    FROM tasks
    WHERE status = 'FAILED'
        AND finished_at >= :since
        AND (CAST(:owner_id AS uuid) IS NULL OR (owner_id = :owner_id AND type <> :delivery))
    GROUP BY error_fingerprint, type
    ORDER BY count(*) DESC, max(finished_at) DESC
    LIMIT :limit
""")


def groups(session: Session, *, owner: UUID | None, now: datetime, days: int = 30, limit: int = 100) -> list[Group]:
    """Dead letters of the last days by cause, most frequent first; `owner` None: everybody's."""
    parameters = {"since": now - timedelta(days=days), "limit": limit, "owner_id": owner, "delivery": DELIVERY_TYPE}
    rows: Any = session.execute(GROUPS, parameters).mappings()
    return [Group(**row) for row in rows]
