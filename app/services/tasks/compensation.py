"""Compensation: a completed task is undone by one other task, however often that is asked for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import Conflict, NotFound
from app.models import Json, Status, TaskRecord
from app.services.accounts.allowance import ANYTHING, Allowance
from app.services.submission import Submission, accept
from app.services.tasks import records as task_service
from taskledger_sdk.registry import find_type

COMPENSATION = "compensation"
NO_LONGER = (Status.FAILED, Status.CANCELLED)  # a compensation that ended so may be followed by another


@dataclass(frozen=True, kw_only=True, slots=True)
class Undoing:
    """Which task undoes (or undid) another; `status` is None when that task has been deleted."""

    compensation_id: UUID
    status: str | None
    is_done: bool

    @property
    def stands(self) -> bool:
        """Whether nobody else may undo the task."""
        return self.is_done or (self.status is not None and self.status not in NO_LONGER)


_UNDOING = """
    SELECT compensations.compensation_id, tasks.status, compensations.done_at IS NOT NULL AS is_done
    FROM compensations
    LEFT JOIN tasks ON tasks.id = compensations.compensation_id
    WHERE compensations.task_id = :task_id
"""
FIND = sa.text(_UNDOING)
UNDOING = sa.text(f"{_UNDOING} FOR UPDATE OF compensations")
TAKE = sa.text("""
    INSERT INTO compensations (task_id, compensation_id, requested_at)
    VALUES (:task_id, :by, :now)
    ON CONFLICT (task_id) DO UPDATE SET compensation_id = :by
""")
DONE = sa.text("UPDATE compensations SET done_at = :now WHERE task_id = :task_id AND compensation_id = :by")
LOCK_TASK = sa.text("SELECT id FROM tasks WHERE id = :task_id FOR UPDATE")


def request(
    session: Session,
    task_id: UUID,
    *,
    owner: UUID | None,
    reason: str,
    now: datetime,
    allowance: Allowance = ANYTHING,
) -> tuple[TaskRecord, bool]:
    """Submit the task that undoes another, or find the one that does; and whether it is new.

    It belongs to the owner of the task it undoes, and needs no room in a quota: what was done may have to be taken
    back, however much waits. Raises NotFound, TypeNotAllowed, or Conflict for a task that is not COMPLETED, cannot
    be undone, or was undone by a task that has been deleted.
    """
    task = task_service.read(session, task_id, owner=owner)
    allowance.check_types([task.type])
    session.execute(LOCK_TASK, {"task_id": task_id})  # of two requests, the second finds what the first submitted
    check_undoable(task)
    undoing = _undoing(session, task_id)
    if undoing is not None and undoing.stands:
        return _standing(session, undoing), False
    payload: Json = {"task_id": str(task_id), "reason": reason}
    wanted = Submission(type=COMPENSATION, payload=payload)
    made = accept(session, wanted, owner_id=task.owner_id, now=now).task
    session.execute(TAKE, {"task_id": task_id, "by": made.id, "now": now})
    return made, True


def standing(session: Session, task_id: UUID) -> Undoing | None:
    """Who undoes a task, if anybody was asked to; nobody else is until the transaction ends."""
    session.execute(LOCK_TASK, {"task_id": task_id})
    return _undoing(session, task_id)


def take(session: Session, task_id: UUID, *, by: UUID, now: datetime) -> None:
    """From now on task `by` undoes it; the caller has asked whether another one stands."""
    session.execute(TAKE, {"task_id": task_id, "by": by, "now": now})


def find(session: Session, task_id: UUID) -> Undoing | None:
    """The task that undoes, or undid, a task; None when there is none."""
    row: Any = session.execute(FIND, {"task_id": task_id}).mappings().one_or_none()
    return None if row is None else Undoing(**row)


def begin(session: Session, task_id: UUID, *, by: UUID, now: datetime) -> UUID:
    """Let task `by` undo another, unless a second one does already; returns the id of the one that does."""
    session.execute(LOCK_TASK, {"task_id": task_id})
    undoing = _undoing(session, task_id)
    if undoing is not None and undoing.compensation_id != by and undoing.stands:
        return undoing.compensation_id
    if undoing is None or undoing.compensation_id != by:
        session.execute(TAKE, {"task_id": task_id, "by": by, "now": now})
    return by


def done(session: Session, task_id: UUID, *, by: UUID, now: datetime) -> None:
    """Note that it is undone; from now on no other task may, whatever becomes of this one's row."""
    session.execute(DONE, {"task_id": task_id, "by": by, "now": now})


def check_undoable(task: TaskRecord) -> None:
    """Raises Conflict for a task that is not COMPLETED, or whose type has no undo."""
    if task.status != Status.COMPLETED:
        raise Conflict(f"Task {task.id} is {task.status}: only a COMPLETED task can be undone.")
    kind = find_type(task.type)
    if kind is None:
        raise Conflict(f"Task {task.id} is of type {task.type}, which this service no longer has.")
    if not kind.compensable:
        raise Conflict(f"A {task.type} cannot be undone: its type declares no undo.")


def _undoing(session: Session, task_id: UUID) -> Undoing | None:
    row: Any = session.execute(UNDOING, {"task_id": task_id}).mappings().one_or_none()
    return None if row is None else Undoing(**row)


def _standing(session: Session, undoing: Undoing) -> TaskRecord:
    try:
        return task_service.read(session, undoing.compensation_id, owner=None)
    except NotFound:
        raise Conflict(f"It was undone by task {undoing.compensation_id}, which has been deleted since.") from None
