"""Running a task in the test's own process, by everything that a worker's child does: claim, run, record."""

import contextlib
from typing import Any
from unittest import mock
from uuid import UUID

from celery.exceptions import Ignore, Retry

from app.database import Session
from app.models import TaskRecord
from app.worker import executor, heartbeat
from app.worker.executor import RecordedFailure
from tests.support.factories import make_task, read_task


def run_task(session: Session, type_: str, payload: Any, **columns: Any) -> TaskRecord:
    """Submit a task and run its first attempt; the row afterwards."""
    task = make_task(session, type=type_, payload=payload, **columns)
    session.commit()
    run_attempt(type_, task.id)
    session.commit()
    return read_task(session, task.id)


def run_attempt(type_: str, task_id: UUID) -> None:
    """Run the next attempt of a task, whatever becomes of it.

    Without the heartbeat's thread: it would go on after the test, and write into the tables of the next one.
    """
    with (
        mock.patch.object(heartbeat.HEARTBEAT, "note_claims"),
        contextlib.suppress(RecordedFailure, Retry, Ignore),
    ):
        executor.run_hint(type_, [task_id])
