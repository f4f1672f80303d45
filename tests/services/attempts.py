"""Running a task in the test's own process, by everything that a worker's child does: claim, run, record."""

import contextlib
from typing import Any

from celery.exceptions import Ignore, Retry
from sqlalchemy.orm import Session

from app.models import TaskRecord
from app.worker import executor
from app.worker.executor import RecordedFailure
from tests.factories import make_task, read_task


def run_task(session: Session, type_: str, payload: Any, **columns: Any) -> TaskRecord:
    """Submit a task and run its first attempt; the row afterwards."""
    task = make_task(session, type=type_, payload=payload, **columns)
    session.commit()
    with contextlib.suppress(RecordedFailure, Retry, Ignore):
        executor.run_hint(type_, [task.id])
    session.commit()
    return read_task(session, task.id)
