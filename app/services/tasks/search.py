"""Lists of tasks for people: light rows, filters of any kind, and never more than so many rows looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import FINISHED, Status
from app.services.tasks.records import TASKS, Filter, belonging_to, conditions

MAX_LOOKED_AT = 20_000
ENDED_BADLY = frozenset({Status.FAILED, Status.CANCELLED})


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskLine:
    """What a list shows of a task: without payload and result, which may be large."""

    id: UUID
    type: str
    name: str | None
    status: str
    reason: str | None
    priority: str
    attempt: int
    max_retries: int
    owner_id: UUID | None
    labels: dict[str, Any]
    progress: dict[str, Any] | None
    created_at: datetime
    scheduled_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    due_at: datetime | None
    error_message: str | None
    signal: str | None
    """The signal that it waits for now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A page of tasks, newest first. `next_before` leads on; `is_partial`: it leads to rows not looked at yet."""

    items: Sequence[TaskLine]
    next_before: UUID | None
    is_partial: bool


_COLUMNS = [
    *(TASKS.c[name] for name in TaskLine.__slots__ if name not in ("error_message", "signal")),
    TASKS.c.error["message"].astext.label("error_message"),
    TASKS.c.waits_for["signal"].astext.label("signal"),
]


def search(session: Session, criteria: Filter, *, owner: UUID | None, before: UUID | None, limit: int) -> Found:
    """The newest tasks that match, of those older than `before`.

    A filter that no index serves is tried on the next MAX_LOOKED_AT tasks only, so that a page always comes soon.
    """
    within: list[sa.ColumnElement[bool]] = []
    if owner is not None:
        within += belonging_to(owner, types=criteria.types)
    if before is not None:
        within.append(TASKS.c.id < before)
    floor = None if is_served(criteria) else _floor(session, within)
    if floor is not None:
        within.append(TASKS.c.id >= floor)
    query = (
        sa.select(*_COLUMNS).where(*conditions(session, criteria), *within).order_by(TASKS.c.id.desc()).limit(limit + 1)
    )
    lines = [TaskLine(**row) for row in session.connection().execute(query).mappings()]
    if len(lines) > limit:
        return Found(items=lines[:limit], next_before=lines[limit - 1].id, is_partial=False)
    return Found(items=lines, next_before=floor, is_partial=floor is not None)


def is_served(criteria: Filter) -> bool:
    """Whether an index leads to what the filter names, or nearly all tasks match it. Pure."""
    if criteria.text or criteria.labels:
        return False
    statuses = set(criteria.statuses)
    if statuses and (statuses <= ENDED_BADLY or not statuses & FINISHED):
        return True
    return not statuses and not criteria.types and criteria.created_after is None and criteria.created_before is None


def _floor(session: Session, within: Sequence[sa.ColumnElement[bool]]) -> UUID | None:
    query = sa.select(TASKS.c.id).where(*within).order_by(TASKS.c.id.desc()).offset(MAX_LOOKED_AT - 1).limit(1)
    return session.connection().scalar(query)
