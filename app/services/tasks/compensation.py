"""Compensation: what a completed task did is taken back by one other task, however often that is asked for.

One protocol for whoever compensates. `standing` locks the task and says whether another one compensates it; `assign`
makes a task the one that does; `complete` notes, in the transaction that records its outcome, that it is done.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import Conflict, NotFound
from app.models import Json, Status, TaskRecord
from app.services.accounts.allowance import ANYTHING, Allowance
from app.services.submission import Submission, accept
from app.services.tasks import records as task_service
from taskledger_sdk.registry import find_type

COMPENSATION = "compensation"
NO_LONGER = (Status.FAILED, Status.CANCELLED)  # a compensation that ended so may be followed by another


@dataclass(frozen=True, kw_only=True, slots=True)
class Assigned:
    """Which task compensates (or has compensated) another; `status` is None when that task has been deleted."""

    compensation_id: UUID
    status: str | None
    is_done: bool

    @property
    def stands(self) -> bool:
        """Whether no other task may compensate it."""
        return self.is_done or (self.status is not None and self.status not in NO_LONGER)


_ASSIGNED = """
    SELECT compensations.compensation_id, tasks.status, compensations.done_at IS NOT NULL AS is_done
    FROM compensations
    LEFT JOIN tasks ON tasks.id = compensations.compensation_id
    WHERE compensations.task_id = :task_id
"""
_FIND = sa.text(_ASSIGNED)
_LOCK_ASSIGNED = sa.text(f"{_ASSIGNED} FOR UPDATE OF compensations")
_ASSIGN = sa.text("""
    INSERT INTO compensations (task_id, compensation_id, requested_at)
    VALUES (:task_id, :by, :now)
    ON CONFLICT (task_id) DO UPDATE SET compensation_id = :by
""")
_COMPLETE = sa.text("""
    UPDATE compensations
    SET done_at = :now
    WHERE task_id = :task_id AND compensation_id = :by AND done_at IS NULL
""")
_LOCK_TASK = sa.text("SELECT id FROM tasks WHERE id = :task_id FOR UPDATE")


def request(
    session: Session,
    task_id: UUID,
    *,
    owner: UUID | None,
    reason: str,
    now: datetime,
    allowance: Allowance = ANYTHING,
) -> tuple[TaskRecord, bool]:
    """Submit the task that compensates another, or find the one that does; and whether it is new.

    It belongs to the owner of the task that it compensates, and needs no room in a quota: what was done may have to be
    taken back, however much waits. Raises NotFound, TypeNotAllowed, or Conflict for a task that is not COMPLETED,
    cannot be compensated, or was compensated by a task that has been deleted.
    """
    task = task_service.read(session, task_id, owner=owner)
    allowance.check_types([task.type])
    other = standing(session, task_id)  # of two requests, the second finds what the first submitted
    check_compensable(task)
    if other is not None and other.stands:
        return _task_of(session, other), False
    payload: Json = {"task_id": str(task_id), "reason": reason}
    submission = Submission(type=COMPENSATION, payload=payload)
    compensating = accept(session, submission, owner_id=task.owner_id, now=now).task
    assign(session, task_id, by=compensating.id, now=now)
    return compensating, True


def find(session: Session, task_id: UUID) -> Assigned | None:
    """Which task compensates a task; None when none was asked for."""
    return _read(session, _FIND, task_id)


def standing(session: Session, task_id: UUID) -> Assigned | None:
    """The same, and until the transaction ends nobody else assigns another one."""
    session.execute(_LOCK_TASK, {"task_id": task_id})
    return _read(session, _LOCK_ASSIGNED, task_id)


def assign(session: Session, task_id: UUID, *, by: UUID, now: datetime) -> None:
    """From now on task `by` compensates it; the caller has asked for the one that is standing."""
    session.execute(_ASSIGN, {"task_id": task_id, "by": by, "now": now})


def begin(session: Session, task_id: UUID, *, by: UUID, now: datetime) -> UUID:
    """Let task `by` compensate another, unless a second one does already; returns the id of the one that does."""
    other = standing(session, task_id)
    if other is not None and other.compensation_id == by:
        return by
    if other is not None and other.stands:
        return other.compensation_id
    assign(session, task_id, by=by, now=now)
    return by


def complete(session: Session, task_id: UUID, *, by: UUID, now: datetime) -> None:
    """Note that `by` has compensated it; from now on no other task may, whatever becomes of this one's row."""
    session.execute(_COMPLETE, {"task_id": task_id, "by": by, "now": now})


def check_compensable(task: TaskRecord) -> None:
    """Raises Conflict for a task that is not COMPLETED, or whose type has no undo."""
    if task.status != Status.COMPLETED:
        raise Conflict(f"Task {task.id} is {task.status}: only a COMPLETED task can be undone.")
    task_type = find_type(task.type)
    if task_type is None:
        raise Conflict(f"Task {task.id} is of type {task.type}, which this service no longer has.")
    if not task_type.compensable:
        raise Conflict(f"A {task.type} cannot be undone: its type declares no undo.")


def _read(session: Session, query: sa.TextClause, task_id: UUID) -> Assigned | None:
    row: Any = session.execute(query, {"task_id": task_id}).mappings().one_or_none()
    return None if row is None else Assigned(**row)


def _task_of(session: Session, assigned: Assigned) -> TaskRecord:
    try:
        return task_service.read(session, assigned.compensation_id, owner=None)
    except NotFound:
        raise Conflict(f"It was undone by task {assigned.compensation_id}, which has been deleted since.") from None
