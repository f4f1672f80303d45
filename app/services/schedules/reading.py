"""Schedules and their slots as their owners see them."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import NotFound
from app.models import Schedule, ScheduleRecord, ScheduleSlot, SlotRecord
from app.models.page import Page, page_of
from app.services.sql import folding

SCHEDULES, SLOTS = Schedule.metadata.tables["schedules"], ScheduleSlot.metadata.tables["schedule_slots"]

AROUND = timedelta(seconds=1)
NOBODY = UUID(int=0)
"""In an index, in the place of the service itself."""


def read(session: Session, schedule_id: UUID, *, visible_to: UUID | None, lock: bool = False) -> ScheduleRecord:
    """One schedule; `visible_to` None sees everybody's. Raises NotFound, for somebody else's as well."""
    query = sa.select(SCHEDULES).where(SCHEDULES.c.id == schedule_id, *_visible(visible_to))
    row = session.connection().execute(query.with_for_update() if lock else query).mappings().first()
    if row is None:
        raise NotFound(f"There is no schedule {schedule_id}: check the id; it may also have been deleted.")
    return ScheduleRecord.of(row)


def id_of(session: Session, name: str, *, mine: UUID | None, visible_to: UUID | None) -> UUID:
    """The schedule of this name: the caller's own, else the service's, else (for who sees all) the newest.

    `mine`: the caller's account. Raises NotFound.
    """
    if "\0" not in name:  # PostgreSQL cannot even compare with it
        order = (
            SCHEDULES.c.owner_id.is_not_distinct_from(mine).desc(),
            SCHEDULES.c.owner_id.is_(None).desc(),
            SCHEDULES.c.id.desc(),
        )
        query = sa.select(SCHEDULES.c.id).where(SCHEDULES.c.name == name, *_visible(visible_to))
        found: UUID | None = session.connection().scalar(query.order_by(*order).limit(1))
        if found is not None:
            return found
    raise NotFound(f"There is no schedule called {name[:200]!r}, or it is not yours.")


def of_name(session: Session, name: str, *, owner_id: UUID | None) -> ScheduleRecord | None:
    """An account's schedule of this name; None where it has none."""
    query = sa.select(SCHEDULES).where(_owned_by(owner_id), SCHEDULES.c.name == name)
    row = session.connection().execute(query).mappings().first()
    return None if row is None else ScheduleRecord.of(row)


def find(
    session: Session,
    *,
    visible_to: UUID | None,
    enabled: bool | None,
    text: str | None,
    before: UUID | None,
    limit: int,
) -> Page[ScheduleRecord]:
    """A page of the schedules older than `before`, newest first."""
    query = sa.select(SCHEDULES).where(*_visible(visible_to)).order_by(SCHEDULES.c.id.desc()).limit(limit + 1)
    if enabled is not None:
        query = query.where(SCHEDULES.c.enabled == enabled)
    if text:
        target = SCHEDULES.c.target
        named = (target["task"]["type"].astext, target["workflow"]["name"].astext)
        places = (SCHEDULES.c.name, SCHEDULES.c.cron, *named)
        query = query.where(folding.holds(session, text, places))
    if before is not None:
        query = query.where(SCHEDULES.c.id < before)
    records = [ScheduleRecord.of(row) for row in session.connection().execute(query).mappings()]
    return page_of(records, limit)


def soonest(session: Session, *, visible_to: UUID | None, limit: int) -> list[ScheduleRecord]:
    """The schedules whose next slots come first."""
    query = sa.select(SCHEDULES).where(SCHEDULES.c.next_at.is_not(None), *_visible(visible_to))
    rows = session.connection().execute(query.order_by(SCHEDULES.c.next_at).limit(limit)).mappings()
    return [ScheduleRecord.of(row) for row in rows]


def slots(
    session: Session, schedule_id: UUID, *, state: str | None, before: datetime | None, limit: int
) -> Page[SlotRecord]:
    """A page of slots, newest first; `next` is the moment of a slot."""
    query = sa.select(SLOTS).where(SLOTS.c.schedule_id == schedule_id).order_by(SLOTS.c.slot_at.desc()).limit(limit + 1)
    if state is not None:
        query = query.where(SLOTS.c.state == state)
    if before is not None:
        query = query.where(SLOTS.c.slot_at < before)
    records = [SlotRecord(**row) for row in session.connection().execute(query).mappings()]
    return page_of(records, limit, lambda slot: slot.slot_at)


def of_task(session: Session, task_id: UUID, created_at: datetime) -> tuple[UUID, datetime] | None:
    """The schedule and the slot that a task was made for; None where none is known.

    A slot is recorded in the transaction that makes its task, and its moment is indexed where the task is not.
    """
    query = sa.select(SLOTS.c.schedule_id, SLOTS.c.slot_at).where(
        SLOTS.c.recorded_at.between(created_at - AROUND, created_at + AROUND), SLOTS.c.task_id == task_id
    )
    row = session.connection().execute(query.limit(1)).first()
    return None if row is None else (row.schedule_id, row.slot_at)


def _owned_by(owner_id: UUID | None) -> sa.ColumnElement[bool]:
    """As the unique index has it."""
    return sa.func.coalesce(SCHEDULES.c.owner_id, sa.literal(NOBODY, sa.Uuid)) == (owner_id or NOBODY)


def _visible(visible_to: UUID | None) -> list[sa.ColumnElement[Any]]:
    return [] if visible_to is None else [SCHEDULES.c.owner_id == visible_to]
