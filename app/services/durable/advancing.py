"""What follows when a child of a durable handler has ended, or the task itself has: the duty that takes wake-ups.

It locks the task (or leaves the wake-up to whoever has it locked), deletes its wake-ups, looks, and then wakes it,
cancels it, or has undone what it did.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import Status
from app.services import lifecycle
from app.services.durable import undoing
from app.services.lifecycle import Waits

_WOKEN = sa.text("SELECT DISTINCT task_id FROM workflow_news WHERE task_id IS NOT NULL LIMIT :limit")
_LOCK = sa.text("""
    SELECT id, type, status, owner_id, waits_for, cancel_requested_at, error ->> 'type' AS error_type
    FROM tasks
    WHERE id = :id
    FOR UPDATE SKIP LOCKED
""")
_IS_THERE = sa.text("SELECT EXISTS (SELECT FROM tasks WHERE id = :id)")
_TAKE_NEWS = sa.text("DELETE FROM workflow_news WHERE task_id = :id")
_OPEN_CHILDREN = sa.text("""
    SELECT child_id
    FROM task_steps
    WHERE task_id = :id AND child_id IS NOT NULL AND ended_at IS NULL AND name <> '#undo'
    ORDER BY child_id
""")
_LOCK_TASKS = sa.text("SELECT id FROM tasks WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE")


def woken(session: Session, *, limit: int) -> list[UUID]:
    """Tasks of which a child has ended, or which have ended themselves, and that were not looked at since."""
    return list(session.scalars(_WOKEN, {"limit": limit}))


def advance(session: Session, task_id: UUID, *, now: datetime) -> bool:
    """Look at a task, unless somebody else has it locked, whose turn comes again; whether it was looked at."""
    task = session.execute(_LOCK, {"id": task_id}).first()
    if task is None:
        if not session.scalar(_IS_THERE, {"id": task_id}):
            session.execute(_TAKE_NEWS, {"id": task_id})
        return False
    # First the wake-ups and then what ended: of those that come in between, nobody has seen the cause yet.
    session.execute(_TAKE_NEWS, {"id": task_id})
    lifecycle.record_ended(session, task_id, now=now)
    if task.status == Status.WAITING and task.cancel_requested_at is not None:
        if not _stop_children(session, task_id, now):
            lifecycle.cancel(session, [task_id], reason="cancelled while it waited", now=now)
    elif task.status == Status.WAITING:
        lifecycle.look(session, task_id, Waits.of(task.waits_for), now=now)
    elif task.status in (Status.CANCELLED, Status.FAILED):
        _after_the_end(session, task, now)
    return True


def _after_the_end(session: Session, task: sa.Row[Any], now: datetime) -> None:
    """Stop the children of what was cancelled or is to be undone; it is undone when they have ended."""
    is_wanted = undoing.is_wanted(session, task)
    if not is_wanted and task.status == Status.FAILED:
        return
    if not _stop_children(session, task.id, now) and is_wanted:
        undoing.start(session, task, now=now)


def _stop_children(session: Session, task_id: UUID, now: datetime) -> bool:
    """Cancel the children that have not ended; whether any is still under way."""
    ids = list(session.scalars(_OPEN_CHILDREN, {"id": task_id}))
    if ids:
        session.execute(_LOCK_TASKS, {"ids": ids})  # from here on none of them is claimed, woken or suspended
        cancelled = lifecycle.cancel(session, ids, reason=f"its parent {task_id} was cancelled, or failed", now=now)
        lifecycle.ask_to_stop(session, sorted(set(ids) - cancelled), now=now)
        lifecycle.record_ended(session, task_id, now=now)
        ids = list(session.scalars(_OPEN_CHILDREN, {"id": task_id}))
    return bool(ids)
