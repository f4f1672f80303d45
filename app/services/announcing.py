"""Hints of tasks that a transaction submits: published once it is committed, whoever committed it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from app.messaging import Hint, dispatch_soon
from app.models import TaskRecord


def after_commit(session: Session, tasks: Sequence[TaskRecord]) -> None:
    """Publish the tasks' hints when the session commits; a hint that is lost costs a few seconds, as always.

    Outside of savepoints only: their end counts as a commit here, and a hint would come before its row.
    """
    hints = [Hint.of(task) for task in tasks if task.dispatched_at is not None]

    def publish(_: Any) -> None:
        for hint in hints:
            dispatch_soon(hint)

    if hints:
        event.listen(session, "after_commit", publish, once=True)
