"""Tasks on hold: PENDING without a hint, for one of three reasons. Beside it, only schema_holds puts tasks on hold.

The state is in columns: PENDING, no `dispatched_at`, and either `gated` (admission decides when it goes) or the reason
TYPE_PAUSED, or one that begins with OTHER_SCHEMA (schema_holds.py). For the first two, `due_at` is the moment at which
the dispatcher would look at it by itself, which is never: whoever ends the hold makes it due.
docs/decisions/0028-on-hold-is-a-reason-not-a-moment.md says why that moment stays a date.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import Status, TaskRecord
from app.services.lifecycle.schema_holds import OTHER_SCHEMA

NEVER = datetime.fromisoformat("9999-01-01T00:00:00+00:00")
"""Behind all that is due in the index on `due_at`. When a task on hold expires, a trigger makes it due then."""
TYPE_PAUSED = "held: its type is paused"
"""In `tasks.reason`. The version before compares it, too."""


class OnHold(StrEnum):
    """Why a waiting task has no hint, and nobody will publish one by itself."""

    TYPE_PAUSED = "type_paused"
    OTHER_SCHEMA = "other_schema"
    ADMISSION = "admission"


def on_hold(task: TaskRecord) -> OnHold | None:
    """Why the task is on hold; None for one that is not. Pure."""
    if task.status != Status.PENDING or task.dispatched_at is not None:
        return None
    if task.reason is not None and task.reason.startswith(OTHER_SCHEMA):
        return OnHold.OTHER_SCHEMA
    if task.admission_required:
        return OnHold.ADMISSION
    return OnHold.TYPE_PAUSED if task.reason == TYPE_PAUSED else None


_HOLD_PAUSED = sa.text("""
    WITH locked AS (
        SELECT id
        FROM tasks
        WHERE id = ANY(CAST(:ids AS uuid[]))
            AND status = 'PENDING'
            AND EXISTS (SELECT FROM pauses WHERE kind = 'type' AND name = tasks.type AND resumed_at IS NULL)
        ORDER BY id
        FOR UPDATE
    )
    UPDATE tasks
    SET dispatched_at = NULL, due_at = :never, reason = :reason
    FROM locked
    WHERE tasks.id = locked.id
    RETURNING tasks.id
""")


def hold_paused(session: Session, ids: Sequence[UUID]) -> set[UUID]:
    """Put those of the tasks on hold whose type is paused; returns them."""
    return set(session.scalars(_HOLD_PAUSED, {"ids": list(ids), "never": NEVER, "reason": TYPE_PAUSED}))


# `due_at > :now` says nothing new; the partial index needs to be told.
_RELEASE = sa.text("""
    WITH resumed AS (
        SELECT id
        FROM tasks
        WHERE due_at > :now
            AND status = 'PENDING'
            AND dispatched_at IS NULL
            AND reason = :reason
            AND NOT gated
            AND NOT EXISTS (SELECT FROM pauses WHERE kind = 'type' AND name = tasks.type AND resumed_at IS NULL)
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    )
    UPDATE tasks
    SET due_at = :now, reason = NULL
    FROM resumed
    WHERE tasks.id = resumed.id
    RETURNING tasks.id
""")


def release_resumed(session: Session, *, now: datetime, limit: int) -> int:
    """Make tasks due whose type was paused and is not any more; returns how many, 0 when there are no more."""
    return len(session.execute(_RELEASE, {"reason": TYPE_PAUSED, "now": now, "limit": limit}).all())


# A hint that is out already is a no-op from now on. A trigger enters them in `admissions`.
_REQUIRE_ADMISSION = sa.text(f"""
    UPDATE tasks
    SET gated = true, dispatched_at = CASE WHEN status = 'PENDING' THEN NULL ELSE dispatched_at END,
        due_at = CASE
            WHEN status <> 'PENDING' OR (dispatched_at IS NULL AND starts_with(reason, '{OTHER_SCHEMA}')) THEN due_at
            ELSE CAST(:never AS timestamptz) END
    WHERE id = ANY(CAST(:ids AS uuid[])) AND due_at IS NOT NULL
""")


def require_admission(session: Session, ids: Sequence[UUID]) -> None:
    """Let these unfinished tasks, which the caller has locked, start only when they are admitted.

    Those that wait for a worker are on hold from now on; those that run are counted.
    """
    session.execute(_REQUIRE_ADMISSION, {"ids": list(ids), "never": NEVER})
