"""Purging what waits in a queue: every task of it is CANCELLED, and can be replayed. First it is counted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.database import Session
from app.models import UNCLAIMED, Status, Task
from app.services import lifecycle

TASKS = Task.metadata.tables["tasks"]
BATCH = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class PurgeFilter:
    """Which waiting tasks of a queue; `created_before` is fixed by the dry run: what comes later was not counted."""

    queue: str
    created_before: datetime
    types: Sequence[str] = ()
    statuses: Sequence[str] = ()

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """As SQL; the index of what is unfinished serves them."""
        conditions: list[sa.ColumnElement[bool]] = [
            TASKS.c.due_at.is_not(None),
            TASKS.c.queue == self.queue,
            TASKS.c.created_at < self.created_before,
            TASKS.c.status.in_(sorted(self.statuses or [status.value for status in UNCLAIMED])),
        ]
        if self.types:
            conditions.append(TASKS.c.type.in_(sorted(self.types)))
        return conditions


def count(session: Session, criteria: PurgeFilter) -> dict[str, int]:
    """How many match, by status."""
    query = sa.select(TASKS.c.status, sa.func.count()).where(*criteria.conditions()).group_by(TASKS.c.status)
    rows: Any = session.execute(query).all()
    return {Status(status).value: tasks for status, tasks in rows}


def purge_batch(session: Session, criteria: PurgeFilter, *, by: str, now: datetime) -> int:
    """Cancel the next few hundred; returns how many, 0 when all are done. A transaction for each batch."""
    while True:
        ids = list(session.scalars(sa.select(TASKS.c.id).where(*criteria.conditions()).limit(BATCH)))
        if not ids:
            return 0
        # A worker may have claimed all of them meanwhile: then the next ones are looked at.
        if cancelled := lifecycle.cancel(session, ids, reason=f"purged from {criteria.queue} by {by}", now=now):
            return len(cancelled)
