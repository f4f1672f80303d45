"""What handlers keep between attempts: outside effects that must not be repeated."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session, to_json

_READ = sa.text("SELECT value FROM task_notes WHERE task_id = :task_id AND key = :key")
_WRITE = sa.text("""
    INSERT INTO task_notes (task_id, key, value, at)
    VALUES (:task_id, :key, CAST(:value AS jsonb), :now)
    ON CONFLICT (task_id, key) DO NOTHING
""")


def read(session: Session, task_id: UUID, key: str) -> Any:
    """What was noted; None if nothing was."""
    return session.scalar(_READ, {"task_id": task_id, "key": key})


def write(session: Session, task_id: UUID, key: str, value: Any, *, now: datetime) -> None:
    """Note something; the first word stands."""
    session.execute(_WRITE, {"task_id": task_id, "key": key, "value": to_json(value), "now": now})
