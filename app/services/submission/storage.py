"""Storing what was drafted, and publishing its hints once it is committed, whoever commits it."""

from collections.abc import Iterable, Sequence

from app.database import Session
from app.messaging import Hint, coalesce, dispatch_soon
from app.models import TaskRecord
from app.services.lifecycle import left_to_dispatcher
from app.services.submission import insertion
from app.services.submission.insertion import Identified


def store(session: Session, drafts: Sequence[TaskRecord], *, is_urgent: bool = True) -> list[TaskRecord]:
    """Insert the drafts with one statement; returns them as the triggers left them, in the same order.

    Their hints are published after the commit. With `is_urgent=False` none is: the dispatcher finds the tasks that are
    due, in one of its next looks. That is for what the service submits to itself in large numbers.
    """
    if not drafts:
        return []
    if not is_urgent:
        return insertion.insert(session.connection(), [left_to_dispatcher(draft) for draft in drafts])
    stored = insertion.insert(session.connection(), drafts)
    publish_after_commit(session, (task for task in stored if task.dispatched_at is not None))
    return stored


def store_new(session: Session, drafts: Sequence[TaskRecord | Identified]) -> list[TaskRecord | None]:
    """The same of drafts that may have ids of their callers: None in the place of one whose id is taken."""
    if not drafts:
        return []
    stored = insertion.insert_new(session.connection(), drafts)
    publish_after_commit(session, (task for task in stored if task is not None and task.dispatched_at is not None))
    return stored


def publish_after_commit(session: Session, tasks: Iterable[TaskRecord]) -> None:
    """Publish the tasks' hints when the session commits; a hint that is lost costs a few seconds.

    Within a savepoint it publishes nothing when that is rolled back, and otherwise waits for the transaction to end.
    A session that commits each statement has committed already: there the hints go out at once.
    """
    if waiting := list(tasks):
        session.after_commit(lambda: publish(waiting))


def publish(tasks: Iterable[TaskRecord]) -> None:
    """Hand the hints of committed tasks to the publisher; those of one kind travel together."""
    dispatch_soon(*coalesce(Hint.of(task) for task in tasks))
