"""Attempts that lost their lease: nothing of theirs is recorded, and each counts once."""

from unittest import mock
from uuid import uuid4

import pytest
import sqlalchemy as sa

from app.models import Status
from app.services.measuring import counters
from app.services.tasks.outcomes import Completed
from app.worker import executor, heartbeat
from app.worker.attempt import LeaseGone
from tests.support.factories import make_task, read_task
from tests.support.servers.attempts import run_attempt


@pytest.fixture
def counted():
    """What the worker counts: calls of (name, times)."""
    with mock.patch.object(heartbeat.HEARTBEAT, "count") as count:
        yield lambda: [call.args for call in count.call_args_list]


@pytest.fixture
def task(session):
    task = make_task(session, type="fibonacci_calc", payload=5)
    session.commit()
    return task


def _run(session, task, how):
    """Run an attempt whose lease is taken away while its handler runs; then its task's row."""

    def taken_away(*_):
        session.execute(sa.text("UPDATE tasks SET lease = :lease WHERE id = :id"), {"lease": uuid4(), "id": task.id})
        session.commit()
        return how()

    with mock.patch.object(executor, "run_attempt", side_effect=taken_away):
        run_attempt("fibonacci_calc", task.id)
    session.rollback()
    return read_task(session, task.id)


def _stopped():
    raise LeaseGone


@pytest.mark.parametrize("how", [_stopped, lambda: Completed(result=5)], ids=["stopped", "finished too late"])
def test_an_attempt_that_lost_its_lease_changes_nothing_and_counts_once(session, task, counted, how):
    row = _run(session, task, how)

    assert (row.status, row.result) == (Status.PROCESSING, None)
    assert counted() == [(counters.OUTCOMES_DROPPED, 1)]


def test_one_that_kept_it_is_not_counted(session, task, counted):
    run_attempt("fibonacci_calc", task.id)

    session.rollback()
    assert read_task(session, task.id).status == Status.COMPLETED
    assert counted() == []
