"""What tests of durable handlers do between two attempts: time passes, and the dispatcher's duties look."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app import clock
from app.database import Session, in_transaction
from app.models import TaskRecord
from app.services import lifecycle
from app.services.durable import advancing
from tests.support.factories import read_task
from tests.support.servers.attempts import run_attempt
from tests.support.signals import send_signal

FAR = timedelta(days=400)


def dispatch(*, after: timedelta = timedelta(0)) -> None:
    """Do what the duties do: take the news, wake what is due by then, and dispatch it."""
    while tasks := in_transaction(lambda session: advancing.woken(session, limit=1_000)):
        for task_id in tasks:
            in_transaction(lambda session, id_=task_id: advancing.advance(session, id_, now=clock.utcnow()))
    now = clock.utcnow() + after
    in_transaction(lambda session: lifecycle.wake_due(session, since=now - FAR * 2, now=now, limit=10_000))
    in_transaction(lambda session: lifecycle.fall_due(session, since=now - FAR * 2, now=now, limit=10_000))


def run_next(session: Session, task: TaskRecord) -> TaskRecord:
    """The next attempt of a task that is PENDING; its row afterwards."""
    session.rollback()
    dispatch()
    run_attempt(task.type, task.id)
    dispatch()
    return read_task(session, task.id)


def run_children(session: Session, parent_id: UUID) -> int:
    """Run those children that may start; how many."""
    session.rollback()
    rows = session.execute(
        sa.text(
            "SELECT id, type FROM tasks WHERE parent_id = :id AND status = 'PENDING' AND dispatched_at IS NOT NULL"
        ),
        {"id": parent_id},
    ).all()
    session.rollback()
    for row in rows:
        run_attempt(row.type, row.id)
    dispatch()
    return len(rows)


def signal(task_id: UUID, name: str, data: Any = None) -> None:
    in_transaction(lambda session: send_signal(session, task_id, name, data, now=clock.utcnow()))


def steps_of(session: Session, task_id: UUID) -> dict[str, str]:
    """The state of each step of a task."""
    session.rollback()
    rows = session.execute(
        sa.text("SELECT name, state FROM task_steps WHERE task_id = :id ORDER BY seq"), {"id": task_id}
    )
    return {row.name: row.state for row in rows}
