"""Submitting many tasks at once, held for the dispatcher's next look: what the service submits to itself."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy.orm import Session

from app.models import TaskRecord, new_id
from app.services.submission import insertion
from app.services.submission.submissions import Submission, new_record
from tasks.registry import get_type


def draft(submission: Submission, *, owner_id: UUID | None, now: datetime, task_id: UUID | None = None) -> TaskRecord:
    """The row to be, due at once or at its start. Raises UnknownTaskType; checks nothing else."""
    return new_record(submission, get_type(submission.type), task_id or new_id(), owner_id, now)


def store(session: Session, drafts: Sequence[TaskRecord]) -> None:
    """Insert them all with no hint out: the dispatcher finds those that are due, and publishes theirs."""
    if drafts:
        insertion.insert(session.connection(), [_held(each) for each in drafts])


def _held(task: TaskRecord) -> TaskRecord:
    return task if task.dispatched_at is None else replace(task, due_at=task.dispatched_at, dispatched_at=None)
