"""Undoing what a durable task has done, by a task of the type `undo`: when it has failed or was cancelled."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from msgspec.structs import replace

from app.database import Session, from_json
from app.models import Status
from app.services import submission
from app.services.submission import Submission
from taskledger_sdk.errors import NotDeterministic
from taskledger_sdk.registry import STOP, find_type

UNDO = "undo"
STEP = "#undo"

_IS_LEFT = sa.text("""
    SELECT EXISTS (
        SELECT FROM task_steps WHERE task_id = :id AND undo IS NOT NULL AND state IN ('BEGUN', 'DONE')
    ) AND NOT EXISTS (SELECT FROM task_steps WHERE task_id = :id AND name = :step)
""")
_STEP = sa.text("""
    INSERT INTO task_steps (task_id, name, seq, kind, state, child_id, released_at)
    VALUES (:id, :step, 0, 'call', 'BEGUN', :child_id, :now)
""")
_REMEMBER = sa.text("INSERT INTO task_children (parent_id, child_id, type) VALUES (:id, :child_id, :type)")
_LEFT = sa.text("""
    SELECT s.name, s.undo::text AS undo, coalesce(s.result, child.result)::text AS result, s.child_id, t.type
    FROM tasks AS t
    JOIN task_steps AS s ON s.task_id = t.id
    LEFT JOIN tasks AS child ON child.id = s.child_id AND s.state = 'DONE'
    WHERE t.id = :id AND t.status IN ('FAILED', 'CANCELLED') AND s.undo IS NOT NULL AND s.state IN ('BEGUN', 'DONE')
    ORDER BY s.ended_at DESC NULLS FIRST, s.seq DESC
""")
_STATUS = sa.text("""
    SELECT status
    FROM tasks
    WHERE id = :id
        AND EXISTS (SELECT FROM task_steps WHERE task_id = :id AND name = :step AND child_id = :undone_by)
""")
_NOTE_UNDONE = sa.text("UPDATE task_steps SET state = 'UNDONE' WHERE task_id = :id AND name = :name")


@dataclass(frozen=True, kw_only=True, slots=True)
class StepLeft:
    """A step that is to be undone; `undo` and `result` as their row has them. `child_id`: the result is that task's."""

    name: str
    undo: Any
    result: Any
    child_id: UUID | None


def is_wanted(session: Session, task: Any) -> bool:
    """Whether what a task has done is to be undone; `task` has its id, type, status and error_type.

    Nothing is undone because of a handler that does not fit what the task remembers: another one may go on with it.
    """
    if task.status == Status.FAILED and task.error_type == NotDeterministic.__name__:
        return False
    kind = find_type(task.type)
    if kind is not None and kind.on_failure == STOP:
        return False
    return bool(session.scalar(_IS_LEFT, {"id": task.id, "step": STEP}))


def start(session: Session, task: Any, *, now: datetime) -> UUID:
    """Submit the task that undoes what another, whose row is locked, has done; its id."""
    wanted = Submission(type=UNDO, payload={"task_id": str(task.id)}, name=f"undo {task.type}"[:200])
    draft = submission.draft_unchecked(wanted, owner_id=task.owner_id, now=now)
    session.execute(_STEP, {"id": task.id, "step": STEP, "child_id": draft.id, "now": now})
    session.execute(_REMEMBER, {"id": task.id, "child_id": draft.id, "type": UNDO})
    submission.store(session, [replace(draft, parent_id=task.id, step=STEP)])
    return draft.id


def left(session: Session, task_id: UUID) -> list[StepLeft]:
    """What is left to undo of a task that has failed or was cancelled, the last step first."""
    return [
        StepLeft(
            name=row.name,
            undo=from_json(row.undo),
            result=None if row.result is None else from_json(row.result),
            child_id=row.child_id,
        )
        for row in session.execute(_LEFT, {"id": task_id})
    ]


def status_of(session: Session, task_id: UUID, *, undone_by: UUID) -> str | None:
    """The status of a task; None where its row is gone, or another task is the one that undoes it."""
    status: str | None = session.scalar(_STATUS, {"id": task_id, "step": STEP, "undone_by": undone_by})
    return status


def note_undone(session: Session, task_id: UUID, name: str) -> None:
    """A step was taken back."""
    session.execute(_NOTE_UNDONE, {"id": task_id, "name": name})
