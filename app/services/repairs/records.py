"""Repairs as their callers see them: reading, listing, their tasks, and their course over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import NotFound
from app.models import Repair, RepairItem, RepairItemRecord, RepairRecord
from app.models.page import Page, page_of
from app.models.repair import REPAIR_COLUMNS

REPAIRS, ITEMS = Repair.metadata.tables["repairs"], RepairItem.metadata.tables["repair_items"]
RATE_SECONDS = 10
_READ = sa.select(*REPAIR_COLUMNS)
_RATE = sa.text("""
    SELECT count(*)
    FROM repair_items
    WHERE repair_id = :id AND replayed_at >= :since
""")
_COURSE = sa.text("""
    WITH moments AS (
        SELECT replayed_at AS at, 'replayed' AS what FROM repair_items
        WHERE repair_id = :id AND replayed_at IS NOT NULL
        UNION ALL
        SELECT ended_at, outcome FROM repair_items
        WHERE repair_id = :id AND outcome IN ('well', 'failed')
    ), bounds AS (
        SELECT min(at) AS first_at, greatest(1, ceil(extract(epoch FROM max(at) - min(at)) / :buckets)) AS seconds
        FROM moments
    )
    SELECT first_at + make_interval(secs => seconds * bucket) AS at, seconds,
        count(*) FILTER (WHERE what = 'replayed') AS replayed,
        count(*) FILTER (WHERE what = 'well') AS well,
        count(*) FILTER (WHERE what = 'failed') AS failed
    FROM bounds, LATERAL (
        SELECT what, floor(extract(epoch FROM at - first_at) / seconds) AS bucket FROM moments
    ) AS placed
    GROUP BY 1, 2
    ORDER BY 1
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class CoursePoint:
    """What happened in so many seconds from a moment on."""

    at: datetime
    seconds: float
    replayed: int
    well: int
    failed: int


def read(session: Session, repair_id: UUID, *, visible_to: UUID | None) -> RepairRecord:
    """One repair. `visible_to`, here and below: who asks; None is everybody's. Raises NotFound."""
    row = session.execute(_READ.where(REPAIRS.c.id == repair_id)).mappings().first()
    # Somebody else's repair is answered like one that does not exist, so that ids tell nothing.
    if row is None or not _is_visible(row, visible_to):
        raise NotFound(f"There is no repair {repair_id}: check the id; it may also be too old to be kept.")
    return RepairRecord.of(row)


def _is_visible(row: Any, visible_to: UUID | None) -> bool:
    """An account sees what it has started over its own tasks: of everybody's, only admins may know."""
    return visible_to is None or (row["owner_id"] == visible_to and row["visible_to"] == visible_to)


def lock(session: Session, repair_id: UUID, *, visible_to: UUID | None) -> RepairRecord:
    """The same, locked until the transaction ends: before any task. Raises NotFound."""
    session.execute(sa.select(REPAIRS.c.id).where(REPAIRS.c.id == repair_id).with_for_update())
    return read(session, repair_id, visible_to=visible_to)


def find(
    session: Session, *, visible_to: UUID | None, statuses: Sequence[str] = (), before: UUID | None, limit: int
) -> Page[RepairRecord]:
    """A page of repairs, newest first."""
    query = _READ.order_by(REPAIRS.c.id.desc()).limit(limit + 1)
    if visible_to is not None:
        query = query.where(REPAIRS.c.owner_id == visible_to, REPAIRS.c.visible_to == visible_to)
    if statuses:
        query = query.where(REPAIRS.c.status.in_(sorted(statuses)))
    if before is not None:
        query = query.where(REPAIRS.c.id < before)
    return page_of([RepairRecord.of(row) for row in session.execute(query).mappings()], limit)


def items(
    session: Session, repair: RepairRecord, *, outcomes: Sequence[str] = (), after: UUID | None, limit: int
) -> Page[RepairItemRecord]:
    """A page of the tasks of a repair, in the order in which it takes them."""
    columns = [ITEMS.c[name] for name in RepairItemRecord.__slots__]
    query = sa.select(*columns).where(ITEMS.c.repair_id == repair.id).order_by(ITEMS.c.task_id).limit(limit + 1)
    if outcomes:
        query = query.where(ITEMS.c.outcome.in_(sorted(outcomes)))
    if after is not None:
        query = query.where(ITEMS.c.task_id > after)
    found = [RepairItemRecord(**row) for row in session.execute(query).mappings()]
    return page_of(found, limit, key=lambda item: item.task_id)


def rate(session: Session, repair: RepairRecord, *, now: datetime) -> float:
    """How many tasks a second it has replayed in the last RATE_SECONDS."""
    if not repair.is_active:
        return 0.0
    since = now - timedelta(seconds=RATE_SECONDS)
    seconds = min(float(RATE_SECONDS), max(1.0, (now - repair.created_at).total_seconds()))
    return (session.scalar(_RATE, {"id": repair.id, "since": since}) or 0) / seconds


def course(session: Session, repair: RepairRecord, *, buckets: int = 120) -> list[CoursePoint]:
    """How it went so far, in up to so many stretches of equal length; those in which nothing happened are left out."""
    rows = session.execute(_COURSE, {"id": repair.id, "buckets": buckets}).mappings()
    return [CoursePoint(**{**row, "seconds": float(row["seconds"])}) for row in rows]
