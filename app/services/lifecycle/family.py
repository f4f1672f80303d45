"""Children that a durable handler waits for: noting that they have ended, and letting the next ones start.

Whoever ends a child never touches its parent: a trigger leaves a wake-up, and the duty that takes it locks the parent.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.services.lifecycle import transitions
from app.services.lifecycle.statements import update
from app.services.lifecycle.waiting import replay
from app.services.lifecycle.waits import Waits

_RECORD_ENDED = sa.text("""
    WITH open AS (
        SELECT name, child_id
        FROM task_steps
        WHERE task_id = :id AND child_id IS NOT NULL AND ended_at IS NULL AND state = 'BEGUN'
    )
    UPDATE task_steps
    SET state = CASE child.status WHEN 'COMPLETED' THEN 'DONE' ELSE 'FAILED' END,
        ended_at = coalesce(child.finished_at, :now),
        error = CASE
            WHEN child.id IS NULL THEN jsonb_build_object('type', 'TaskDeleted', 'message', 'its row was deleted')
            WHEN child.status = 'FAILED' THEN jsonb_build_object(
                'type', child.error ->> 'type', 'message', left(child.error ->> 'message', 2000)
            )
            WHEN child.status = 'CANCELLED' THEN jsonb_build_object(
                'type', 'Cancelled', 'message', coalesce(child.reason, 'it was cancelled')
            ) END
    FROM open LEFT JOIN tasks AS child ON child.id = open.child_id
    WHERE task_steps.task_id = :id AND task_steps.name = open.name
        AND (child.id IS NULL OR child.finished_at IS NOT NULL)
""")
_UNDER_WAY = sa.text("""
    SELECT count(*)
    FROM task_steps
    WHERE task_id = :id AND child_id IS NOT NULL AND ended_at IS NULL AND released_at IS NOT NULL
        AND starts_with(name, :prefix)
""")
_NEXT = sa.text("""
    SELECT name, child_id, state
    FROM task_steps
    WHERE task_id = :id AND child_id IS NOT NULL AND ended_at IS NULL AND released_at IS NULL
        AND (name = ANY(CAST(:names AS text[])) OR starts_with(name, :prefix))
    ORDER BY seq
    LIMIT :limit
""")
_RELEASE = update(
    transitions.RELEASED,
    "dispatched_at = NULL, due_at = :now",
    "id = ANY(CAST(:ids AS uuid[])) AND parent_id = :parent_id AND (scheduled_at IS NULL OR scheduled_at <= :now)",
)
# Those that are to start later than now wait for that, as any task does.
_RELEASE_LATER = sa.text("""
    UPDATE tasks
    SET due_at = scheduled_at
    WHERE id = ANY(CAST(:ids AS uuid[])) AND parent_id = :parent_id AND status = 'SCHEDULED' AND scheduled_at > :now
""")
_NOTE_RELEASED = sa.text("""
    UPDATE task_steps
    SET released_at = :now, state = 'BEGUN'
    WHERE task_id = :id AND name = ANY(CAST(:names AS text[]))
""")


def record_ended(session: Session, task_id: UUID, *, now: datetime) -> None:
    """Note with the steps of a task, whose row is locked, which of its children have ended, and how."""
    session.execute(_RECORD_ENDED, {"id": task_id, "now": now})


def release_next(session: Session, task_id: UUID, waits: Waits, *, now: datetime) -> int:
    """Let the next items of a group start, as many as may be under way; returns how many. The parent is locked."""
    prefix, limit = f"{waits.step}[", None
    if waits.max_parallel is not None:
        under_way = session.scalar(_UNDER_WAY, {"id": task_id, "prefix": prefix}) or 0
        limit = max(0, waits.max_parallel - under_way)
        if not limit:
            return 0
    rows = session.execute(_NEXT, {"id": task_id, "names": [], "prefix": prefix, "limit": limit}).all()
    return _release(session, task_id, rows, now)


def release_steps(session: Session, task_id: UUID, names: list[str], *, now: datetime) -> int:
    """Let the children of these steps start that nobody has released yet; returns how many. The parent is locked."""
    rows = session.execute(_NEXT, {"id": task_id, "names": names, "prefix": "[", "limit": None}).all()
    return _release(session, task_id, rows, now)


def _release(session: Session, task_id: UUID, steps: Sequence[Any], now: datetime) -> int:
    if not steps:
        return 0
    parked = [each.child_id for each in steps if each.state == "BEGUN"]
    failed = [each.child_id for each in steps if each.state == "FAILED"]  # by an earlier life of the parent
    if parked:
        values = {"ids": parked, "parent_id": task_id, "now": now}
        session.execute(_RELEASE_LATER, values)
        session.execute(_RELEASE, values)
    if failed:
        replay(session, failed, parent_id=task_id, now=now)
    session.execute(_NOTE_RELEASED, {"id": task_id, "names": [each.name for each in steps], "now": now})
    return len(steps)
