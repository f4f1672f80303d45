"""One cause of dead letters: since when, how often, of which types, on which workers and releases, and an example."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import NotFound
from app.models import TaskRecord
from app.services.tasks.dead_letters import TASKS, DeadLetterFilter
from app.services.tasks.records import belonging_to, read

HOURS = 24
LOOKED_AT = 200
"""So many of the newest are asked for the workers on which they failed."""
# Between the newest tasks and their history: a task's last failure, which is in the partition of its day or beside it.
_WORKERS = sa.text("""
    SELECT e.worker, w.version AS release, count(*) AS count
    FROM tasks AS t
    CROSS JOIN LATERAL (
        SELECT worker
        FROM task_events
        WHERE task_id = t.id
            AND at BETWEEN t.finished_at - interval '1 day' AND t.finished_at + interval '1 day'
            AND status = 'FAILED'
            AND previous_status = 'PROCESSING'
        ORDER BY id DESC
        LIMIT 1
    ) AS e
    LEFT JOIN workers AS w ON w.id = e.worker
    WHERE t.id = ANY(CAST(:ids AS uuid[])) AND e.worker IS NOT NULL
    GROUP BY 1, 2
    ORDER BY 3 DESC, 1
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerShare:
    """How many of the newest failed on a worker; `release` None: it is not known any more."""

    worker: str
    release: str | None
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HourCount:
    """How many failed in the hour that begins then."""

    at: datetime
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupDetails:
    """A cause. `workers` and `releases` are those of the `looked_at` newest; hours without failures are nought."""

    fingerprint: str
    count: int
    types: Mapping[str, int]
    first_at: datetime
    last_at: datetime
    hours: Sequence[HourCount]
    workers: Sequence[WorkerShare]
    releases: Mapping[str, int]
    looked_at: int
    example: TaskRecord

    @property
    def last_hour(self) -> int:
        """How many failed in the last sixty minutes."""
        return self.hours[-1].count

    @property
    def last_day(self) -> int:
        """How many failed in the last 24 hours."""
        return sum(hour.count for hour in self.hours)


def read_group(session: Session, fingerprint: str, *, owner: UUID | None, now: datetime) -> GroupDetails:
    """The dead letters with a fingerprint, whatever their types; `owner` None: everybody's. Raises NotFound."""
    conditions = DeadLetterFilter(fingerprint=fingerprint).conditions()
    if owner is not None:
        conditions += belonging_to(owner)
    first, last = sa.func.min(TASKS.c.finished_at), sa.func.max(TASKS.c.finished_at)
    columns = (TASKS.c.type, sa.func.count().label("tasks"), first.label("first_at"), last.label("last_at"))
    rows = session.execute(
        sa.select(*columns).where(*conditions).group_by(TASKS.c.type).order_by(sa.desc("tasks"))
    ).all()
    newest = list(
        session.scalars(sa.select(TASKS.c.id).where(*conditions).order_by(TASKS.c.finished_at.desc()).limit(LOOKED_AT))
    )
    if not rows or not newest:
        raise NotFound(f"There is no dead letter with the fingerprint {fingerprint}: they may all have been replayed.")
    workers = [WorkerShare(**row) for row in session.execute(_WORKERS, {"ids": newest}).mappings()]
    releases: Counter[str] = Counter()
    for each in workers:
        releases[each.release or "not known"] += each.count
    return GroupDetails(
        fingerprint=fingerprint,
        count=sum(row.tasks for row in rows),
        types={row.type: row.tasks for row in rows},
        first_at=min(row.first_at for row in rows),
        last_at=max(row.last_at for row in rows),
        hours=_hours(session, conditions, now),
        workers=workers,
        releases=dict(releases.most_common()),
        looked_at=len(newest),
        example=read(session, newest[0], owner=owner),
    )


def _hours(session: Session, conditions: Sequence[sa.ColumnElement[bool]], now: datetime) -> list[HourCount]:
    begin = now - timedelta(hours=HOURS)
    hour: Any = sa.func.floor(sa.extract("epoch", TASKS.c.finished_at - begin) / 3_600)
    rows = session.execute(
        sa.select(hour.label("hour"), sa.func.count().label("tasks"))
        .where(*conditions, TASKS.c.finished_at >= begin)
        .group_by(sa.text("1"))
    )
    counts: Counter[int] = Counter()
    for row in rows:
        counts[min(int(row.hour), HOURS - 1)] += row.tasks
    return [HourCount(at=begin + timedelta(hours=number), count=counts[number]) for number in range(HOURS)]
