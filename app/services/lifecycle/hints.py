"""What a row says of its hint: that one is out or none is, from its beginning on, and when to look at it again."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa
from msgspec.structs import replace

from app.database import Session, use_indexes
from app.models import Status, TaskRecord
from app.services.lifecycle.statements import LOOK_AGAIN


class Beginning(NamedTuple):
    """The columns of a new row that belong to its life cycle."""

    status: str
    due_at: datetime
    dispatched_at: datetime | None


def beginning(scheduled_at: datetime | None, *, now: datetime) -> Beginning:
    """PENDING with a hint that goes out after the commit, or SCHEDULED for a later moment. Pure."""
    if scheduled_at is not None and scheduled_at > now:
        return Beginning(Status.SCHEDULED.value, scheduled_at, None)
    return Beginning(Status.PENDING.value, now + LOOK_AGAIN, now)


def left_to_dispatcher(draft: TaskRecord) -> TaskRecord:
    """The draft without a hint: the dispatcher publishes one in one of its next looks. Pure."""
    return draft if draft.dispatched_at is None else replace(draft, due_at=draft.dispatched_at, dispatched_at=None)


_WITHDRAW = sa.text("""
    WITH locked AS (
        SELECT id
        FROM tasks
        WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'PENDING' AND dispatched_at = :dispatched_at
        ORDER BY id
        FOR UPDATE
    )
    UPDATE tasks
    SET dispatched_at = NULL, due_at = :until
    FROM locked
    WHERE tasks.id = locked.id
""")


def withdraw(session: Session, ids: Sequence[UUID], *, dispatched_at: datetime, until: datetime) -> None:
    """No hint is out for these rows after all; the dispatcher tries again at a later moment."""
    session.execute(_WITHDRAW, {"ids": list(ids), "dispatched_at": dispatched_at, "until": until})


_WITHDRAW_ALL = sa.text(
    "UPDATE tasks SET dispatched_at = NULL, due_at = :now WHERE status = 'PENDING' AND dispatched_at IS NOT NULL"
)


def withdraw_all(session: Session, *, now: datetime) -> int:
    """No hint is out for any row: all are dispatched again. Returns how many there were."""
    return session.connection().execute(_WITHDRAW_ALL, {"now": now}).rowcount


_PUBLISH_AGAIN = sa.text("""
    UPDATE tasks
    SET dispatched_at = :now, due_at = :until, aged = 0
    WHERE id = ANY(CAST(:ids AS uuid[])) AND status = 'PENDING'
""")


def publish_again(session: Session, ids: Sequence[UUID], *, now: datetime) -> None:
    """New hints go out for these rows, which the caller has locked."""
    session.execute(_PUBLISH_AGAIN, {"ids": list(ids), "now": now, "until": now + LOOK_AGAIN})


class NextLook(NamedTuple):
    """When to look again at a row whose hint only waits; `dispatched_at` is what was read of it."""

    id: UUID
    due_at: datetime
    boosts: int
    dispatched_at: datetime


_LOOK_LATER = sa.text("""
    UPDATE tasks
    SET due_at = later.due_at, aged = later.boosts
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:due_at AS timestamptz[]), CAST(:boosts AS smallint[]),
        CAST(:dispatched_at AS timestamptz[])
    ) AS later (id, due_at, boosts, dispatched_at)
    WHERE tasks.id = later.id AND status = 'PENDING' AND tasks.dispatched_at = later.dispatched_at
""")


def look_later(session: Session, looks: Sequence[NextLook]) -> None:
    """Look at these rows again, each at its moment; rows that were dispatched anew meanwhile are left alone."""
    ids, due_at, boosts, dispatched_at = map(list, zip(*looks, strict=True))
    use_indexes(session)
    session.execute(_LOOK_LATER, {"ids": ids, "due_at": due_at, "boosts": boosts, "dispatched_at": dispatched_at})
