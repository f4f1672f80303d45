"""Hints of tasks that a transaction submits: published once it is committed, whoever committed it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from app.messaging import Hint, dispatch_soon
from app.models import TaskRecord


def after_commit(session: Session, tasks: Sequence[TaskRecord]) -> None:
    """Publish the tasks' hints when the session commits; a hint that is lost costs a few seconds, as always.

    Called within a savepoint, it publishes nothing when that is rolled back, and waits for the transaction's end else.
    """
    hints = [Hint.of(task) for task in tasks if task.dispatched_at is not None]
    savepoint = session.get_nested_transaction()

    def publish(_: Any) -> None:
        if session.in_nested_transaction():
            return  # the end of a savepoint counts as a commit here; a hint would come before its row
        for hint in hints:
            dispatch_soon(hint)
        hints.clear()

    def forget(_: Any, ended: Any) -> None:
        if ended is savepoint or ended.parent is None:
            hints.clear()

    if hints:
        event.listen(session, "after_commit", publish)
        event.listen(session, "after_soft_rollback", forget)
