"""Cancelling a task, with a truthful answer."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import Conflict
from app.models import Status, TaskRecord
from app.services import lifecycle
from app.services.tasks.records import read

_LOCK = sa.text("SELECT id FROM tasks WHERE id = :id FOR UPDATE")


@dataclass(frozen=True, kw_only=True)
class Cancellation:
    """What was found: the task as it is now, and whether it, or its children, still have to be stopped."""

    task: TaskRecord
    is_stopping: bool


def cancel(session: Session, task_id: UUID, *, owner: UUID | None, by: str | None, now: datetime) -> Cancellation:
    """Cancel a waiting task, or ask a running one to stop. Raises NotFound, or Conflict for one that has ended.

    A task that is CANCELLED already is answered as it is.
    """
    read(session, task_id, owner=owner)
    session.execute(_LOCK, {"id": task_id})  # from here on nobody claims it, gives it back or ends it
    reason = f"cancelled by {by}" if by else "cancelled"
    waited = lifecycle.cancel(session, [task_id], reason=reason, now=now)
    if not waited:
        lifecycle.ask_to_stop(session, [task_id], now=now)
    task = read(session, task_id, owner=owner)
    if task.status in (Status.COMPLETED, Status.FAILED):
        raise Conflict(f"The task is {task.status} already; what has ended cannot be cancelled.")
    return Cancellation(task=task, is_stopping=task.status in (Status.PROCESSING, Status.WAITING))
