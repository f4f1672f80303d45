"""Tasks that wait, and what they remember, as rows."""

import json
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import Status
from tests.support.factories import bring_to, make_task

ANSWER = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "note": {"type": "string", "maxLength": 500}},
    "required": ["approved"],
    "additionalProperties": False,
}
_WAIT = sa.text("UPDATE tasks SET waits_for = CAST(:waits_for AS jsonb) WHERE id = :id")
_STEP = sa.text("""
    INSERT INTO task_steps (task_id, name, seq, kind, state, result, error, child_id, undo, ended_at)
    VALUES (:task_id, :name, :seq, :kind, :state, CAST(:result AS jsonb), CAST(:error AS jsonb), :child_id,
        CAST(:undo AS jsonb), :ended_at)
""")


def make_waiting(
    session: Session, *, signal: str = "approved", waits: dict[str, Any] | None = None, **columns: Any
) -> UUID:
    """A task that waits for a signal, or for what `waits` says; committed."""
    task = make_task(session, **columns)
    bring_to(session, Status.WAITING, task.id)
    waits_for = {"step": signal, "signal": signal} if waits is None else {"step": signal, **waits}
    session.execute(_WAIT, {"id": task.id, "waits_for": json.dumps(waits_for)})
    session.commit()
    return task.id


def remember(session: Session, task_id: UUID, name: str, seq: int, **columns: Any) -> None:
    """A step of a task: a `once` that returned 1, unless told otherwise."""
    values = {
        "kind": "once",
        "state": "DONE",
        "result": "1",
        "error": None,
        "child_id": None,
        "undo": None,
        "ended_at": "2026-03-02T12:00:00Z",
    }
    session.execute(_STEP, {"task_id": task_id, "name": name, "seq": seq, **values, **columns})
