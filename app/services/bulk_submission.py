"""Submitting many tasks at once: one statement for all of them, held for the dispatcher's next look."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from app.database import to_json
from app.models import Task, TaskRecord, new_id
from app.services.submission import WRITTEN, Submission, new_record
from tasks.registry import get_type

_COLUMNS = Task.metadata.tables["tasks"].c
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_TYPES = ", ".join(f"{name} {_COLUMNS[name].type.compile(dialect=_DIALECT)}" for name in WRITTEN)
# A null in JSON becomes SQL's null on its way through jsonb_to_recordset; a payload may be null, and stays JSON's.
_VALUES = ", ".join("coalesce(payload, 'null')" if name == "payload" else name for name in WRITTEN)
_STORE = sa.text(
    f"INSERT INTO tasks ({', '.join(WRITTEN)}) "
    f"SELECT {_VALUES} FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS task({_TYPES})"
)


def draft(submission: Submission, *, owner_id: UUID | None, now: datetime, task_id: UUID | None = None) -> TaskRecord:
    """The row to be, due at once or at its start. Raises UnknownTaskType; checks nothing else."""
    return new_record(submission, get_type(submission.type), task_id or new_id(), owner_id, now)


def store(session: Session, drafts: Sequence[TaskRecord]) -> None:
    """Insert them all with no hint out: the dispatcher finds those that are due, and publishes theirs."""
    if drafts:
        session.execute(_STORE, {"rows": to_json([_row(each) for each in drafts])})


def _row(task: TaskRecord) -> dict[str, Any]:
    """The columns as JSON that PostgreSQL reads back as the same values."""
    row = {name: _plain(getattr(task, name)) for name in WRITTEN}
    if task.dispatched_at is not None:
        row["due_at"], row["dispatched_at"] = row["dispatched_at"], None
    return row


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
